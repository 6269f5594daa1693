//! Starting another role of this very executable, safely from a process with threads.
//!
//! The child is born by `vfork`; descriptors are passed by an explicit map; all others close.
//!
//! The executable is reached through a read-only detached clone of its mount. A container process that gets hold of
//! `/proc/PID/exe` of a role (CVE-2019-5736) finds a file on a read-only mount that it cannot remount. A command that itself
//! starts a container's process calls [`seal`] first.
//! Source: execveat(2), open_tree(2), memfd_create(2).

use crate::process::Child;
use crate::vfork::{Birth, Executable};
use rustix::fs::{Mode, OFlags, SealFlags};
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

/// Executes this program anew, in place and with the same words, unless it runs sealed already. Returns in the sealed one.
///
/// For a command that starts a container's process itself: a script there may name `/proc/self/exe` as its interpreter, and
/// what then runs inside the container must not be a file that can be written (CVE-2019-5736).
pub fn seal() -> io::Result<()> {
    let exe = running()?;
    if is_sealed(&exe)? {
        return Ok(());
    }
    let sealed = sealed(&exe)?;
    let argv = crate::entry::arguments()
        .into_iter()
        .map(|word| CString::new(word.into_encoded_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    let env = inherited_env();
    Err(crate::program::execveat(sealed.as_fd(), &argv, &env))
}

/// The running executable, in a form that nobody can write to.
fn own_executable() -> io::Result<OwnedFd> {
    let exe = running()?;
    if is_sealed(&exe)? {
        return Ok(exe);
    }
    sealed(&exe)
}

fn running() -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/proc/self/exe", flags, Mode::empty())?)
}

fn is_sealed(exe: &OwnedFd) -> io::Result<bool> {
    let read_only = rustix::fs::StatVfsMountFlags::RDONLY;
    if rustix::fs::fstatvfs(exe)?.f_flag.contains(read_only) {
        return Ok(true);
    }
    // Only files in memory have seals; EINVAL says that this is none.
    let seals = rustix::fs::fcntl_get_seals(exe).unwrap_or(SealFlags::empty());
    Ok(seals.contains(SealFlags::WRITE))
}

/// A read-only mount of the file's own. Where the kernel gives us none (the file lies in another mount namespace, or our rights
/// do not reach), a copy in memory that is sealed.
fn sealed(exe: &OwnedFd) -> io::Result<OwnedFd> {
    crate::mount::clone_tree(exe.as_fd(), c"", crate::mount::Recursion::None)
        .and_then(|tree| {
            let read_only = crate::mount::Attributes::read_only();
            crate::mount::set_attributes(tree.as_fd(), read_only).map(|()| tree)
        })
        .or_else(|_| copy_in_memory(exe))
}

fn copy_in_memory(exe: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, memfd_create};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Before Linux 6.3 there is no EXEC flag, and all of these files may be executed.
    let copy = memfd_create("dockless", flags | MemfdFlags::EXEC)
        .or_else(|_| memfd_create("dockless", flags))?;
    let mut from = std::fs::File::from(exe.try_clone()?);
    let mut to = std::fs::File::from(copy);
    io::copy(&mut from, &mut to)?;
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&to, all)?;
    Ok(to.into())
}

fn spawn_executable(exe: BorrowedFd<'_>, role: &Role<'_>) -> io::Result<Child> {
    crate::signal::learn_ignored();
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
pub(crate) mod tests {
    use super::*;
    use crate::process::{ExitStatus, wait};
    use std::io::Read;
    use std::os::fd::AsRawFd;

    fn open_shell() -> OwnedFd {
        rustix::fs::open("/bin/sh", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    fn shell(script: &str) -> Vec<CString> {
        ["sh", "-c", script]
            .iter()
            .map(|s| CString::new(*s).unwrap())
            .collect()
    }

    pub(crate) fn shell_role(script: &str) -> Role<'static> {
        Role {
            argv: shell(script),
            ..Role::default()
        }
    }

    pub(crate) fn start(role: &Role<'_>) -> Child {
        spawn_executable(open_shell().as_fd(), role).unwrap()
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
    fn a_role_runs_from_a_file_nobody_can_write_cve_2019_5736() {
        let exe = own_executable().unwrap();
        assert!(is_sealed(&exe).unwrap());
        assert!(!is_sealed(&running().unwrap()).unwrap(), "the test's own");
        // A file that does not run: one that does cannot be written while it does, only afterwards.
        let path = std::env::temp_dir().join(format!("dockless-seal-{}", std::process::id()));
        std::fs::write(&path, "x").unwrap();
        let file = sealed(&open_file(path.to_str().unwrap())).unwrap();
        let again = format!("/proc/self/fd/{}", file.as_raw_fd());
        let refused = std::fs::OpenOptions::new().write(true).open(again);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EROFS));
    }

    #[test]
    fn a_sealed_copy_serves_where_no_mount_can_be_had_cve_2019_5736() {
        let exe = copy_in_memory(&open_file("/bin/sh")).unwrap();
        assert!(is_sealed(&exe).unwrap());
        assert_eq!(
            rustix::io::write(&exe, b"x").unwrap_err(),
            rustix::io::Errno::PERM
        );
        let role = Role {
            argv: shell("exit 7"),
            ..Role::default()
        };
        let child = spawn_executable(exe.as_fd(), &role).unwrap();
        assert_eq!(wait(&child.pidfd).unwrap(), ExitStatus::Code(7));
    }

    fn open_file(path: &str) -> OwnedFd {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
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
