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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// A client as a command has it.
    struct Far {
        id: u64,
        channel: Channel,
        out: Option<std::fs::File>,
    }

    fn attach(clients: &mut Clients) -> Far {
        let (ours, theirs) = Channel::pair().unwrap();
        let (read, write) = sys::pipe::new().unwrap();
        let id = clients.add(ours);
        let streams = Streams {
            stdout: true,
            ..Default::default()
        };
        clients.attach(id, streams, vec![write]);
        Far {
            id,
            channel: theirs,
            out: Some(read.into()),
        }
    }

    fn exit_code(far: &Far) -> Option<u8> {
        match far.channel.try_receive::<Reply>() {
            Ok(Some((Reply::Exited { code }, _))) => Some(code),
            _ => None,
        }
    }

    /// More than a pipe holds.
    fn much() -> Vec<u8> {
        vec![b'x'; 300_000]
    }

    #[test]
    fn a_client_that_does_not_read_holds_back_and_loses_nothing() {
        let mut clients = Clients::default();
        let mut far = attach(&mut clients);
        clients.output(Stream::Stdout, b"first ");
        assert!(!clients.are_behind());
        clients.output(Stream::Stdout, &much());
        assert!(clients.are_behind());
        clients.output(Stream::Stderr, b"not for this one");
        let mut out = far.out.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            out.read_to_end(&mut all).unwrap();
            all
        });
        while clients.are_behind() {
            clients.flush(far.id);
        }
        clients.run_over(0);
        clients.dismiss_drained();
        assert_eq!(reader.join().unwrap().len(), 6 + much().len());
    }

    #[test]
    fn a_client_that_has_gone_is_forgotten() {
        let mut clients = Clients::default();
        let mut far = attach(&mut clients);
        clients.output(Stream::Stdout, &much());
        assert!(clients.are_behind());
        far.out = None;
        clients.flush(far.id);
        assert!(!clients.are_behind());
        clients.output(Stream::Stdout, &much());
        assert!(!clients.are_behind());
    }

    #[test]
    fn the_end_is_told_after_the_last_byte_and_holds_nothing_back() {
        let mut clients = Clients::default();
        let slow = attach(&mut clients);
        clients.output(Stream::Stdout, &much());
        let quick = attach(&mut clients);
        clients.run_over(3);
        assert!(!clients.are_behind(), "the next run does not wait");
        clients.dismiss_drained();
        assert_eq!(exit_code(&quick), Some(3));
        assert_eq!(exit_code(&slow), None);
        assert!(clients.are_leaving());
        clients.output(Stream::Stdout, b"of the next run");
        clients.run_over(4);
        let mut out = slow.out.as_ref().unwrap();
        let mut seen = 0;
        let mut buffer = vec![0; 100_000];
        while clients.are_leaving() {
            seen += out.read(&mut buffer).unwrap();
            clients.flush(slow.id);
            clients.dismiss_drained();
        }
        loop {
            match out.read(&mut buffer).unwrap() {
                0 => break,
                n => seen += n,
            }
        }
        assert_eq!(seen, much().len());
        assert_eq!(exit_code(&slow), Some(3), "of its own run");
    }

    #[test]
    fn a_client_that_only_asks_is_not_told_of_ends() {
        let mut clients = Clients::default();
        let (ours, theirs) = Channel::pair().unwrap();
        clients.add(ours);
        clients.run_over(0);
        clients.dismiss_drained();
        assert!(!clients.are_leaving());
        assert!(theirs.try_receive::<Reply>().is_err(), "nothing was said");
    }
}
