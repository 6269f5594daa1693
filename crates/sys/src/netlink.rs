//! Netlink: one socket, many requests in one datagram, every refusal named.
//!
//! [`Channel`] carries finished messages to the kernel and reads the acknowledgements; [`link`] makes the
//! rtnetlink messages (interfaces, addresses, routes); `crate::nft` makes nf_tables batches over the same
//! channel. What a bridge or a container is for is decided elsewhere.
//!
//! Source: netlink(7), rtnetlink(7), kernel `Documentation/userspace-api/netlink/intro.rst`. The kernel handles a
//! datagram synchronously inside `sendmsg`, so all answers are queued when it returns.

mod dump;
mod link;

pub use dump::{Address, Lifetime, RouteEntry};
pub use link::{IpvlanFlag, IpvlanMode, MacvlanMode, Request, RouteSocket};

use netlink_sys::{Socket, SocketAddr};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// `NETLINK_ROUTE`.
pub(crate) const ROUTE: isize = 0;
/// `NETLINK_NETFILTER`.
pub(crate) const NETFILTER: isize = 12;

pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `struct nlmsghdr`.
pub(crate) const HEADER_LEN: usize = 16;

/// Why the kernel could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot open a netlink socket")]
    Open { source: io::Error },
    #[error("cannot enter the network namespace")]
    Enter { source: io::Error },
    #[error("cannot send {what} over netlink")]
    Send { what: String, source: io::Error },
    #[error("no netlink answer to {what}")]
    Receive { what: String, source: io::Error },
    #[error("cannot {what}{}", hint(detail))]
    Refused {
        what: String,
        detail: Option<String>,
        source: io::Error,
    },
    #[error("the kernel's netlink answer to {what} cannot be read")]
    Malformed { what: String },
}

impl Error {
    /// The kernel's error number, when it was the kernel that refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    pub fn is_exists(&self) -> bool {
        self.errno() == Some(libc::EEXIST)
    }

    /// The object asked for is not there.
    pub fn is_missing(&self) -> bool {
        matches!(
            self.errno(),
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)
        )
    }
}

fn hint(detail: &Option<String>) -> String {
    detail
        .as_deref()
        .map(|text| format!(" ({text})"))
        .unwrap_or_default()
}

/// Runs `work` with the calling thread inside `netns`, then returns to where it was.
///
/// Only this thread moves. A socket opened by `work` keeps belonging to `netns`; so do files it opens below
/// `/proc/sys/net`. The process ends when the way back is barred, since everything after would act on the wrong host.
pub fn in_netns<T>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T) -> io::Result<T> {
    let home = own_netns()?;
    move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
    struct Return(OwnedFd);
    impl Drop for Return {
        fn drop(&mut self) {
            if move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).is_err()
            {
                std::process::abort();
            }
        }
    }
    let _back = Return(home);
    Ok(work())
}

/// The calling thread's network namespace.
pub fn own_netns() -> io::Result<OwnedFd> {
    File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
}

/// A netlink socket of one protocol, in the namespace it was opened in.
pub(crate) struct Channel {
    socket: Socket,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Channel")
    }
}

/// Messages laid end to end, with what each is for.
#[derive(Debug, Default)]
pub(crate) struct Datagram {
    pub(crate) bytes: Vec<u8>,
    /// `labels[i]` says what the message with sequence number `i + 1` does: "create bridge x".
    pub(crate) labels: Vec<Cow<'static, str>>,
}

impl Datagram {
    /// The sequence number the next message carries.
    pub(crate) fn next_sequence(&mut self, label: impl Into<Cow<'static, str>>) -> u32 {
        self.labels.push(label.into());
        self.labels.len() as u32
    }

    fn label(&self, sequence: u32) -> String {
        let index = (sequence as usize).wrapping_sub(1);
        self.labels
            .get(index)
            .map_or_else(|| "netlink request".into(), |l| l.to_string())
    }
}

/// One message out of the kernel's answer.
pub(crate) struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    pub(crate) payload: &'a [u8],
}

impl Channel {
    pub(crate) fn open(protocol: isize) -> Result<Self, Error> {
        let socket = Socket::new(protocol).map_err(|source| Error::Open { source })?;
        // Both only make the answers shorter and clearer; an old kernel without them serves as well.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        Ok(Self { socket })
    }

    pub(crate) fn open_in(protocol: isize, netns: BorrowedFd<'_>) -> Result<Self, Error> {
        in_netns(netns, || Self::open(protocol)).map_err(|source| Error::Enter { source })?
    }

    /// Hears from now on what the kernel tells this multicast group.
    pub(crate) fn join(&mut self, group: u32) -> Result<(), Error> {
        // A socket without an address is told nothing.
        let bound = self.socket.bind_auto().map(drop);
        let joined = bound.and_then(|()| self.socket.add_membership(group));
        joined.map_err(|source| Error::Open { source })
    }

    /// The socket's descriptor, for interface ioctls in its namespace.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sends one datagram and reads until the answer to `last` (a sequence number asked to be acknowledged) is in.
    /// The first refusal is the error; later ones are its consequences.
    pub(crate) fn transact(&self, datagram: &Datagram, last: u32) -> Result<(), Error> {
        self.send(datagram)?;
        let mut refused = None;
        let mut buffer = vec![0u8; 32 << 10];
        loop {
            let length = self.receive(&mut buffer, datagram)?;
            for message in messages(&buffer[..length]) {
                if message.kind != NLMSG_ERROR {
                    continue;
                }
                let failure = refusal(&message, datagram);
                let fatal = failure.is_some() && message.sequence == 0;
                refused = refused.or(failure);
                if message.sequence == last || fatal {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Sends one dump request and hands every part of the answer to `each`.
    pub(crate) fn dump(
        &self,
        datagram: &Datagram,
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<(), Error> {
        self.send(datagram)?;
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            let length = self.receive(&mut buffer, datagram)?;
            for message in messages(&buffer[..length]) {
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return refusal(&message, datagram).map_or(Ok(()), Err),
                    _ => each(&message),
                }
            }
        }
    }

    fn send(&self, datagram: &Datagram) -> Result<(), Error> {
        self.socket
            .send_to(&datagram.bytes, &SocketAddr::new(0, 0), 0)
            .map(drop)
            .map_err(|source| Error::Send {
                what: datagram.label(1),
                source,
            })
    }

    fn receive(&self, buffer: &mut [u8], datagram: &Datagram) -> Result<usize, Error> {
        loop {
            match rustix::net::recv(self.fd(), &mut *buffer, rustix::net::RecvFlags::empty()) {
                Ok((length, _)) => return Ok(length),
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => {
                    return Err(Error::Receive {
                        what: datagram.label(1),
                        source: e.into(),
                    });
                }
            }
        }
    }
}

/// `None` for an acknowledgement.
fn refusal(message: &Message<'_>, datagram: &Datagram) -> Option<Error> {
    let what = datagram.label(message.sequence);
    let Some(code) = message.payload.first_chunk::<4>() else {
        return Some(Error::Malformed { what });
    };
    let code = i32::from_ne_bytes(*code);
    if code == 0 {
        return None;
    }
    let detail = (message.flags & NLM_F_ACK_TLVS != 0)
        .then(|| extended_message(message.payload))
        .flatten();
    Some(Error::Refused {
        what,
        detail,
        source: io::Error::from_raw_os_error(-code),
    })
}

/// `NLMSGERR_ATTR_MSG` behind the (capped) copy of the request's header.
fn extended_message(payload: &[u8]) -> Option<String> {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let attributes = payload.get(4 + HEADER_LEN..)?;
    let (_, text) = Attributes(attributes).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)?;
    Some(
        String::from_utf8_lossy(text)
            .trim_end_matches('\0')
            .to_owned(),
    )
}

/// Walks the messages of one datagram; stops at the first that does not fit.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let payload = bytes.get(HEADER_LEN..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            payload,
        })
    })
}

/// Walks `struct nlattr`s as (type without flags, value).
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.0.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_answers_end_the_walk_and_never_panic() {
        assert_eq!(messages(&[]).count(), 0);
        assert_eq!(messages(&[0xff; 16]).count(), 0);
        assert_eq!(
            messages(&[0; 16]).count(),
            0,
            "a length below the header's own"
        );
        assert_eq!(
            Attributes(&[2, 0, 1, 0]).count(),
            0,
            "a length below the head's own"
        );
        assert_eq!(
            Attributes(&[9, 0, 1, 0, 7]).count(),
            0,
            "a value beyond the end"
        );
        assert_eq!(
            Attributes(&[5, 0, 1, 0x80, 7]).next(),
            Some((1, &[7][..])),
            "flags are not part of the type"
        );
    }
}
