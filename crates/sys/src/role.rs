//! Starting another role of this very executable, safely from a process with threads.
//!
//! The child shares our memory until `execve` (`CLONE_VM | CLONE_VFORK`), so nothing is copied and nothing is allocated in it:
//! everything it touches is prepared before. Descriptors are passed by an explicit map; all others close.
//!
//! The executable is reached through a read-only detached clone of its mount. A container process that gets hold of
//! `/proc/PID/exe` of a role (CVE-2019-5736) finds a file on a read-only mount that it cannot remount.
//! Source: clone(2), execveat(2), open_tree(2).

use crate::process::Child;
use crate::program::pointers;
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What to start.
#[derive(Debug, Default)]
pub struct Role<'a> {
    /// `argv`, the role's name included.
    pub argv: Vec<CString>,
    /// The whole environment: nothing is inherited.
    pub env: Vec<CString>,
    /// Our descriptor → its number in the child. Numbers 0, 1, 2 that are not named here are `/dev/null`.
    pub fds: Vec<(BorrowedFd<'a>, RawFd)>,
    pub session: Session,
}

/// Whether the role leaves the caller's session, and with it the terminal's signals.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    #[default]
    Own,
    Inherited,
}

/// The environment of this process, to be passed on.
pub fn inherited_env() -> Vec<CString> {
    use std::os::unix::ffi::OsStrExt;
    std::env::vars_os()
        .filter_map(|(key, value)| {
            CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        })
        .collect()
}

/// Starts the role. It is our child, but neither our death nor a terminal's signal reaches it when it has a session of its own.
pub fn spawn(role: &Role<'_>) -> io::Result<Child> {
    let exe = own_executable()?;
    spawn_executable(exe.as_fd(), role)
}

/// The running executable on a read-only mount of its own; as it is where the kernel or our rights do not allow that.
fn own_executable() -> io::Result<OwnedFd> {
    let exe = rustix::fs::open(
        "/proc/self/exe",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    if rustix::fs::fstatvfs(&exe)?
        .f_flag
        .contains(rustix::fs::StatVfsMountFlags::RDONLY)
    {
        return Ok(exe);
    }
    let sealed = crate::mount::clone_tree(exe.as_fd(), c"", crate::mount::Recursion::None)
        .and_then(|tree| {
            crate::mount::set_attributes(tree.as_fd(), crate::mount::Attributes::read_only())
                .map(|()| tree)
        });
    Ok(sealed.unwrap_or(exe))
}

/// Everything the child touches; it lives on the parent's stack, which sleeps until the child has executed or died.
struct Plan {
    exe: RawFd,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    /// (source, target), sources moved above all targets.
    fds: Vec<(RawFd, RawFd)>,
    session: Session,
    error: i32,
}

const STACK: usize = 64 * 1024;

fn spawn_executable(exe: BorrowedFd<'_>, role: &Role<'_>) -> io::Result<Child> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut wanted: Vec<(BorrowedFd<'_>, RawFd)> = role.fds.clone();
    for number in 0..3 {
        if !wanted.iter().any(|(_, target)| *target == number) {
            wanted.push((null.as_fd(), number));
        }
    }
    // A source that is also a target would be overwritten before its turn: move all sources out of the way first.
    let above = wanted.iter().map(|(_, target)| *target).max().unwrap_or(2) + 1;
    let moved = wanted
        .iter()
        .map(|(fd, target)| Ok((rustix::io::fcntl_dupfd_cloexec(fd, above)?, *target)))
        .collect::<io::Result<Vec<(OwnedFd, RawFd)>>>()?;
    let exe = rustix::io::fcntl_dupfd_cloexec(exe, above)?;
    let mut plan = Plan {
        exe: exe.as_raw_fd(),
        argv: pointers(&role.argv),
        env: pointers(&role.env),
        fds: moved
            .iter()
            .map(|(fd, target)| (fd.as_raw_fd(), *target))
            .collect(),
        session: role.session,
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
    // SAFETY: async-signal-safe calls on integers and on the arrays prepared by the parent, both null-terminated.
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
                plan.error = *libc::__errno_location();
                libc::_exit(127);
            }
        }
        libc::syscall(
            libc::SYS_execveat,
            plan.exe,
            c"".as_ptr(),
            plan.argv.as_ptr(),
            plan.env.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
        plan.error = *libc::__errno_location();
        libc::_exit(127)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{ExitStatus, wait};
    use std::io::Read;

    fn open_shell() -> OwnedFd {
        rustix::fs::open("/bin/sh", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    fn shell(script: &str) -> Vec<CString> {
        ["sh", "-c", script]
            .iter()
            .map(|s| CString::new(*s).unwrap())
            .collect()
    }

    #[test]
    fn only_the_mapped_descriptors_arrive() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let role = Role {
            argv: shell("echo out; echo three >&3; ls /proc/self/fd >&3"),
            fds: vec![(writer.as_fd(), 1), (writer.as_fd(), 3)],
            ..Role::default()
        };
        let child = spawn_executable(open_shell().as_fd(), &role).unwrap();
        drop(role);
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(wait(&child.pidfd).unwrap(), ExitStatus::Code(0));
        // 4 is the directory that ls itself reads.
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>(),
            ["out", "three", "0", "1", "2", "3", "4"]
        );
    }

    #[test]
    fn failure_to_execute_is_an_error() {
        let directory =
            rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let error = spawn_executable(
            directory.as_fd(),
            &Role {
                argv: shell(""),
                ..Role::default()
            },
        )
        .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    }

    #[test]
    fn ignored_sigpipe_is_not_inherited() {
        let role = Role {
            argv: shell("kill -PIPE $$; exit 3"),
            ..Role::default()
        };
        let child = spawn_executable(open_shell().as_fd(), &role).unwrap();
        assert_eq!(
            wait(&child.pidfd).unwrap(),
            ExitStatus::Signal(libc::SIGPIPE)
        );
    }
}
