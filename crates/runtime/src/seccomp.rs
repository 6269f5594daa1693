//! From a seccomp profile (of the spec, of Docker's JSON files, or the default) to a compiled filter.
//!
//! Source: runtime-spec `config-linux.md` "Seccomp", Docker's "Seccomp security profiles" for the JSON with `archMap`, `includes`
//! and `excludes`.

mod default;
mod json;
mod listener;
mod usual;

pub use default::docker_default;
pub use json::parse_docker_profile;
pub use listener::DeliveryError;
pub(crate) use listener::{Delivery, Filter, Listener};

use crate::hooks::State;
use crate::request::{Request, Seccomp};
use oci_spec::runtime::{
    Arch as SpecArch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, Process,
};
use std::io;
use std::path::PathBuf;
use sys::seccomp::{Action, Arch, Compare, Condition, Profile, Program, Rule};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error("SCMP_ACT_NOTIFY cannot be the default action")]
    NotifyByDefault,
    #[error("SCMP_ACT_NOTIFY cannot be used for the system call write")]
    NotifyWrite,
    #[error("SCMP_ACT_NOTIFY and listenerMetadata need a listenerPath")]
    NoListener,
    #[error("a listenerPath needs the container's state, which the caller did not give")]
    NoState,
    #[error("listenerPath {0:?} is not an absolute path")]
    RelativeListener(PathBuf),
    #[error("this kernel does not know the flag {0}")]
    Flag(String),
    #[error("the errno {0} is out of range (0 to 4095)")]
    Errno(u32),
    #[error("argument {index} of {syscall} does not exist: system calls have six, 0 to 5")]
    Argument { syscall: String, index: usize },
    #[error("the profile compiles to more instructions than the kernel takes")]
    TooLong(#[source] io::Error),
    #[error("the profile is not valid JSON of a seccomp profile")]
    Json(#[from] serde_json::Error),
    #[error("unknown {what} {value:?} in the profile")]
    Unknown { what: &'static str, value: String },
}

/// The filter a request leads to.
pub(crate) fn for_request(request: &Request<'_>) -> Result<Option<Filter>, Error> {
    let linux = request.spec.linux().as_ref();
    let profile = linux.and_then(|linux| linux.seccomp().as_ref());
    let wish = match (request.seccomp, profile) {
        (Seccomp::Spec, Some(profile)) => Seccomp::Profile(profile),
        (wish, _) => wish,
    };
    filter(wish, request.spec.process().as_ref(), request.launch.state)
}

/// The filter of a process that wishes this; `Spec` alone stands for none.
pub(crate) fn filter(
    wish: Seccomp<'_>,
    process: Option<&Process>,
    state: Option<&State>,
) -> Result<Option<Filter>, Error> {
    Ok(match wish {
        Seccomp::Spec => None,
        Seccomp::Program(program) => Some(Filter::silent(program.clone())),
        Seccomp::Default => {
            let capabilities = process.map(effective_of).unwrap_or_default();
            Some(Filter::silent(default_program(&capabilities)?))
        }
        Seccomp::Profile(profile) => Some(Filter {
            listener: Listener::of(profile, state)?,
            program: compile(profile)?,
        }),
    })
}

/// The capabilities that widen the default profile: those the process may ever have.
pub(crate) fn effective_of(process: &Process) -> Vec<String> {
    let bounding = process
        .capabilities()
        .as_ref()
        .and_then(|sets| sets.bounding().as_ref());
    bounding
        .map(|set| set.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

/// Docker's default profile for a set of capabilities, compiled. For the usual set it was compiled long ago.
pub fn default_program(capabilities: &[String]) -> Result<Program, Error> {
    let has = |name: &str| {
        capabilities
            .iter()
            .any(|known| known.strip_prefix("CAP_").unwrap_or(known) == name)
    };
    if default::is_usual(&has)
        && let Some(program) = usual::program()
    {
        return Ok(program);
    }
    sys::seccomp::compile(&default::profile(&has)).map_err(Error::TooLong)
}

/// What is wrong with a profile before it is compiled.
pub(crate) fn check(profile: &LinuxSeccomp) -> Result<(), Error> {
    let notify = LinuxSeccompAction::ScmpActNotify;
    if profile.default_action() == notify {
        return Err(Error::NotifyByDefault);
    }
    action(profile.default_action(), profile.default_errno_ret())?;
    for syscall in profile.syscalls().iter().flatten() {
        action(syscall.action(), syscall.errno_ret())?;
        if syscall.action() == notify {
            // The runtime itself writes before the listener can answer.
            if syscall.names().iter().any(|name| name == "write") {
                return Err(Error::NotifyWrite);
            }
            if profile.listener_path().is_none() {
                return Err(Error::NoListener);
            }
        }
        for arg in syscall.args().iter().flatten() {
            condition(syscall.names(), arg)?;
        }
    }
    let unknown = |flag: &&LinuxSeccompFilterFlag| !sys::seccomp::knows_flag(self::flag(**flag));
    if let Some(flag) = profile.flags().iter().flatten().find(unknown) {
        return Err(Error::Flag(flag.to_string()));
    }
    match profile.listener_path() {
        Some(path) if !path.is_absolute() => Err(Error::RelativeListener(path.clone())),
        None if profile
            .listener_metadata()
            .iter()
            .any(|text| !text.is_empty()) =>
        {
            Err(Error::NoListener)
        }
        _ => Ok(()),
    }
}

/// Whether a call of this name exists on any architecture we have a table of: profiles are written for several.
pub(crate) fn is_known(syscall: &str) -> bool {
    [Arch::X86_64, Arch::X32, Arch::I386, Arch::Aarch64]
        .iter()
        .any(|arch| arch.number(syscall).is_some())
}

/// Compiles a profile of the OCI spec.
pub fn compile(profile: &LinuxSeccomp) -> Result<Program, Error> {
    check(profile)?;
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let arches = arches(profile.architectures().as_deref().unwrap_or_default());
    let mut rules = Vec::new();
    for syscall in profile.syscalls().iter().flatten() {
        let action = action(syscall.action(), syscall.errno_ret())?;
        let alternatives = alternatives(
            syscall.names(),
            syscall.args().as_deref().unwrap_or_default(),
        )?;
        for name in syscall.names() {
            for conditions in &alternatives {
                rules.push(Rule {
                    name,
                    action,
                    conditions: conditions.clone(),
                });
            }
        }
    }
    let mut flags = 0;
    for flag in profile.flags().iter().flatten() {
        flags |= self::flag(*flag);
    }
    if profile.flags().is_none() {
        flags = sys::seccomp::FLAG_SPEC_ALLOW;
    }
    sys::seccomp::compile(&Profile {
        default,
        arches,
        rules,
        flags,
    })
    .map_err(Error::TooLong)
}

/// Conditions on one argument given twice are alternatives, on different arguments they hold together: runc's reading.
fn alternatives(names: &[String], args: &[LinuxSeccompArg]) -> Result<Vec<Vec<Condition>>, Error> {
    let conditions = args
        .iter()
        .map(|arg| condition(names, arg))
        .collect::<Result<Vec<_>, _>>()?;
    let repeated = conditions.iter().enumerate().any(|(at, c)| {
        conditions[..at]
            .iter()
            .any(|other| other.argument == c.argument)
    });
    Ok(if repeated {
        conditions.into_iter().map(|c| vec![c]).collect()
    } else {
        vec![conditions]
    })
}

fn condition(names: &[String], arg: &LinuxSeccompArg) -> Result<Condition, Error> {
    let argument = match u8::try_from(arg.index()) {
        Ok(index) if index < 6 => index,
        _ => {
            return Err(Error::Argument {
                syscall: names.join(", "),
                index: arg.index(),
            });
        }
    };
    let value = arg.value();
    let compare = match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => Compare::Ne,
        LinuxSeccompOperator::ScmpCmpLt => Compare::Lt,
        LinuxSeccompOperator::ScmpCmpLe => Compare::Le,
        LinuxSeccompOperator::ScmpCmpEq => Compare::Eq,
        LinuxSeccompOperator::ScmpCmpGe => Compare::Ge,
        LinuxSeccompOperator::ScmpCmpGt => Compare::Gt,
        // libseccomp's order: the value is the mask, the second value what must remain.
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            let condition = Condition {
                argument,
                compare: Compare::MaskedEq { mask: value },
                value: arg.value_two().unwrap_or(0),
            };
            return Ok(condition);
        }
    };
    Ok(Condition {
        argument,
        compare,
        value,
    })
}

const MAX_ERRNO: u16 = 4095;

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<Action, Error> {
    // EPERM, as libseccomp's callers have it. The kernel cuts what is beyond its MAX_ERRNO.
    let number = errno.unwrap_or(1);
    let errno = u16::try_from(number)
        .ok()
        .filter(|errno| *errno <= MAX_ERRNO || action == LinuxSeccompAction::ScmpActTrace)
        .ok_or(Error::Errno(number))?;
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            Action::KillThread
        }
        LinuxSeccompAction::ScmpActKillProcess => Action::KillProcess,
        LinuxSeccompAction::ScmpActTrap => Action::Trap,
        LinuxSeccompAction::ScmpActErrno => Action::Errno(errno),
        LinuxSeccompAction::ScmpActTrace => Action::Trace(errno),
        LinuxSeccompAction::ScmpActLog => Action::Log,
        LinuxSeccompAction::ScmpActAllow => Action::Allow,
        LinuxSeccompAction::ScmpActNotify => Action::Notify,
    })
}

pub(crate) fn flag(flag: LinuxSeccompFilterFlag) -> u32 {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => sys::seccomp::FLAG_LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => sys::seccomp::FLAG_SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => sys::seccomp::FLAG_TSYNC,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
            sys::seccomp::FLAG_WAIT_KILLABLE_RECV
        }
    }
}

/// The architectures that can be named: those of other machines are accepted and mean nothing here.
pub(crate) const KNOWN_ARCHES: [SpecArch; 24] = {
    use SpecArch::*;
    [
        ScmpArchNative,
        ScmpArchX86,
        ScmpArchX86_64,
        ScmpArchX32,
        ScmpArchArm,
        ScmpArchAarch64,
        ScmpArchMips,
        ScmpArchMips64,
        ScmpArchMips64n32,
        ScmpArchMipsel,
        ScmpArchMipsel64,
        ScmpArchMipsel64n32,
        ScmpArchPpc,
        ScmpArchPpc64,
        ScmpArchPpc64le,
        ScmpArchS390,
        ScmpArchS390x,
        ScmpArchParisc,
        ScmpArchParisc64,
        ScmpArchRiscv64,
        ScmpArchLoongarch64,
        ScmpArchM68k,
        ScmpArchSh,
        ScmpArchSheb,
    ]
};

/// Those of this machine; none named stands for the native one. The native one is always in: without it nothing could start.
fn arches(named: &[SpecArch]) -> Vec<Arch> {
    let mut out = vec![Arch::NATIVE];
    for arch in named {
        let arch = match arch {
            SpecArch::ScmpArchX86_64 => Arch::X86_64,
            SpecArch::ScmpArchX32 => Arch::X32,
            SpecArch::ScmpArchX86 => Arch::I386,
            SpecArch::ScmpArchAarch64 => Arch::Aarch64,
            _ => continue,
        };
        if Arch::on_this_machine().contains(&arch) && !out.contains(&arch) {
            out.push(arch);
        }
    }
    out
}
