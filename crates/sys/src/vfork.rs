//! Starting a program beside us, safely from a process with threads.
//!
//! The child shares our memory until `execve` (`CLONE_VM | CLONE_VFORK`), so nothing is copied and nothing is allocated in it:
//! everything it touches is prepared before. Descriptors are passed by an explicit map; all others close.
//! Source: clone(2), vfork(2), execveat(2), close_range(2).

use crate::process::Child;
use crate::program::pointers;
use crate::role::Session;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What the child executes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Executable<'a> {
    Open(BorrowedFd<'a>),
    /// Looked up by the child; it may be a script.
    Path(&'a CStr),
}

#[derive(Debug)]
pub(crate) struct Birth<'a> {
    pub(crate) executable: Executable<'a>,
    pub(crate) argv: &'a [CString],
    pub(crate) env: &'a [CString],
    /// Where it starts, if not where we are. One it may not enter leaves it where we are.
    pub(crate) directory: Option<&'a CStr>,
    /// Our descriptor → its number in the child; 0, 1 and 2 must be named.
    pub(crate) fds: Vec<(BorrowedFd<'a>, RawFd)>,
    pub(crate) session: Session,
}

/// Everything the child touches; it lives on the parent's stack, which sleeps until the child has executed or died.
struct Plan {
    /// The descriptor if it is one, else -1 and the path counts.
    exe: RawFd,
    path: *const libc::c_char,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    directory: *const libc::c_char,
    /// (source, target), sources moved above all targets.
    fds: Vec<(RawFd, RawFd)>,
    session: Session,
    error: i32,
}

const STACK: usize = 64 * 1024;

/// Starts the program; the error is that of its `execve` too.
pub(crate) fn start(birth: &Birth<'_>) -> io::Result<Child> {
    // A source that is also a target would be overwritten before its turn: move all sources out of the way first.
    let targets = birth.fds.iter().map(|(_, target)| *target);
    let above = targets.max().unwrap_or(2).max(2) + 1;
    let moved = birth
        .fds
        .iter()
        .map(|(fd, target)| Ok((rustix::io::fcntl_dupfd_cloexec(fd, above)?, *target)))
        .collect::<io::Result<Vec<(OwnedFd, RawFd)>>>()?;
    let exe = match birth.executable {
        Executable::Open(fd) => Some(rustix::io::fcntl_dupfd_cloexec(fd, above)?),
        Executable::Path(_) => None,
    };
    let mut plan = Plan {
        exe: exe.as_ref().map_or(-1, AsRawFd::as_raw_fd),
        path: match birth.executable {
            Executable::Open(_) => c"".as_ptr(),
            Executable::Path(path) => path.as_ptr(),
        },
        argv: pointers(birth.argv),
        env: pointers(birth.env),
        directory: birth.directory.map_or(std::ptr::null(), CStr::as_ptr),
        fds: moved
            .iter()
            .map(|(fd, target)| (fd.as_raw_fd(), *target))
            .collect(),
        session: birth.session,
        error: 0,
    };
    vfork_into(&mut plan)
}

fn vfork_into(plan: &mut Plan) -> io::Result<Child> {
    // A signal handler running in the child would run on our memory: no signal may arrive before execve.
    let blocked = crate::signal::BlockAll::new()?;
    let mut stack = vec![0u8; STACK];
    let mut pidfd: RawFd = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: with CLONE_VFORK we sleep until the child has left this memory, so `plan`, `stack` and `pidfd` outlive its use.
    // The stack grows down from its aligned end. `child` allocates nothing, takes no lock and never returns to our frames.
    let pid = unsafe {
        let end = stack.as_mut_ptr().add(STACK);
        let top = end.sub(end as usize % 16);
        libc::clone(
            child,
            top.cast(),
            flags,
            (plan as *mut Plan).cast(),
            &raw mut pidfd,
        )
    };
    let failed = (pid == -1).then(io::Error::last_os_error);
    drop(blocked);
    if let Some(error) = failed {
        return Err(error);
    }
    // SAFETY: clone succeeded with CLONE_PIDFD, so this is a fresh descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if plan.error != 0 {
        crate::process::wait(&pidfd)?;
        return Err(io::Error::from_raw_os_error(plan.error));
    }
    Ok(Child { pid, pidfd })
}

/// Runs in the child on the parent's memory: system calls and plain reads only.
extern "C" fn child(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the pointer is the `&mut Plan` of `vfork_into`, whose thread sleeps; no other reference is in use meanwhile.
    let plan = unsafe { &mut *argument.cast::<Plan>() };
    // SAFETY: async-signal-safe calls on integers and on strings and arrays prepared by the parent, all null-terminated.
    unsafe {
        if plan.session == Session::Own {
            libc::setsid();
        }
        crate::signal::reset_in_child();
        libc::syscall(
            libc::SYS_close_range,
            3 as libc::c_uint,
            libc::c_uint::MAX,
            4 as libc::c_uint,
        );
        for (source, target) in &plan.fds {
            if libc::dup2(*source, *target) == -1 {
                give_up(plan);
            }
        }
        if !plan.directory.is_null()
            && libc::chdir(plan.directory) == -1
            && *libc::__errno_location() != libc::EACCES
        {
            give_up(plan);
        }
        if plan.exe == -1 {
            libc::execve(plan.path, plan.argv.as_ptr(), plan.env.as_ptr());
        } else {
            libc::syscall(
                libc::SYS_execveat,
                plan.exe,
                plan.path,
                plan.argv.as_ptr(),
                plan.env.as_ptr(),
                libc::AT_EMPTY_PATH,
            );
        }
    }
    give_up(plan)
}

fn give_up(plan: &mut Plan) -> ! {
    // SAFETY: errno is this thread's own; _exit takes an integer and never returns.
    unsafe {
        plan.error = *libc::__errno_location();
        libc::_exit(127)
    }
}
