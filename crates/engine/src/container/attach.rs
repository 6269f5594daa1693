//! Taking part in a container's streams.
//!
//! The client keeps its own terminal: it hands the ends of pipes to the monitor, which copies between them and
//! the container. What the client does with its ends (raw mode, detach keys) is the caller's business.

use super::launch::{self, ClientEnds};
use super::record::ContainerRecord;
use super::state::State;
use crate::channel::Channel;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::protocol::{Reply, Request, Streams};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An attached client's side.
#[derive(Debug)]
pub struct Attached {
    channel: Channel,
    /// Write the container's standard input here. Closing it ends the container's, if it was started with this client
    /// alone (`stdin_once`), after what is still in the pipe.
    pub stdin: Option<OwnedFd>,
    /// Read the container's output here; ends when the container has exited or the monitor let go.
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

impl Attached {
    /// Becomes readable when the monitor has something to say ([`Attached::exit_code`]).
    pub fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        self.send(&Request::Resize { rows, columns })
    }

    /// Leaves; the container goes on.
    pub fn detach(self) -> Result<()> {
        self.send(&Request::Detach)
    }

    /// Waits for the end of the run; `None` when the monitor was killed.
    pub fn exit_code(&self) -> Result<Option<u8>> {
        loop {
            match self
                .channel
                .receive::<Reply>()
                .map_err(Error::system("hear from the container's monitor"))?
            {
                Some((Reply::Exited { code }, _)) => return Ok(Some(code)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    fn send(&self, request: &Request) -> Result<()> {
        self.channel
            .send(request, &[])
            .map_err(Error::system("speak to the container's monitor"))
    }
}

/// The pipes of one client: its own ends, and those for the monitor.
pub(crate) struct Pipes {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    pub(crate) theirs: ClientEnds,
}

impl Pipes {
    /// With a terminal there is no separate standard error.
    pub(crate) fn new(streams: Streams, tty: bool) -> Result<Self> {
        let mut pipes = Self {
            stdin: None,
            stdout: None,
            stderr: None,
            theirs: ClientEnds::default(),
        };
        let make =
            || pipe_with(PipeFlags::CLOEXEC).map_err(|e| Error::system("make a pipe")(e.into()));
        if streams.stdin {
            let (read, write) = make()?;
            (pipes.stdin, pipes.theirs.stdin) = (Some(write), Some(read));
        }
        if streams.stdout || (tty && streams.stderr) {
            let (read, write) = make()?;
            (pipes.stdout, pipes.theirs.stdout) = (Some(read), Some(write));
        }
        if streams.stderr && !tty {
            let (read, write) = make()?;
            (pipes.stderr, pipes.theirs.stderr) = (Some(read), Some(write));
        }
        Ok(pipes)
    }

    pub(crate) fn attached(self, channel: Channel) -> Attached {
        Attached {
            channel,
            stdin: self.stdin,
            stdout: self.stdout,
            stderr: self.stderr,
        }
    }
}

/// Sets the size of a running container's terminal, for somebody who does not hold its streams.
pub fn resize(ctx: &Context, container: &ContainerRecord, rows: u16, columns: u16) -> Result<()> {
    if !State::load(ctx, container.id.as_str())?.is_active() {
        return Err(Error::NotRunning(container.id.to_string()));
    }
    launch::connect(ctx, container)?
        .send(&Request::Resize { rows, columns }, &[])
        .map_err(Error::system("speak to the container's monitor"))
}

/// Joins the streams of a running container.
pub fn attach(ctx: &Context, container: &ContainerRecord, streams: Streams) -> Result<Attached> {
    let refused = |state, first| Err(Error::NotAttachable { state, first });
    match State::load(ctx, container.id.as_str())? {
        State::Running { .. } => {}
        State::Paused { .. } => return refused("paused", "unpause it first"),
        State::Restarting { .. } => return refused("restarting", "wait until it is running"),
        State::Created | State::Exited(_) => return refused("stopped", "start it first"),
    }
    let pipes = Pipes::new(streams, container.spec.tty)?;
    let channel = launch::connect(ctx, container)?;
    channel
        .send(
            &Request::Attach {
                streams: pipes.theirs.streams(),
            },
            &pipes.theirs.fds(),
        )
        .map_err(Error::system("speak to the container's monitor"))?;
    match launch::expect_reply(&channel)? {
        Reply::Done => Ok(pipes.attached(channel)),
        Reply::Refused { message } => Err(Error::Refused(message)),
        other => Err(Error::Refused(format!(
            "the monitor answered {other:?} to an attach"
        ))),
    }
}
