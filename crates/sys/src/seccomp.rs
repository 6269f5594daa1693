//! System call filters: a compiler from rules by name to classic BPF, and loading the result.
//!
//! For each architecture the numbers are cut into ranges of one decision, found by binary search: six or seven comparisons for
//! Docker's profile, where a list of equalities needs hundreds. A call no table knows is answered `ENOSYS` when the default is an
//! errno, so that programs fall back as on an older kernel instead of failing on `EPERM`.
//! Source: seccomp(2), bpf of linux/filter.h, runtime-spec `config-linux.md` "Seccomp"; argument semantics are libseccomp's.

mod aarch64;
mod assemble;
mod i386;
pub mod probe;
mod x32;
mod x86_64;

use assemble::{ARCH, JA, JEQ, JGE, LOAD, NUMBER, RET, ins, jump, tree};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Classic BPF's limit on instructions.
const MAX_INSTRUCTIONS: usize = 4096;
const X32_BIT: u32 = 0x4000_0000;
const ENOSYS: u16 = 38;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    KillProcess,
    KillThread,
    Trap,
    Errno(u16),
    Trace(u16),
    /// Asked of the listener that [`Program::load_with_listener`] returns.
    Notify,
    Log,
    Allow,
}

impl Action {
    /// `SECCOMP_RET_*` of linux/seccomp.h.
    fn value(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap => 0x0003_0000,
            Self::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Self::Trace(message) => 0x7ff0_0000 | u32::from(message),
            Self::Notify => 0x7fc0_0000,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arch {
    X86_64,
    X32,
    I386,
    Aarch64,
}

impl Arch {
    /// The one this program was built for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Self = Self::X86_64;
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Self = Self::Aarch64;

    /// All that a process on this machine may use.
    pub fn on_this_machine() -> &'static [Self] {
        match Self::NATIVE {
            Self::X86_64 => &[Self::X86_64, Self::X32, Self::I386],
            _ => &[Self::NATIVE],
        }
    }

    fn table(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::X86_64 => x86_64::TABLE,
            Self::X32 => x32::TABLE,
            Self::I386 => i386::TABLE,
            Self::Aarch64 => aarch64::TABLE,
        }
    }

    /// `AUDIT_ARCH_*` of linux/audit.h.
    fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    /// Whether arguments are 32 bits wide: -1 is 0xffffffff there, however a profile for all architectures writes it.
    fn is_narrow(self) -> bool {
        self == Self::I386
    }

    /// The number of a call by name, if this architecture has it.
    pub fn number(self, name: &str) -> Option<u32> {
        let table = self.table();
        table
            .binary_search_by(|(known, _)| (*known).cmp(name))
            .ok()
            .map(|at| table[at].1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    Ne,
    Lt,
    Le,
    Eq,
    Ge,
    Gt,
    /// `argument & mask == value`
    MaskedEq {
        mask: u64,
    },
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Condition {
    pub argument: u8,
    pub compare: Compare,
    pub value: u64,
}

impl Condition {
    fn on(&self, arch: Arch) -> Self {
        const NARROW: u64 = u32::MAX as u64;
        if !arch.is_narrow() {
            return *self;
        }
        Self {
            argument: self.argument,
            compare: match self.compare {
                Compare::MaskedEq { mask } => Compare::MaskedEq {
                    mask: mask & NARROW,
                },
                other => other,
            },
            value: self.value & NARROW,
        }
    }
}

/// What happens to a call of one name; without conditions always, else when all of them hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<'a> {
    pub name: &'a str,
    pub action: Action,
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile<'a> {
    pub default: Action,
    pub arches: Vec<Arch>,
    pub rules: Vec<Rule<'a>>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

/// Flags for [`Profile::flags`].
pub const FLAG_TSYNC: u32 = 1;
pub const FLAG_LOG: u32 = 2;
pub const FLAG_SPEC_ALLOW: u32 = 4;
const FLAG_NEW_LISTENER: u32 = 8;
/// Only with a listener.
pub const FLAG_WAIT_KILLABLE_RECV: u32 = 32;

/// One instruction, as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// A filter ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    flags: u32,
}

/// `struct sock_fprog`.
#[repr(C)]
struct Fprog {
    len: u16,
    filter: *const Instruction,
}

impl Program {
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// From instructions compiled before.
    pub fn from_parts(instructions: Vec<Instruction>, flags: u32) -> Self {
        Self {
            instructions,
            flags,
        }
    }

    /// Installs the filter on the calling thread, for good. Needs no_new_privs or CAP_SYS_ADMIN.
    pub fn load(&self) -> io::Result<()> {
        let flags = self.flags & !FLAG_WAIT_KILLABLE_RECV;
        match self.load_with(flags) {
            // A kernel without one of the flags (SPEC_ALLOW came with 4.17).
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) && flags != 0 => {
                self.load_with(0).map(drop)
            }
            other => other.map(drop),
        }
    }

    /// The same for a filter with [`Action::Notify`]: the descriptor at which its calls wait for an answer (close-on-exec).
    pub fn load_with_listener(&self) -> io::Result<OwnedFd> {
        let listener = match self.load_with(self.flags | FLAG_NEW_LISTENER) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) && self.flags != 0 => {
                self.load_with(FLAG_NEW_LISTENER)?
            }
            other => other?,
        };
        let number =
            i32::try_from(listener).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
        // SAFETY: with FLAG_NEW_LISTENER the call returns a fresh descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }

    fn load_with(&self, flags: u32) -> io::Result<libc::c_long> {
        const SET_MODE_FILTER: libc::c_uint = 1;
        let len = u16::try_from(self.instructions.len())
            .map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
        let program = Fprog {
            len,
            filter: self.instructions.as_ptr(),
        };
        // SAFETY: `program` points to `len` instructions that live through the call; the kernel copies and verifies them.
        let done = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        if done == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(done)
        }
    }
}

/// Whether this kernel knows a `SECCOMP_FILTER_FLAG_*`: it looks at the flags before it fails to read a filter at address 0.
pub fn knows_flag(flag: u32) -> bool {
    const SET_MODE_FILTER: libc::c_uint = 1;
    // WAIT_KILLABLE_RECV is refused without a listener.
    let with = if flag == FLAG_WAIT_KILLABLE_RECV {
        flag | FLAG_NEW_LISTENER
    } else {
        flag
    };
    // SAFETY: the null pointer is never read successfully, so no filter is installed: the call fails with EFAULT or EINVAL.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            with,
            std::ptr::null::<Fprog>(),
        )
    };
    done == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

/// What one call number leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Return(Action),
    /// Rules in order, then the action if none matches.
    Check(Vec<(Vec<Condition>, Action)>, Action),
}

/// Compiles a profile; `E2BIG` when it exceeds what the kernel takes.
pub fn compile(profile: &Profile<'_>) -> io::Result<Program> {
    let mut out = vec![ins(LOAD, ARCH)];
    let has = |arch| profile.arches.contains(&arch);
    let mut done: Vec<u32> = Vec::new();
    for arch in &profile.arches {
        if done.contains(&arch.audit()) {
            continue;
        }
        done.push(arch.audit());
        let section = match arch {
            Arch::X86_64 | Arch::X32 => x86_section(profile, has(Arch::X86_64), has(Arch::X32)),
            _ => {
                let mut section = vec![ins(LOAD, NUMBER)];
                section.extend(tree(&ranges(profile, *arch, 0, u32::MAX)));
                section
            }
        };
        out.push(jump(JEQ, arch.audit(), 1, 0));
        out.push(ins(JA, section.len() as u32));
        out.extend(section);
    }
    // A call by another architecture's table could mean anything.
    out.push(ins(RET, Action::KillProcess.value()));
    if out.len() > MAX_INSTRUCTIONS {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    Ok(Program {
        instructions: out,
        flags: profile.flags,
    })
}

/// x86-64 and x32 share an architecture and differ by a bit of the number.
fn x86_section(profile: &Profile<'_>, native: bool, x32: bool) -> Vec<Instruction> {
    let refuse = vec![ins(RET, Action::Errno(ENOSYS).value())];
    let low = if native {
        tree(&ranges(profile, Arch::X86_64, 0, X32_BIT - 1))
    } else {
        refuse.clone()
    };
    let high = if x32 {
        tree(&ranges(profile, Arch::X32, X32_BIT, u32::MAX))
    } else {
        refuse
    };
    let mut section = vec![
        ins(LOAD, NUMBER),
        jump(JGE, X32_BIT, 0, 1),
        ins(JA, low.len() as u32),
    ];
    section.extend(low);
    section.extend(high);
    section
}

/// (first number, decision), sorted, covering `from..=to`.
fn ranges(profile: &Profile<'_>, arch: Arch, from: u32, to: u32) -> Vec<(u32, Decision)> {
    let unknown = match profile.default {
        Action::Errno(_) => Action::Errno(ENOSYS),
        other => other,
    };
    let mut numbers: Vec<(u32, Decision)> = arch
        .table()
        .iter()
        .map(|(_, number)| (*number, Decision::Return(profile.default)))
        .collect();
    numbers.sort_by_key(|(number, _)| *number);
    numbers.dedup_by_key(|(number, _)| *number);
    for rule in &profile.rules {
        let Some(number) = arch.number(rule.name) else {
            continue;
        };
        if let Ok(at) = numbers.binary_search_by_key(&number, |(number, _)| *number) {
            let conditions = rule.conditions.iter().map(|c| c.on(arch)).collect();
            let rule = Rule {
                conditions,
                ..rule.clone()
            };
            add(&mut numbers[at].1, &rule, profile.default);
        }
    }
    let mut out: Vec<(u32, Decision)> = Vec::new();
    let mut next = from;
    let push = |out: &mut Vec<(u32, Decision)>, at: u32, decision: Decision| {
        if out.last().is_none_or(|(_, last)| *last != decision) {
            out.push((at, decision));
        }
    };
    for (number, decision) in numbers {
        if number > next {
            push(&mut out, next, Decision::Return(unknown));
        }
        push(&mut out, number, decision);
        next = number.saturating_add(1);
    }
    if next <= to {
        push(&mut out, next, Decision::Return(unknown));
    }
    out
}

/// An unconditional rule decides what conditional ones leave over; between two of them the later holds.
fn add(decision: &mut Decision, rule: &Rule<'_>, default: Action) {
    let (mut checks, mut otherwise) = match std::mem::replace(decision, Decision::Return(default)) {
        Decision::Return(action) => (Vec::new(), action),
        Decision::Check(checks, otherwise) => (checks, otherwise),
    };
    if rule.conditions.is_empty() {
        otherwise = rule.action;
    } else {
        checks.push((rule.conditions.clone(), rule.action));
    }
    *decision = if checks.iter().all(|(_, action)| *action == otherwise) {
        // Kept only while it can still make a difference.
        if rule.conditions.is_empty() || checks.is_empty() {
            Decision::Return(otherwise)
        } else {
            Decision::Check(checks, otherwise)
        }
    } else {
        Decision::Check(checks, otherwise)
    };
}

#[cfg(test)]
mod tests;
