//! What caller and init say to each other over one `SOCK_SEQPACKET` socket.
//!
//! ```text
//! step → caller   Born [pidfd]              once, when init is born by a step in between (joined namespaces of others)
//! init → caller   Terminal [master fd]      once, when the container has a terminal
//!                 Mounted                   only with hooks for the caller: the mounts are made; init waits for Hooked
//!                 Filtering(listener) [pidfd]   only with a seccomp listener: the filter is about to hold
//!                 Filtered(number)          it holds; init waits for Delivered, by read(2) and write(2) alone
//!                 Ready                     the root is built; init waits
//!                 Executing                 nothing but the last steps before execve remains
//!                 Failed(error)             at any time; init ends after it
//!                 (end of file)             execve has closed the socket: success, if Executing came before
//! caller → init   Trees [fds]               in a user namespace, before anything else: mounts made for init, see `handover`
//!                 Netns [fd]                before Start, when the namespace was deferred
//!                 Hooked                    the caller's hooks have run; may come before or after Start
//!                 Delivered                 the seccomp listener has its descriptor
//!                 Start                     the barrier opens
//!                 (end of file)             the caller died: init ends
//! ```
//! With a [`crate::Gate::Listener`] this socket ends at the barrier: Start makes init wait at the listener instead, and the same
//! protocol goes on, from Start, with whoever connects there (see [`crate::gate`]).
//!
//! A message is one byte, its kind; `Failed` is followed by the error as JSON.

use crate::error::InitError;
use crate::seccomp::Listener;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

#[derive(Debug)]
pub(crate) enum FromInit {
    Born(OwnedFd),
    Terminal(OwnedFd),
    Mounted,
    Filtering(Listener, OwnedFd),
    Filtered(i32),
    Ready,
    Executing,
    Failed(InitError),
    Closed,
}

#[derive(Debug)]
pub(crate) enum ToInit {
    Trees(Vec<OwnedFd>),
    Netns(OwnedFd),
    Hooked,
    Start,
    Closed,
}

const BORN: u8 = b'b';
const TREES: u8 = b'd';
const TERMINAL: u8 = b't';
const MOUNTED: u8 = b'm';
const FILTERING: u8 = b'g';
const FILTERED: u8 = b'l';
const READY: u8 = b'r';
const EXECUTING: u8 = b'e';
const FAILED: u8 = b'f';
const NETNS: u8 = b'n';
const HOOKED: u8 = b'h';
const DELIVERED: u8 = b'k';
const START: u8 = b's';

/// Longer errors than this are cut: they hold names a hostile image may have chosen.
const LIMIT: usize = 64 * 1024;

pub(crate) fn send_born(socket: impl AsFd, pidfd: BorrowedFd<'_>) -> io::Result<()> {
    sys::socket::send(socket, &[BORN], &[pidfd])
}

/// As many messages as the descriptors need.
pub(crate) fn send_trees(socket: impl AsFd, trees: &[OwnedFd]) -> io::Result<()> {
    for some in trees.chunks(sys::socket::MAX_FDS) {
        let some: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
        sys::socket::send(&socket, &[TREES], &some)?;
    }
    Ok(())
}

pub(crate) fn send_terminal(socket: impl AsFd, master: BorrowedFd<'_>) -> io::Result<()> {
    sys::socket::send(socket, &[TERMINAL], &[master])
}

pub(crate) fn send_mounted(socket: impl AsFd) -> io::Result<()> {
    sys::socket::send(socket, &[MOUNTED], &[])
}

pub(crate) fn send_filtering(
    socket: impl AsFd,
    listener: &Listener,
    own: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut message = vec![FILTERING];
    serde_json::to_writer(&mut message, listener)?;
    sys::socket::send(socket, &message, &[own])
}

/// Says under which number the calls wait, and returns when they have their listener.
pub(crate) fn tell_filtered(socket: impl AsFd, waiting: BorrowedFd<'_>) -> io::Result<()> {
    let mut message = vec![FILTERED];
    message.extend(waiting.as_raw_fd().to_le_bytes());
    rustix::io::write(&socket, &message)?;
    let mut answer = [0; 8];
    match rustix::io::read(&socket, &mut answer)? {
        1 if answer[0] == DELIVERED => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

pub(crate) fn send_delivered(socket: impl AsFd) -> io::Result<()> {
    sys::socket::send(socket, &[DELIVERED], &[])
}

pub(crate) fn send_ready(socket: impl AsFd) -> io::Result<()> {
    sys::socket::send(socket, &[READY], &[])
}

pub(crate) fn send_executing(socket: impl AsFd) -> io::Result<()> {
    sys::socket::send(socket, &[EXECUTING], &[])
}

pub(crate) fn send_failed(socket: impl AsFd, error: &InitError) -> io::Result<()> {
    let mut message = vec![FAILED];
    serde_json::to_writer(&mut message, error)?;
    if message.len() > LIMIT {
        message.truncate(1);
        serde_json::to_writer(
            &mut message,
            &InitError::ZeroByte {
                what: "an overlong error message".into(),
            },
        )?;
    }
    sys::socket::send(socket, &message, &[])
}

pub(crate) fn send_netns(socket: impl AsFd, netns: BorrowedFd<'_>) -> io::Result<()> {
    sys::socket::send(socket, &[NETNS], &[netns])
}

pub(crate) fn send_hooked(socket: impl AsFd) -> io::Result<()> {
    sys::socket::send(socket, &[HOOKED], &[])
}

pub(crate) fn send_start(socket: impl AsFd) -> io::Result<()> {
    sys::socket::send(socket, &[START], &[])
}

/// `None`: not a message of this protocol.
pub(crate) fn receive_from_init(socket: impl AsFd) -> io::Result<Option<FromInit>> {
    let mut buffer = vec![0; LIMIT];
    let mut received = sys::socket::receive(socket, &mut buffer)?;
    let Some((kind, rest)) = buffer[..received.length].split_first() else {
        return Ok(Some(FromInit::Closed));
    };
    Ok(match *kind {
        BORN => received.fds.pop().map(FromInit::Born),
        TERMINAL => received.fds.pop().map(FromInit::Terminal),
        MOUNTED => Some(FromInit::Mounted),
        FILTERING => received
            .fds
            .pop()
            .zip(serde_json::from_slice(rest).ok())
            .map(|(init, listener)| FromInit::Filtering(listener, init)),
        FILTERED => <[u8; 4]>::try_from(rest)
            .ok()
            .map(|number| FromInit::Filtered(i32::from_le_bytes(number))),
        READY => Some(FromInit::Ready),
        EXECUTING => Some(FromInit::Executing),
        FAILED => serde_json::from_slice(rest).ok().map(FromInit::Failed),
        _ => None,
    })
}

pub(crate) fn receive_in_init(socket: impl AsFd) -> io::Result<Option<ToInit>> {
    let mut buffer = [0; 8];
    let mut received = sys::socket::receive(socket, &mut buffer)?;
    let Some(kind) = buffer[..received.length].first() else {
        return Ok(Some(ToInit::Closed));
    };
    Ok(match *kind {
        TREES => Some(ToInit::Trees(received.fds)),
        NETNS => received.fds.pop().map(ToInit::Netns),
        HOOKED => Some(ToInit::Hooked),
        START => Some(ToInit::Start),
        _ => None,
    })
}
