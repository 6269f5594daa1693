//! A power cut at a chosen moment: a command is killed, with all it started, before the n-th of its system calls that change a file
//! system. They are counted over all its threads and processes, in the order in which the kernel sees them. Source: ptrace(2).

use crate::Call;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Stdio;

/// How a command that was to be cut ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Cut,
    /// It made fewer calls: so many, and this is its exit code.
    ByItself {
        calls: u64,
        code: i32,
    },
}

/// Whether the calls can be told on this machine.
pub fn works() -> bool {
    cfg!(target_arch = "x86_64")
}

/// Runs a command and kills it before its `n`-th call.
///
/// # Panics
/// When it cannot be traced.
#[allow(
    clippy::zombie_processes,
    reason = "waitpid collects it, among all it started"
)]
pub fn cut_at(call: Call, n: u64) -> Ended {
    let mut command = call.held();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let main = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(main, options).expect("a child can be traced");
    ptrace::interrupt(main).expect("a traced child can be stopped");
    let mut pipe = child.stdin.take();
    let mut traced = Traced {
        n,
        calls: 0,
        inside: BTreeMap::new(),
        alive: BTreeSet::from([main]),
        cut: false,
    };
    let mut code = 0;
    while !traced.alive.is_empty() {
        let status = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(status) => status,
            Err(Errno::EINTR | Errno::EINVAL) => continue,
            Err(_) => break,
        };
        match status {
            WaitStatus::Exited(pid, status) if pid == main => code = status,
            WaitStatus::Signaled(pid, signal, _) if pid == main => code = 128 + signal as i32,
            _ => {}
        }
        traced.saw(status);
        // Only now is it traced: the program begins.
        if let Some(mut pipe) = pipe.take() {
            let _ = pipe.write_all(b"\n");
        }
    }
    match traced.cut {
        true => Ended::Cut,
        false => Ended::ByItself {
            calls: traced.calls,
            code,
        },
    }
}

struct Traced {
    n: u64,
    calls: u64,
    /// Who is in a call: each stops twice.
    inside: BTreeMap<Pid, bool>,
    alive: BTreeSet<Pid>,
    cut: bool,
}

impl Traced {
    fn saw(&mut self, status: WaitStatus) {
        let Some(pid) = status.pid() else { return };
        let deliver = match status {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                self.alive.remove(&pid);
                self.inside.remove(&pid);
                return;
            }
            WaitStatus::PtraceSyscall(_) => {
                let inside = self.inside.entry(pid).or_default();
                *inside = !*inside;
                if *inside && changes(pid) {
                    self.calls += 1;
                }
                None
            }
            // A new thread's first stop, a stop of all, an execve: nobody is to see a signal.
            WaitStatus::PtraceEvent(..) => None,
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => return,
        };
        self.alive.insert(pid);
        if self.calls >= self.n && !self.cut {
            self.cut = true;
        }
        if self.cut {
            for pid in &self.alive {
                let _ = kill(*pid, Signal::SIGKILL);
            }
            return;
        }
        // One that was killed meanwhile tells so by itself.
        let _ = ptrace::syscall(pid, deliver);
    }
}

/// Whether the call that a process is about to make changes a file system.
#[cfg(target_arch = "x86_64")]
fn changes(pid: Pid) -> bool {
    use nix::libc;
    let Ok(registers) = ptrace::getregs(pid) else {
        return false;
    };
    let call = registers.orig_rax as i64;
    match call {
        libc::SYS_open => creates(registers.rsi),
        libc::SYS_openat => creates(registers.rdx),
        // Not to standard output, nor what tells another thread something.
        libc::SYS_write | libc::SYS_writev => registers.rdi > 2 && is_file(pid, registers.rdi),
        _ => CHANGING.contains(&call),
    }
}

#[cfg(target_arch = "x86_64")]
fn creates(flags: u64) -> bool {
    use nix::libc::{O_CREAT, O_TRUNC};
    flags & (O_CREAT | O_TRUNC) as u64 != 0
}

#[cfg(target_arch = "x86_64")]
fn is_file(pid: Pid, descriptor: u64) -> bool {
    let link = format!("/proc/{pid}/fd/{descriptor}");
    std::fs::read_link(link).is_ok_and(|target| target.is_absolute())
}

#[cfg(target_arch = "x86_64")]
const CHANGING: [i64; 44] = {
    use nix::libc::*;
    [
        SYS_creat,
        SYS_pwrite64,
        SYS_pwritev,
        SYS_copy_file_range,
        SYS_sendfile,
        SYS_truncate,
        SYS_ftruncate,
        SYS_fallocate,
        SYS_rename,
        SYS_renameat,
        SYS_renameat2,
        SYS_link,
        SYS_linkat,
        SYS_symlink,
        SYS_symlinkat,
        SYS_unlink,
        SYS_unlinkat,
        SYS_mkdir,
        SYS_mkdirat,
        SYS_rmdir,
        SYS_mknod,
        SYS_mknodat,
        SYS_chmod,
        SYS_fchmod,
        SYS_fchmodat,
        SYS_chown,
        SYS_fchown,
        SYS_lchown,
        SYS_fchownat,
        SYS_utimensat,
        SYS_futimesat,
        SYS_utimes,
        SYS_utime,
        SYS_setxattr,
        SYS_lsetxattr,
        SYS_fsetxattr,
        SYS_removexattr,
        SYS_lremovexattr,
        SYS_fremovexattr,
        SYS_fsync,
        SYS_fdatasync,
        SYS_sync,
        SYS_syncfs,
        SYS_sync_file_range,
    ]
};

#[cfg(not(target_arch = "x86_64"))]
fn changes(_: Pid) -> bool {
    false
}
