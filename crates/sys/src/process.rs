//! Processes by handle: `clone3` of a single-threaded caller, pidfds, exit statuses, start times.
//!
//! Leaves to others: starting another role of this executable (`role`), what a child does after its birth (the caller).
//! Source: clone3(2), pidfd_open(2), waitid(2), proc_pid_stat(5).

use crate::proc_stat::Stat;
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

pub use rustix::process::Pid;

/// What `clone3` returned, on each of the two sides.
#[derive(Debug)]
pub enum Cloned {
    Parent(Child),
    Child(Alone),
}

/// Proof of being the only thread of a process: only the child of a checked clone holds one.
#[derive(Debug)]
pub struct Alone(());

impl Alone {
    /// Forks again, without asking /proc, which may be the container's by now.
    ///
    /// By plain fork(2): filters as strict as Docker's refuse clone3. `None` in the child.
    pub fn fork(&self) -> io::Result<Option<i32>> {
        // SAFETY: this process began with one thread (`self` proves it) and whoever holds `self` starts none, so no lock can be
        // held by a thread that the child lacks.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => Ok(None),
            pid => Ok(Some(pid)),
        }
    }

    /// Clones into new namespaces a process that is not our child but our parent's: a step on the way to it (entering other
    /// namespaces first) can end without leaving an orphan. `None` in the new process, its handle in ours.
    pub fn clone_sibling(&self, namespaces: u64) -> io::Result<Option<OwnedFd>> {
        // The signal at its end is ours, SIGCHLD, by clone(2): CLONE_PARENT takes none.
        // SAFETY: as in `fork`, we are the only thread and the child goes on with a private copy of this memory.
        let cloned = unsafe { clone3(namespaces | CLONE_PARENT, 0, None) }?;
        Ok(cloned.map(|child| child.pidfd))
    }
}

/// A child of ours: its pid in our namespace and the handle that cannot be recycled.
#[derive(Debug)]
pub struct Child {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    Code(i32),
    Signal(i32),
}

impl ExitStatus {
    /// The number a shell shows: the code, or 128 plus the signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Code(_) => None,
            Self::Signal(signal) => Some(signal),
        }
    }
}

/// The `CLONE_NEW*` bits, for [`clone_single_threaded`] and `namespace`.
pub mod flags {
    /// Root and working directory of a thread: no namespace, but what entering a mount namespace wants apart.
    pub const FS: u64 = libc::CLONE_FS as u64;
    pub const NEWNS: u64 = libc::CLONE_NEWNS as u64;
    pub const NEWCGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
    pub const NEWUTS: u64 = libc::CLONE_NEWUTS as u64;
    pub const NEWIPC: u64 = libc::CLONE_NEWIPC as u64;
    pub const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
    pub const NEWPID: u64 = libc::CLONE_NEWPID as u64;
    pub const NEWNET: u64 = libc::CLONE_NEWNET as u64;
    pub const NEWTIME: u64 = 0x80;
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_PARENT: u64 = 0x8000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of linux/sched.h, the 88-byte version of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Clones this process copy-on-write into new namespaces (and a v2 cgroup), like `fork`.
///
/// Refused with `EBUSY` when the caller has more than one thread: the child would inherit locks nobody can release.
pub fn clone_single_threaded(
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Cloned> {
    if thread_count()? != 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    crate::signal::learn_ignored();
    // SAFETY: we just saw that this is the only thread, so no lock is held by a thread the child lacks.
    match unsafe { clone3(namespaces, libc::SIGCHLD, cgroup) }? {
        Some(child) => Ok(Cloned::Parent(child)),
        None => Ok(Cloned::Child(Alone(()))),
    }
}

/// `None` in the child, which goes on with a private copy of this memory, as after fork.
///
/// # Safety
/// In a process with several threads the child may make no other than plain system calls.
pub(crate) unsafe fn clone3(
    flags: u64,
    exit_signal: i32,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Option<Child>> {
    let mut pidfd: i32 = -1;
    let mut args = CloneArgs {
        flags: flags | CLONE_PIDFD,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: exit_signal as u64,
        ..CloneArgs::default()
    };
    if let Some(directory) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = directory.as_raw_fd() as u64;
    }
    // SAFETY: no CLONE_VM and no stack: the child has its own copy of this memory. `args` and `pidfd` outlive the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => {
            // SAFETY: clone3 succeeded with CLONE_PIDFD, so the kernel stored a fresh descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Some(Child {
                pid: pid as i32,
                pidfd,
            }))
        }
    }
}

/// Threads of this process: `/proc/self/task` has one directory for each.
pub fn thread_count() -> io::Result<u64> {
    let links = rustix::fs::stat("/proc/self/task")?.st_nlink;
    #[allow(
        clippy::unnecessary_cast,
        reason = "the width of st_nlink differs between architectures"
    )]
    Ok((links as u64).saturating_sub(2))
}

/// Ends this process at once: no destructors, no buffers flushed twice after a clone.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes an integer and never returns.
    unsafe { libc::_exit(code) }
}

/// Opens a handle on a process that is still alive.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// The pid behind a handle, in our namespace; `ESRCH` once the process has been reaped.
pub fn pid_of(pidfd: impl AsFd) -> io::Result<i32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd()))?;
    let pid = info
        .lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.filter(|pid| *pid > 0)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

/// Opens a process only if it is still the one that started at `start_time`: a pid alone may have been given to another.
pub fn pidfd_open_verified(pid: i32, start_time: u64) -> io::Result<OwnedFd> {
    let pidfd = pidfd_open(pid)?;
    // The handle was taken first, so a pid recycled in between shows another start time here.
    if self::start_time(pid)? != start_time {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(pidfd)
}

/// A copy of another process's descriptor, close-on-exec. Source: pidfd_getfd(2).
pub fn pidfd_getfd(pidfd: impl AsFd, descriptor: i32) -> io::Result<OwnedFd> {
    let flags = rustix::process::PidfdGetfdFlags::empty();
    Ok(rustix::process::pidfd_getfd(pidfd, descriptor, flags)?)
}

/// Sends a signal through the handle; real-time signals too.
pub fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: plain integers and a null siginfo; the descriptor is borrowed for the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            fd,
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Waits for a child to end and reaps it.
pub fn wait(pidfd: impl AsFd) -> io::Result<ExitStatus> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => return Ok(exit_status(&status)),
            Ok(None) | Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        }
    }
}

/// Reaps a child if it has ended; `None` while it runs.
pub fn try_wait(pidfd: impl AsFd) -> io::Result<Option<ExitStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options)?;
    Ok(status.map(|status| exit_status(&status)))
}

/// Looks at the status of an ended child and leaves it to be reaped by somebody else.
pub fn peek_exit(pidfd: impl AsFd) -> io::Result<Option<ExitStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options)?;
    Ok(status.map(|status| exit_status(&status)))
}

fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        // waitid was asked for WEXITED alone, which reports nothing but these two.
        (None, None) => ExitStatus::Code(255),
    }
}

/// The size of the first version of `struct pidfd_info` (Linux 6.13): eight 64-bit words.
const PIDFD_INFO_SIZE: usize = 64;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// The exit status of a process that is not our child, by `PIDFD_GET_INFO` (Linux 6.15).
///
/// The handle must have been opened before the process was reaped. `Ok(None)`: it still runs, or the kernel cannot tell.
pub fn pidfd_exit_status(pidfd: impl AsFd) -> io::Result<Option<ExitStatus>> {
    let mut info = [0u64; PIDFD_INFO_SIZE / 8];
    info[0] = PIDFD_INFO_EXIT;
    // _IOWR(0xFF, 11, struct pidfd_info)
    let request = (3u64 << 30) | ((PIDFD_INFO_SIZE as u64) << 16) | (0xFF << 8) | 11;
    // SAFETY: `info` is as large as the size encoded in the request says, and lives through the call.
    let done = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), request as _, info.as_mut_ptr()) };
    if done == -1 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOTTY | libc::EINVAL | libc::ESRCH) => Ok(None),
            _ => Err(error),
        };
    }
    if info[0] & PIDFD_INFO_EXIT == 0 {
        return Ok(None);
    }
    // The last word holds `__s32 exit_code` after a 32-bit field: see the layout in linux/pidfd.h.
    let bytes: Vec<u8> = info.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let raw = i32::from_ne_bytes([bytes[60], bytes[61], bytes[62], bytes[63]]);
    Ok(Some(decode_wait_status(raw)))
}

/// Reads a wait(2) status word.
pub fn decode_wait_status(raw: i32) -> ExitStatus {
    match raw & 0x7f {
        0 => ExitStatus::Code((raw >> 8) & 0xff),
        signal => ExitStatus::Signal(signal),
    }
}

/// A namespace of the process, by the pidfd ioctls of Linux 6.11: `PIDFD_GET_<X>_NAMESPACE`.
pub fn pidfd_namespace(pidfd: impl AsFd, which: PidfdNamespace) -> io::Result<OwnedFd> {
    let request = (0xFFu64 << 8) | which as u64;
    // SAFETY: the ioctl takes no argument beyond the integer 0 and returns a new descriptor.
    let fd = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), request as _, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The numbers of linux/pidfd.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum PidfdNamespace {
    Cgroup = 1,
    Ipc = 2,
    Mount = 3,
    Net = 4,
    Pid = 5,
    User = 9,
    Uts = 10,
}

/// Start time in clock ticks since boot: the field that makes a pid believable.
pub fn start_time(pid: i32) -> io::Result<u64> {
    Ok(Stat::of(pid)?.start_time)
}

/// Whether this very process still runs. One that has ended and only waits for its parent does not.
pub fn is_running(pid: i32, start_time: u64) -> bool {
    Stat::of(pid).is_ok_and(|stat| stat.start_time == start_time && !stat.has_ended())
}

/// The same, but not of one that the kernel is taking apart: unmounting what only it held may take it a while.
pub fn is_acting(pid: i32, start_time: u64) -> bool {
    Stat::of(pid).is_ok_and(|stat| stat.start_time == start_time && !stat.is_ending())
}

/// How a process of somebody else's ended, while its parent has not asked yet (field 52, which only a tracer may read).
pub fn zombie_exit_status(pid: i32, start_time: u64) -> Option<ExitStatus> {
    let stat = Stat::of(pid).ok()?;
    let ended = stat.start_time == start_time && stat.state == 'Z';
    stat.exit_status.filter(|_| ended).map(decode_wait_status)
}

/// Forbids ptrace and /proc/PID access to processes without CAP_SYS_PTRACE over us, or allows it again.
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    use rustix::process::DumpableBehavior;
    let behavior = if dumpable {
        DumpableBehavior::Dumpable
    } else {
        DumpableBehavior::NotDumpable
    };
    Ok(rustix::process::set_dumpable_behavior(behavior)?)
}

/// Sends a signal by pid, for a process without a handle (a child seen only inside a pid namespace).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: integers only.
    if unsafe { libc::kill(pid, signal) } == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Reaps any ended child: its pid and status; `None` when none has ended, `ECHILD` when there is none.
pub fn reap_any() -> io::Result<Option<(i32, ExitStatus)>> {
    let mut raw = 0;
    // SAFETY: `raw` lives through the call.
    match unsafe { libc::waitpid(-1, &raw mut raw, libc::WNOHANG) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some((pid, decode_wait_status(raw)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_start_time_verifies_own_pid() {
        let pid = std::process::id() as i32;
        let started = start_time(pid).unwrap();
        assert_eq!(pid_of(pidfd_open(pid).unwrap()).unwrap(), pid);
        pidfd_open_verified(pid, started).unwrap();
        let wrong = pidfd_open_verified(pid, started + 1).unwrap_err();
        assert_eq!(wrong.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn wait_statuses() {
        assert_eq!(decode_wait_status(0x0300), ExitStatus::Code(3));
        assert_eq!(decode_wait_status(9), ExitStatus::Signal(9));
        assert_eq!(decode_wait_status(0x8b).code(), 139);
    }

    #[test]
    fn threaded_callers_are_refused() {
        let other = std::thread::spawn(std::thread::park);
        let refused = clone_single_threaded(0, None).unwrap_err();
        other.thread().unpark();
        other.join().unwrap();
        assert_eq!(refused.raw_os_error(), Some(libc::EBUSY));
    }
}
