//! Starting another role of this very executable, safely from a process with threads.
//!
//! The child is born by `vfork`; descriptors are passed by an explicit map; all others close.
//!
//! The executable is reached through a read-only detached clone of its mount. A container process that gets hold of
//! `/proc/PID/exe` of a role (CVE-2019-5736) finds a file on a read-only mount that it cannot remount.
//! Source: execveat(2), open_tree(2).

use crate::process::Child;
use crate::vfork::{Birth, Executable};
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

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

fn spawn_executable(exe: BorrowedFd<'_>, role: &Role<'_>) -> io::Result<Child> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut fds: Vec<(BorrowedFd<'_>, RawFd)> = role.fds.clone();
    for number in 0..3 {
        if !fds.iter().any(|(_, target)| *target == number) {
            fds.push((null.as_fd(), number));
        }
    }
    crate::vfork::start(&Birth {
        executable: Executable::Open(exe),
        argv: &role.argv,
        env: &role.env,
        directory: None,
        fds,
        session: role.session,
    })
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
