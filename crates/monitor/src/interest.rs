//! What the loop waits for, gathered anew each round: descriptors, each with whom it concerns.

use rustix::event::{PollFd, PollFlags};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Whom a ready descriptor concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The container's output: 0 for stdout or the terminal, 1 for stderr.
    Output(usize),
    /// The container's input has room.
    Input,
    /// The first process ended.
    Process,
    Listener,
    /// A client's channel, input, output or error output.
    Channel(u64),
    ClientInput(u64),
    ClientOutput(u64),
    Dns(i32),
    /// Something was taken from the packet filter.
    Firewall,
    Probe,
    ProbeOutput,
    /// Somebody connects to the API's socket of the container.
    ApiClient,
    /// The server behind it ended.
    ApiServer,
}

/// The descriptors of one round.
#[derive(Debug, Default)]
pub(crate) struct Interest<'a> {
    fds: Vec<PollFd<'a>>,
    who: Vec<Who>,
    deadline: Option<Instant>,
}

impl<'a> Interest<'a> {
    pub(crate) fn readable(&mut self, fd: BorrowedFd<'a>, who: Who) {
        self.add(fd, PollFlags::IN, who);
    }

    pub(crate) fn writable(&mut self, fd: BorrowedFd<'a>, who: Who) {
        self.add(fd, PollFlags::OUT, who);
    }

    fn add(&mut self, fd: BorrowedFd<'a>, flags: PollFlags, who: Who) {
        self.fds.push(PollFd::from_borrowed_fd(fd, flags));
        self.who.push(who);
    }

    /// Wake up by then at the latest.
    pub(crate) fn deadline(&mut self, at: Option<Instant>) {
        self.deadline = match (self.deadline, at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Waits and says who is ready.
    pub(crate) fn wait(mut self) -> std::io::Result<Vec<Who>> {
        let timeout = self.timeout();
        sys::poll::wait(&mut self.fds, timeout)?;
        Ok(self.ready())
    }

    /// The same, for a wait that may be a long one: memory is given back before.
    pub(crate) fn rest(mut self) -> std::io::Result<Vec<Who>> {
        let timeout = self.timeout();
        sys::rest::wait(&mut self.fds, timeout)?;
        Ok(self.ready())
    }

    fn timeout(&self) -> Option<Duration> {
        self.deadline.map(|at| {
            // Rounded up, so that a deadline has passed when its round begins.
            at.saturating_duration_since(Instant::now()) + Duration::from_micros(100)
        })
    }

    fn ready(&self) -> Vec<Who> {
        let each = self.fds.iter().zip(&self.who);
        let ready = each.filter(|(fd, _)| !fd.revents().is_empty());
        ready.map(|(_, who)| *who).collect()
    }
}
