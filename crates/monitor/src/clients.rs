//! Attached clients: each has a channel and some of the container's streams.
//!
//! A client that does not read holds the container back, as a terminal would: nothing is dropped and nothing is
//! hoarded. One that has gone is forgotten. When the run is over its clients leave: they get what is held for
//! them, in their own time, and hold nothing back any more.

use crate::interest::{Interest, Who};
use engine::channel::Channel;
use engine::logs::Stream;
use engine::protocol::{Reply, Streams};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

#[derive(Debug)]
pub(crate) struct Client {
    id: u64,
    pub(crate) channel: Channel,
    pub(crate) input: Option<OwnedFd>,
    out: Option<Sink>,
    err: Option<Sink>,
    /// Gets a word when the run is over.
    attached: bool,
    /// The run it was attached to is over, with this exit code.
    leaving: Option<u8>,
}

impl Client {
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    fn is_behind(&self) -> bool {
        let sinks = [&self.out, &self.err];
        sinks.into_iter().flatten().any(|s| !s.pending.is_empty())
    }
}

/// The writing end of a client's pipe, and what it had no room for.
#[derive(Debug)]
struct Sink {
    fd: OwnedFd,
    pending: Vec<u8>,
}

impl Sink {
    fn new(fd: OwnedFd) -> Option<Self> {
        sys::pipe::set_nonblocking(&fd, true).ok()?;
        Some(Self {
            fd,
            pending: Vec::new(),
        })
    }

    /// `false` when the reader is gone.
    fn write(&mut self, bytes: &[u8]) -> bool {
        if !self.pending.is_empty() {
            self.pending.extend_from_slice(bytes);
            return true;
        }
        match write_some(&self.fd, bytes) {
            Some(done) => {
                self.pending.extend_from_slice(&bytes[done..]);
                true
            }
            None => false,
        }
    }

    fn flush(&mut self) -> bool {
        let pending = std::mem::take(&mut self.pending);
        self.write(&pending)
    }
}

/// Writes as much as fits; `None` when the other end is gone.
pub(crate) fn write_some(fd: impl AsFd, bytes: &[u8]) -> Option<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::write(&fd, &bytes[done..]) {
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(_) => return None,
        }
    }
    Some(done)
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    list: Vec<Client>,
    next: u64,
}

impl Clients {
    pub(crate) fn add(&mut self, channel: Channel) -> u64 {
        self.next += 1;
        self.list.push(Client {
            id: self.next,
            channel,
            input: None,
            out: None,
            err: None,
            attached: false,
            leaving: None,
        });
        self.next
    }

    pub(crate) fn get(&mut self, id: u64) -> Option<&mut Client> {
        self.list.iter_mut().find(|c| c.id == id)
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.list.retain(|c| c.id != id);
    }

    /// Gives a client its streams; the descriptors come in the order stdin, stdout, stderr.
    pub(crate) fn attach(&mut self, id: u64, streams: Streams, fds: Vec<OwnedFd>) {
        let Some(client) = self.get(id) else { return };
        let mut fds = fds.into_iter();
        client.input = streams.stdin.then(|| fds.next()).flatten();
        client.out = streams
            .stdout
            .then(|| fds.next())
            .flatten()
            .and_then(Sink::new);
        client.err = streams
            .stderr
            .then(|| fds.next())
            .flatten()
            .and_then(Sink::new);
        client.attached = true;
    }

    /// Passes output on to everybody who takes this stream.
    pub(crate) fn output(&mut self, stream: Stream, bytes: &[u8]) {
        for client in self.list.iter_mut().filter(|c| !c.is_leaving()) {
            let sink = match stream {
                Stream::Stdout => &mut client.out,
                Stream::Stderr => &mut client.err,
            };
            if sink.as_mut().is_some_and(|s| !s.write(bytes)) {
                *sink = None;
            }
        }
    }

    /// A client's pipe has room again.
    pub(crate) fn flush(&mut self, id: u64) {
        let Some(client) = self.get(id) else { return };
        for sink in [&mut client.out, &mut client.err] {
            if sink
                .as_mut()
                .is_some_and(|s| !s.pending.is_empty() && !s.flush())
            {
                *sink = None;
            }
        }
    }

    /// Somebody has not read yet what we hold for them: no more output is taken from the container.
    pub(crate) fn are_behind(&self) -> bool {
        self.list.iter().any(|c| !c.is_leaving() && c.is_behind())
    }

    /// The run is over: whoever was attached to it gets no more than what is held for them.
    pub(crate) fn run_over(&mut self, code: u8) {
        for client in self.list.iter_mut().filter(|c| c.attached) {
            client.input = None;
            client.leaving.get_or_insert(code);
        }
    }

    /// Somebody still has to read what was held at the end of their run.
    pub(crate) fn are_leaving(&self) -> bool {
        self.list.iter().any(Client::is_leaving)
    }

    /// Lets go of the pipes of everybody who leaves and has read all, and tells them how the run ended.
    pub(crate) fn dismiss_drained(&mut self) {
        self.list.retain_mut(|client| {
            let Some(code) = client.leaving.filter(|_| !client.is_behind()) else {
                return true;
            };
            // The ends of the streams stand before the word that there will be no more.
            (client.out, client.err) = (None, None);
            let _ = client.channel.send(&Reply::Exited { code }, &[]);
            false
        });
    }

    pub(crate) fn interest<'a>(&'a self, interest: &mut Interest<'a>, take_input: bool) {
        for client in &self.list {
            interest.readable(client.channel.as_fd(), Who::Channel(client.id));
            if let Some(input) = client.input.as_ref().filter(|_| take_input) {
                interest.readable(input.as_fd(), Who::ClientInput(client.id));
            }
            for sink in [&client.out, &client.err].into_iter().flatten() {
                if !sink.pending.is_empty() {
                    interest.writable(sink.fd.as_fd(), Who::ClientOutput(client.id));
                }
            }
        }
    }
}
