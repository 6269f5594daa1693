//! Connections that are taken over: from the answer's head on both sides say what they want.
//!
//! Docker's clients ask for it by `Upgrade: tcp`. The bytes they send go to a process, and its output comes back: as it is from a
//! terminal, else in frames ([`super::frames`]).

use super::activity::Busy;
use super::body::{Download, Outgoing};
use super::reply::Talker;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::net::UnixStream as Connection;

/// A connection that is ours, on a thread that may wait.
#[derive(Debug)]
pub(crate) enum Taken {
    Whole {
        stream: UnixStream,
        /// What the client had said already.
        early: Bytes,
    },
    /// The client gets what is said, and says nothing.
    Output(Download),
}

impl Taken {
    pub(crate) fn output_alone() -> (Self, Outgoing) {
        let (download, outgoing) = Download::new();
        (Self::Output(download), outgoing)
    }

    /// Both directions, each for a thread of its own.
    pub(crate) fn split(self) -> io::Result<(Option<Input>, Output)> {
        Ok(match self {
            Self::Whole { stream, early } => {
                let input = Input {
                    stream: stream.try_clone()?,
                    early,
                };
                (Some(input), Output::Stream(stream))
            }
            Self::Output(download) => (None, Output::Download(download)),
        })
    }
}

/// What the client says.
#[derive(Debug)]
pub(crate) struct Input {
    stream: UnixStream,
    early: Bytes,
}

impl Input {
    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.early.is_empty() {
            return self.stream.read(buffer);
        }
        let length = buffer.len().min(self.early.len());
        buffer[..length].copy_from_slice(&self.early.split_to(length));
        Ok(length)
    }
}

/// What the client hears.
#[derive(Debug)]
pub(crate) enum Output {
    Stream(UnixStream),
    Download(Download),
}

impl Output {
    pub(crate) fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write_all(bytes),
            Self::Download(download) => {
                download.write_all(bytes)?;
                download.flush()
            }
        }
    }

    /// What a poll says of a client that has gone.
    pub(crate) fn watched(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Stream(stream) => Some(stream.as_fd()),
            Self::Download(_) => None,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Stream(_) => false,
            Self::Download(download) => download.is_closed(),
        }
    }

    /// Nothing more is said or heard: a thread that reads from the client comes back.
    pub(crate) fn end(&self) {
        if let Self::Stream(stream) = self {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

pub(crate) async fn take_over(upgrade: hyper::upgrade::OnUpgrade, talk: Talker, busy: Busy) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<Connection>>() else {
        return;
    };
    let Ok(stream) = parts.io.into_inner().into_std() else {
        return;
    };
    let early = parts.read_buf;
    tokio::task::spawn_blocking(move || {
        if stream.set_nonblocking(false).is_ok() {
            let_it_read(&stream);
            talk(Taken::Whole { stream, early });
        }
        drop(busy);
    });
}

/// Waits a moment for the client to have read the answer's head. One that reads it through a buffer and what follows beneath that
/// (Python's `http.client`) would lose what came along.
fn let_it_read(stream: &UnixStream) {
    const PAUSE: Duration = Duration::from_millis(1);
    const AT_MOST: u32 = 500;
    for _ in 0..AT_MOST {
        match sys::socket::has_unread(stream) {
            Ok(true) => std::thread::sleep(PAUSE),
            _ => return,
        }
    }
}

impl Taken {
    /// Something before the conversation.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Whole { stream, .. } => stream.write_all(bytes),
            Self::Output(download) => {
                download.write_all(bytes)?;
                download.flush()
            }
        }
    }

    /// Whether the client has closed the connection, both ways.
    pub(crate) fn is_gone(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        match self {
            Self::Whole { stream, .. } => {
                let mut fds = [PollFd::new(stream, PollFlags::empty())];
                let now = Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                };
                let _ = poll(&mut fds, Some(&now));
                !fds[0].revents().is_empty()
            }
            Self::Output(download) => download.is_closed(),
        }
    }
}
