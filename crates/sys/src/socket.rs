//! Unix sockets that carry whole messages and descriptors.
//!
//! Source: unix(7), cmsg(3).

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Descriptors one message may carry here.
pub const MAX_FDS: usize = 8;

/// What arrived: the length, and the descriptors that travelled with it.
#[derive(Debug)]
pub struct Received {
    pub length: usize,
    pub fds: Vec<OwnedFd>,
}

/// Two connected sockets that keep message boundaries.
pub fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message whole, with the descriptors that belong to it.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    loop {
        match rustix::net::sendmsg(
            &socket,
            &[IoSlice::new(bytes)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        ) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        }
    }
}

/// Receives one message; length 0 means that the other end is gone. A message larger than the buffer is an error.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    receive_with(socket, buffer, RecvFlags::CMSG_CLOEXEC)
}

/// The same without waiting: `WouldBlock` when nothing is there.
pub fn try_receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    receive_with(
        socket,
        buffer,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )
}

fn receive_with(socket: impl AsFd, buffer: &mut [u8], flags: RecvFlags) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match rustix::net::recvmsg(
            &socket,
            &mut [IoSliceMut::new(buffer)],
            &mut ancillary,
            flags,
        ) {
            Err(rustix::io::Errno::INTR) => continue,
            // The other end died with messages of ours unread. What it had said before is still to be read: the kernel
            // reports the reset once, then the queue, then the end.
            Err(rustix::io::Errno::CONNRESET) => continue,
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok(Received {
        length: received.bytes,
        fds,
    })
}

/// A listening socket that only its owner may connect to: mode 0600 from its first moment.
pub fn listen(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    // bind(2) takes the mode of the new name from the socket's inode, less the umask: no moment with a wider mode.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 128)?;
    Ok(socket)
}

/// A socket for datagrams from whoever may open its path by this mode.
pub fn receiver(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Set afterwards: what the umask took, bind(2) leaves out.
    rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(mode))?;
    Ok(socket)
}

/// Connects to a listener's path.
pub fn connect(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// The next connection of a listener, `None` when nobody waits.
pub fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
        Ok(socket) => Ok(Some(socket)),
        Err(
            rustix::io::Errno::AGAIN | rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR,
        ) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The user id of whoever is at the other end, as it was when the connection was made.
///
/// Not by rustix, whose answer cannot hold the pid 0 of a peer outside of our pid namespace.
pub fn peer_uid(socket: impl AsFd) -> io::Result<u32> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    Ok(getsockopt(&socket, PeerCredentials)?.uid())
}

/// Whether the other end has not read all that was sent to it.
pub fn has_unread(socket: impl AsFd) -> io::Result<bool> {
    let mut count: libc::c_int = 0;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: SIOCOUTQ (by its name for terminals) writes one int to where it is told, and that is ours for the call.
    match unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut count) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(count > 0),
    }
}

pub use rustix::net::SocketType as Type;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_known_whether_all_was_read() {
        let (a, b) = seqpacket_pair().unwrap();
        assert!(!has_unread(&a).unwrap());
        send(&a, b"one", &[]).unwrap();
        assert!(has_unread(&a).unwrap());
        receive(&b, &mut [0; 16]).unwrap();
        assert!(!has_unread(&a).unwrap());
    }

    #[test]
    fn messages_keep_boundaries_and_carry_descriptors() {
        let (a, b) = seqpacket_pair().unwrap();
        let file = tempfile_fd();
        send(&a, b"one", &[file.as_fd()]).unwrap();
        send(&a, b"two", &[]).unwrap();
        let mut buffer = [0; 16];
        let first = receive(&b, &mut buffer).unwrap();
        assert_eq!((&buffer[..first.length], first.fds.len()), (&b"one"[..], 1));
        let second = receive(&b, &mut buffer).unwrap();
        assert_eq!(
            (&buffer[..second.length], second.fds.len()),
            (&b"two"[..], 0)
        );
        drop(a);
        assert_eq!(receive(&b, &mut buffer).unwrap().length, 0);
    }

    #[test]
    fn last_words_survive_unread_messages() {
        let (a, b) = seqpacket_pair().unwrap();
        send(&b, b"unread", &[]).unwrap();
        send(&a, b"last words", &[]).unwrap();
        drop(a);
        assert_eq!(receive(&b, &mut [0; 16]).unwrap().length, 10);
        assert_eq!(receive(&b, &mut [0; 16]).unwrap().length, 0);
    }

    #[test]
    fn oversized_messages_are_errors() {
        let (a, b) = seqpacket_pair().unwrap();
        send(&a, b"too long", &[]).unwrap();
        assert_eq!(
            receive(&b, &mut [0; 3]).unwrap_err().raw_os_error(),
            Some(libc::EMSGSIZE)
        );
    }

    #[test]
    fn listeners_are_private() {
        let path =
            std::env::temp_dir().join(format!("dockless-socket-test-{}", std::process::id()));
        let listener = listen(&path, SocketType::SEQPACKET).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let client = connect(&path, SocketType::SEQPACKET).unwrap();
        let server = accept(&listener).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mode, 0o600);
        send(client, b"x", &[]).unwrap();
        assert_eq!(receive(server, &mut [0; 4]).unwrap().length, 1);
    }

    fn tempfile_fd() -> OwnedFd {
        rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap()
    }
}
