//! A typed end of a `SOCK_SEQPACKET` socket: one JSON document per message, with descriptors.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Longer messages are refused; ours are a few hundred bytes (an error chain is the longest).
const MAX_MESSAGE: usize = 64 * 1024;

/// One end of the conversation in [`crate::protocol`].
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
}

impl From<OwnedFd> for Channel {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Channel {
    /// Both ends of a new conversation.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = sys::socket::seqpacket_pair()?;
        Ok((a.into(), b.into()))
    }

    /// Connects to `monitor.sock` in a directory.
    pub fn connect(dir: &Path) -> io::Result<Self> {
        let handle = open_directory(dir)?;
        let path = short_path(&handle, SOCKET);
        Ok(sys::socket::connect(Path::new(&path), sys::socket::Type::SEQPACKET)?.into())
    }

    pub fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        sys::socket::send(&self.fd, &bytes, fds)
    }

    /// The next message; `None` when the other end is gone.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; MAX_MESSAGE];
        let received = sys::socket::receive(&self.fd, &mut buffer);
        Self::decode(&buffer, received)
    }

    /// The same without waiting: an error of kind `WouldBlock` when there is nothing yet.
    pub fn try_receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; MAX_MESSAGE];
        let received = sys::socket::try_receive(&self.fd, &mut buffer);
        Self::decode(&buffer, received)
    }

    fn decode<T: DeserializeOwned>(
        buffer: &[u8],
        received: io::Result<sys::socket::Received>,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let received = match received {
            Ok(received) => received,
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(e) => return Err(e),
        };
        if received.length == 0 {
            return Ok(None);
        }
        let message = serde_json::from_slice(&buffer[..received.length])?;
        Ok(Some((message, received.fds)))
    }
}

/// The name of a monitor's socket in its container's run directory.
pub const SOCKET: &str = "monitor.sock";

/// Listens on `monitor.sock` in a directory, over whatever a dead monitor left there.
pub fn listen(dir: &Path) -> io::Result<OwnedFd> {
    listen_as(dir, SOCKET, sys::socket::Type::SEQPACKET)
}

/// The same under another name, or for another kind of conversation.
pub(crate) fn listen_as(dir: &Path, name: &str, kind: sys::socket::Type) -> io::Result<OwnedFd> {
    let handle = open_directory(dir)?;
    let path = short_path(&handle, name);
    let listen = || sys::socket::listen(Path::new(&path), kind);
    match listen() {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            std::fs::remove_file(dir.join(name))?;
            listen()
        }
        other => other,
    }
}

fn open_directory(dir: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open(
        dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// A socket's address has room for 107 bytes; through the directory's descriptor any run root fits.
fn short_path(dir: &OwnedFd, name: &str) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}/{name}", dir.as_raw_fd())
}
