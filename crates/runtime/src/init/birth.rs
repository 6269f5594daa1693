//! The last steps to a command, the same for a container's first process and for every further one.
//!
//! They run inside the container's root, with full privileges at the start and the command's own at the end.
//! Source: credentials(7), capabilities(7), seccomp(2); runc's `finalizeNamespace`.

use super::{hooks, identity, program, reaper};
use crate::error::{InitError, OrInit};
use crate::gate::LateGate;
use crate::hooks::State;
use crate::protocol;
use crate::request::{Keyring, Limits, Reaper, Stdio, UserSpec};
use crate::scheduling;
use crate::seccomp::Filter;
use crate::users::{self, Identity};
use oci_spec::runtime::{Hooks, Linux, Process};
use rustix::fs::{FileType, Gid, OFlags, Uid};
use rustix::io::Errno;
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub(crate) struct Birth<'a> {
    pub(crate) process: &'a Process,
    /// The container's: what holds for all of its processes is taken from it.
    pub(crate) linux: Option<&'a Linux>,
    pub(crate) limits: Limits,
    pub(crate) user: Option<&'a UserSpec>,
    pub(crate) stdio: Stdio<'a>,
    /// The terminal's side of the command, in place of `stdio`.
    pub(crate) terminal: Option<BorrowedFd<'a>>,
    pub(crate) reaper: Reaper,
    /// Run as the command will be: as its user, with its rights.
    pub(crate) hooks: Option<(&'a Hooks, &'a State)>,
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) cwd: &'a Path,
    /// The runtime's executable, never to be run in a container.
    pub(crate) own: Option<BorrowedFd<'a>>,
    pub(crate) socket: &'a OwnedFd,
    pub(crate) alone: &'a sys::process::Alone,
    pub(crate) pass_fds: u32,
    pub(crate) keyring: Keyring,
    pub(crate) late_gate: Option<LateGate<'a>>,
}

/// Returns only an error; one that comes late is told from within, and ends the process.
pub(crate) fn execute(birth: &Birth<'_>) -> Result<Infallible, InitError> {
    let process = birth.process;
    let identity = resolve_user(birth)?;
    let env = program::environment(process, &identity);
    if let Some(linux) = birth.linux {
        scheduling::adopt(linux)?;
    }
    connect_stdio(birth, &identity)?;
    // After the streams: a limit of open files may be below what we have open until they are all closed.
    identity::set_limits(process, birth.limits)?;
    if birth.keyring == Keyring::New {
        // The keys of the host's session stay on the host. A kernel without keyrings, or a user out of quota, has none to leak.
        let _ = sys::program::join_new_session_keyring();
    }

    // From here on the command's path, the interpreter it names and its working directory are looked up, all of the container's
    // choice: a descriptor of a host directory that were still open would be a way out, close-on-exec or not, through
    // /proc/self/fd (CVE-2024-21626). While the filter is not loaded, which may know close_range(2) or not.
    let gate = birth.late_gate.map(|gate| gate.listener);
    let keep = [Some(birth.socket.as_fd()), birth.own, gate];
    let keep: Vec<BorrowedFd<'_>> = keep.into_iter().flatten().collect();
    sys::program::close_all_but(first_of_ours(birth), &keep, || {
        let error = match finish(birth, &identity, &env) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        // The exit code says the same in short if nobody listens.
        let _ = protocol::send_failed(birth.socket, &error);
        sys::process::exit_now(error.exit_code())
    })
}

/// The end of the host's privileges, and of this program.
fn finish(birth: &Birth<'_>, identity: &Identity, env: &[String]) -> Result<Infallible, InitError> {
    let process = birth.process;
    let no_new_privs = process.no_new_privileges().unwrap_or(false);
    if no_new_privs {
        sys::capability::set_no_new_privs().because(|cause| InitError::Capabilities { cause })?;
    }
    let sets = identity::CapabilitySets::of(process)?;
    // The bounding set while CAP_SETPCAP is still effective.
    sets.limit_bounding()?;
    if birth.late_gate.is_none() {
        protocol::send_executing(birth.socket).because(|cause| InitError::Prepare { cause })?;
    }
    // With the command's rights and still our memory, a process that shares its pid namespace could look into it
    // (CVE-2016-9962). execve gives the new program its own flag.
    sys::process::set_dumpable(false).because(|cause| InitError::Prepare { cause })?;
    // Without no_new_privs the kernel takes a filter only from CAP_SYS_ADMIN, so it comes before the capabilities go; the
    // calls below must then be allowed by the profile. With it, last, so that the fewest calls need allowing.
    if !no_new_privs {
        load(birth)?;
    }
    identity::become_user(identity, &sets)?;
    // As the user, so that a directory only he may enter works, and one he may not enter is an error.
    enter_working_directory(birth.cwd)?;
    let target = program::find(process, env, birth.own)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(
        process.user().umask().unwrap_or(0o022),
    ));
    // What is left of ours are the socket, whose end tells the caller, and the executable.
    let first = first_of_ours(birth);
    sys::program::cloexec_from(first).because(|cause| InitError::Prepare { cause })?;
    if birth.reaper == Reaper::Init {
        reaper::stay_or_return(birth.alone, birth.terminal.is_some())?;
    }
    if no_new_privs {
        load(birth)?;
    }
    let Some(gate) = birth.late_gate else {
        return become_command(birth, &target, env);
    };
    let starter = gate.pass(birth.socket)?;
    become_command(birth, &target, env).inspect_err(|error| {
        // It may have gone away; the exit code says the same in short.
        let _ = protocol::send_failed(&starter, error);
    })
}

fn become_command(
    birth: &Birth<'_>,
    target: &program::Target,
    env: &[String],
) -> Result<Infallible, InitError> {
    // The hooks are programs of the image: like the command they get no right that the command does not have.
    hooks::before_command(birth.hooks, env)?;
    sys::signal::reset().because(|cause| InitError::Prepare { cause })?;
    Err(target.execute(env))
}

/// Above the standard streams and the descriptors to be passed on, which were there before any of ours.
fn first_of_ours(birth: &Birth<'_>) -> i32 {
    i32::try_from(birth.pass_fds).map_or(i32::MAX, |count| count.saturating_add(3))
}

fn resolve_user(birth: &Birth<'_>) -> Result<Identity, InitError> {
    let root = open_root()?;
    match birth.user {
        Some(spec) => Ok(users::resolve_in_root(root.as_fd(), spec)?),
        None => {
            let user = birth.process.user();
            let groups = user.additional_gids().clone().unwrap_or_default();
            Ok(users::describe_in_root(
                root.as_fd(),
                user.uid(),
                user.gid(),
                groups,
            ))
        }
    }
}

fn open_root() -> Result<OwnedFd, InitError> {
    sys::mount::open_root(Path::new("/")).because(|cause| InitError::Prepare { cause })
}

/// The three streams, owned by the user so that a program may open `/dev/stdout` again by name.
fn connect_stdio(birth: &Birth<'_>, identity: &Identity) -> Result<(), InitError> {
    let error = |cause| InitError::Stdio { cause };
    if let Some(terminal) = birth.terminal {
        sys::tty::take_control(terminal).because(error)?;
        give_to(terminal, identity).because(error)?;
        for number in 0..3 {
            sys::program::dup_onto(terminal, number).because(error)?;
        }
        return Ok(());
    }
    let Stdio::Fds {
        stdin,
        stdout,
        stderr,
    } = birth.stdio
    else {
        return Err(InitError::Stdio {
            cause: crate::Errno(9),
        });
    };
    // Moved up first: a stream that is itself one of 0, 1, 2 would be overwritten before its turn.
    let moved = [stdin, stdout, stderr].map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3));
    for (number, fd) in moved.into_iter().enumerate() {
        let fd = fd.because(error)?;
        give_to(fd.as_fd(), identity).because(error)?;
        sys::program::dup_onto(fd.as_fd(), number as i32).because(error)?;
    }
    Ok(())
}

/// FIFOs and terminals only: files, devices and sockets are somebody else's.
fn give_to(fd: BorrowedFd<'_>, identity: &Identity) -> std::io::Result<()> {
    let stat = rustix::fs::fstat(fd)?;
    let gid = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Some(identity.gid),
        // Its group says who may write to terminals: that of the devpts mount.
        FileType::CharacterDevice if rustix::termios::isatty(fd) => None,
        _ => return Ok(()),
    };
    if stat.st_uid == identity.uid && gid.is_none_or(|gid| gid == stat.st_gid) {
        return Ok(());
    }
    match rustix::fs::fchown(
        fd,
        Some(Uid::from_raw(identity.uid)),
        gid.map(Gid::from_raw),
    ) {
        // A stream whose file system keeps no owners stays usable by descriptor.
        Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::ROFS) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Looked up without magic links, and checked afterwards: a working directory of `/proc/self/fd/7` once led to the host
/// (CVE-2024-21626).
fn enter_working_directory(cwd: &Path) -> Result<(), InitError> {
    let error = |cause| InitError::WorkingDirectory {
        path: cwd.display().to_string(),
        cause,
    };
    let root = open_root()?;
    let directory = sys::path::open_in_root(root.as_fd(), cwd, OFlags::PATH | OFlags::DIRECTORY)
        .because(error)?;
    rustix::process::fchdir(&directory).because(error)?;
    let reached = rustix::process::getcwd(Vec::new()).because(error)?;
    if reached.to_bytes().first() == Some(&b'/') {
        return Ok(());
    }
    Err(InitError::WorkingDirectoryOutside {
        path: cwd.display().to_string(),
    })
}

fn load(birth: &Birth<'_>) -> Result<(), InitError> {
    match birth.filter {
        Some(filter) => filter.load(birth.socket),
        None => Ok(()),
    }
}
