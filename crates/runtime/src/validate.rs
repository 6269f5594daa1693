//! What a spec may not ask for: found before anything is made.
//!
//! The words themselves were judged when the text was read (`oci::spec`); here are relations between properties, values out of
//! range, and wishes this host cannot grant. Limits of control groups are judged by `cgroup`, mount options by the mounts.
//! Source: runtime-spec `config.md`, `config-linux.md`, `runtime.md` "Errors"; the checks of runc's `configs/validate`.

mod linux;
mod process;
mod sysctl;

pub use process::process;

use crate::hooks::HookKind;
use oci_spec::runtime::{Mount, Spec};
use std::path::{Path, PathBuf};
use thiserror::Error;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error(
        "ociVersion: {0:?} is not a version of the runtime specification that this runtime knows (1.x)"
    )]
    Version(String),
    #[error("root: missing")]
    NoRoot,
    #[error("root.path: is empty")]
    EmptyRoot,
    #[error("{property}: {value:?} is not an absolute path")]
    Relative { property: String, value: PathBuf },
    #[error("{property}: is empty")]
    Empty { property: String },
    #[error("{property}: holds a zero byte")]
    ZeroByte { property: String },
    #[error("hooks.{kind}[{index}].timeout: {seconds} is not greater than zero")]
    HookTimeout {
        kind: HookKind,
        index: usize,
        seconds: i64,
    },
    #[error("{property}: {value} is out of range ({range})")]
    Range {
        property: &'static str,
        value: String,
        range: &'static str,
    },
    #[error("process.rlimits: {0} is given twice")]
    TwoLimits(String),
    #[error(
        "process.rlimits: the soft limit {soft} of {name} is higher than its hard limit {hard}"
    )]
    SoftLimit { name: String, soft: u64, hard: u64 },
    #[error(
        "process.rlimits: RLIMIT_NOFILE {hard} is above what this kernel allows to anybody ({most}: sysctl fs.nr_open)"
    )]
    OpenFiles { hard: u64, most: u64 },
    #[error("{property}: {value:?} is not a list of numbers and ranges (0-3,7)")]
    List {
        property: &'static str,
        value: String,
    },
    /// The texts that begin with `sched_setattr` are crun's.
    #[error("process.scheduler: {0}")]
    Scheduler(String),
    #[error(
        "process.{property}: {value:?} is asked for, but this host does not have {module} enabled"
    )]
    NoModule {
        property: &'static str,
        value: String,
        module: &'static str,
    },
    #[error("linux.namespaces: {0} is given twice")]
    TwoNamespaces(&'static str),
    #[error("{property}: needs a {namespace} namespace in linux.namespaces")]
    NeedsNamespace {
        property: String,
        namespace: &'static str,
    },
    #[error("linux.timeOffsets: a time namespace joined by path keeps its own offsets")]
    OffsetsOfAnother,
    #[error("linux.timeOffsets: unknown clock {0:?} (known are \"monotonic\" and \"boottime\")")]
    Clock(String),
    #[error("linux.namespaces: a new user namespace needs linux.uidMappings and linux.gidMappings")]
    NoMappings,
    #[error("linux.cgroupsPath: {0:?} must not hold \"..\"")]
    CgroupsPath(PathBuf),
    #[error("linux.rootfsPropagation: unknown value {0:?}")]
    Propagation(String),
    #[error("linux.netDevices: {0:?} is not a name for a network device")]
    DeviceName(String),
    #[error("linux.personality.flags: {0:?} is not supported, no flag is")]
    PersonalityFlag(String),
    #[error("linux.memoryPolicy: {mode} {problem}")]
    MemoryPolicy { mode: String, problem: &'static str },
    #[error("linux.intelRdt: this host has no resctrl file system mounted at /sys/fs/resctrl")]
    NoResctrl,
    #[error("linux.intelRdt.closID: {0:?} is not the name of a directory")]
    ClosId(String),
    #[error("linux.sysctl: {key:?} {problem}")]
    Sysctl { key: String, problem: &'static str },
    #[error("mounts: {target}: {problem}", target = target.display())]
    Mount {
        target: PathBuf,
        problem: &'static str,
    },
    #[error("linux.seccomp: {0}")]
    Seccomp(String),
    #[error(
        "linux.seccomp: {0:?} is no system call that this runtime knows, which the annotation run.oci.seccomp_fail_unknown_syscall makes an error"
    )]
    UnknownSyscall(String),
}

/// The first thing that is wrong.
pub fn validate(spec: &Spec) -> Result<(), Error> {
    version(spec.version())?;
    let root = spec.root().as_ref().ok_or(Error::NoRoot)?;
    if root.path().as_os_str().is_empty() {
        return Err(Error::EmptyRoot);
    }
    hooks(spec)?;
    for mount in spec.mounts().iter().flatten() {
        check_mount(mount)?;
    }
    if let Some(described) = spec.process() {
        process(described)?;
    }
    linux::check(spec)?;
    if crate::annotations::refuses_unknown_syscalls(spec) {
        linux::only_known_syscalls(spec)?;
    }
    Ok(())
}

/// What is worth a warning and no refusal.
pub fn warnings(spec: &Spec) -> Vec<String> {
    let mut out = spec
        .process()
        .as_ref()
        .map(process::warnings)
        .unwrap_or_default();
    for mount in spec.mounts().iter().flatten() {
        if !mount.destination().is_absolute() {
            out.push(format!(
                "mounts: the relative destination {} is taken from /",
                mount.destination().display()
            ));
        }
    }
    out
}

/// Semantic versioning; every 1.x is compatible with the others.
fn version(text: &str) -> Result<(), Error> {
    let wrong = || Error::Version(text.to_owned());
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let mut parts = core.split('.');
    let mut next = || parts.next()?.parse::<u32>().ok();
    match (next(), next(), next()) {
        (Some(1), Some(_), Some(_)) if parts.next().is_none() => Ok(()),
        _ => Err(wrong()),
    }
}

fn hooks(spec: &Spec) -> Result<(), Error> {
    let Some(hooks) = spec.hooks() else {
        return Ok(());
    };
    for kind in HookKind::ALL {
        for (index, hook) in kind.of(hooks).iter().enumerate() {
            absolute(hook.path(), || format!("hooks.{kind}[{index}].path"))?;
            if let Some(seconds) = hook.timeout().filter(|seconds| *seconds <= 0) {
                return Err(Error::HookTimeout {
                    kind,
                    index,
                    seconds,
                });
            }
        }
    }
    Ok(())
}

fn absolute(path: &Path, property: impl FnOnce() -> String) -> Result<(), Error> {
    if path.is_absolute() {
        Ok(())
    } else {
        Err(Error::Relative {
            property: property(),
            value: path.to_owned(),
        })
    }
}

/// A relative destination is old and allowed: it is taken from `/`.
fn check_mount(mount: &Mount) -> Result<(), Error> {
    let wrong = |problem| Error::Mount {
        target: mount.destination().clone(),
        problem,
    };
    if mount.destination().as_os_str().is_empty() {
        return Err(wrong("the destination is empty"));
    }
    let filled = |list: &Option<Vec<_>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if filled(mount.uid_mappings()) != filled(mount.gid_mappings()) {
        return Err(wrong("needs both uidMappings and gidMappings, or neither"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
