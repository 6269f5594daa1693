//! The gate of a container that was created by one command and is started by another.
//!
//! The creator binds a `SOCK_SEQPACKET` listener in the container's directory ([`listen`]) and passes it to init
//! ([`crate::Gate::Listener`]), which waits there once its root is built. Whoever comes through the gate ([`open`]) sends Start and
//! hears from then on what the creator would have heard, so that `start` tells the whole error of a command that cannot be
//! executed. The name in the directory says that the container was not started yet.
//!
//! Only its owner can reach the socket: mode 0600 in a directory of mode 0700.
//! Source: unix(7) `SO_PEERCRED`; runtime-spec `runtime.md` "Start".

use crate::error::{Error, InitError, OrInit};
use crate::protocol::{self, FromInit, ToInit};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

const NAME: &str = "start";

/// By way of the descriptor: an address holds at most 107 bytes, and the directory's path may be longer.
fn address(directory: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()).into()
}

/// Makes the gate in the container's own directory.
pub fn listen(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let listener = sys::socket::listen(&address(directory), sys::socket::Type::SEQPACKET)?;
    // Init has nothing else to do than to wait for a connection.
    rustix::io::ioctl_fionbio(&listener, false)?;
    Ok(listener)
}

/// Whether the container waits to be started, as far as its directory says.
pub fn is_shut(directory: BorrowedFd<'_>) -> bool {
    let follow_none = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::statat(directory, NAME, follow_none).is_ok()
}

/// Starts the container and returns when its command executes, or with the reason why it does not. Either way it has been
/// started then, which happens once.
pub fn open(directory: BorrowedFd<'_>) -> Result<(), Error> {
    let socket = match sys::socket::connect(&address(directory), sys::socket::Type::SEQPACKET) {
        Ok(socket) => socket,
        Err(e) => {
            // Nobody listens at a name that is there: its container went through, or died, while a starter was killed.
            let _ = remove(directory);
            return Err(Error::Gone(e));
        }
    };
    match protocol::send_start(&socket) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.map_err(Error::Socket)?,
    }
    let outcome = follow(&socket);
    let removed = remove(directory).map_err(Error::Socket);
    outcome.and(removed)
}

fn remove(directory: BorrowedFd<'_>) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, NAME, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn follow(socket: &OwnedFd) -> Result<(), Error> {
    let mut executing = false;
    loop {
        match protocol::receive_from_init(socket)
            .map_err(Error::Socket)?
            .ok_or(Error::Protocol)?
        {
            FromInit::Executing => executing = true,
            FromInit::Failed(error) => return Err(Error::Init(error)),
            FromInit::Closed if executing => return Ok(()),
            // Init is not our child: how it ended, only its parent is told.
            FromInit::Closed => return Err(Error::EndedUnseen),
            // With a seccomp listener the filter held before the gate: its creator delivered the descriptor.
            FromInit::Filtering(..)
            | FromInit::Filtered(_)
            | FromInit::Born(_)
            | FromInit::Terminal(_)
            | FromInit::Mounted
            | FromInit::Ready => {}
        }
    }
}

/// The user id the kernel shows for one that the own user namespace does not map.
const UNMAPPED: u32 = 65_534;

/// A gate behind the filter: what little is called in passing it, the profile must allow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LateGate<'a> {
    pub(crate) listener: BorrowedFd<'a>,
    pub(crate) in_user_namespace: bool,
}

impl LateGate<'_> {
    /// Lets the creator go and waits for the starter, who hears the rest.
    pub(crate) fn pass(&self, creator: &OwnedFd) -> Result<OwnedFd, InitError> {
        let error = |cause| InitError::Gate { cause };
        protocol::send_ready(creator).because(error)?;
        let Some(ToInit::Start) = protocol::receive_in_init(creator).because(error)? else {
            return Err(InitError::Abandoned);
        };
        let starter = await_starter(self.listener, self.in_user_namespace)?;
        protocol::send_executing(&starter).because(error)?;
        Ok(starter)
    }
}

/// In init: waits until somebody who may has said Start. One who says nothing and goes is as good as never come.
pub(crate) fn await_starter(
    listener: BorrowedFd<'_>,
    in_user_namespace: bool,
) -> Result<OwnedFd, InitError> {
    let error = |cause| InitError::Gate { cause };
    // A created container may be joined by `exec`: who is inside must not read our memory and descriptors meanwhile
    // (CVE-2016-9962). execve gives the command a flag of its own.
    sys::process::set_dumpable(false).because(error)?;
    let own = rustix::process::geteuid().as_raw();
    loop {
        let Some(starter) = sys::socket::accept(listener).because(error)? else {
            continue;
        };
        let uid = sys::socket::peer_uid(&starter).because(error)?;
        let outside = in_user_namespace && uid == UNMAPPED;
        if uid != 0 && uid != own && !outside {
            continue;
        }
        if let Ok(Some(ToInit::Start)) = protocol::receive_in_init(&starter) {
            return Ok(starter);
        }
    }
}
