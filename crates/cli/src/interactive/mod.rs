//! Sitting at a container: copies between our standard streams and an attached container's, in raw mode where
//! there is a terminal, with its size kept up to date, the detach keys watched and signals passed on.
//!
//! One thread, one `poll`. Nothing here blocks on the container's input: what it does not take yet is kept, and
//! no more is read until it has gone.

use crate::failure::Failure;
use engine::container::attach::Attached;
use engine::container::exec::ExecProcess;
use engine::detach_keys::Detector;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::poll::{PollFd, PollFlags};
use sys::signal::Signals;
use sys::tty::RawMode;

/// What is passed on to the container instead of ending us.
const PROXIED: [&str; 8] = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "PWR"];
const CHUNK: usize = 64 * 1024;

/// How the sitting goes.
#[derive(Debug)]
pub(crate) struct Sitting<'a> {
    pub(crate) tty: bool,
    pub(crate) detach_keys: Vec<u8>,
    /// Passes signals on (`--sig-proxy`, only without a terminal).
    pub(crate) proxy: Option<&'a Proxy<'a>>,
    pub(crate) aside: Option<&'a Aside<'a>>,
}

/// Somebody else to listen to meanwhile: when there is something to read, and what to do then.
pub(crate) struct Aside<'a>(pub(crate) BorrowedFd<'a>, pub(crate) &'a dyn Fn());

impl std::fmt::Debug for Aside<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Aside")
    }
}

/// Sends one signal, by name, to the container.
pub(crate) struct Proxy<'a>(pub(crate) &'a dyn Fn(&str));

impl std::fmt::Debug for Proxy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proxy")
    }
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exited(u8),
    Detached,
    /// The monitor is gone without a word; the container may live.
    Lost,
}

/// Rows and columns of our terminal, when standard output is one.
pub(crate) fn terminal_size() -> Option<(u16, u16)> {
    sys::tty::size(std::io::stdout())
        .ok()
        .filter(|(rows, columns)| *rows > 0 && *columns > 0)
}

/// A container with a terminal needs one on this side, when it shall be typed at.
pub(crate) fn check_terminal(tty: bool, stdin: bool) -> Result<(), Failure> {
    if tty && stdin && !std::io::stdin().is_terminal() {
        return Err(Failure::said("the input device is not a TTY")
            .hint("leave out -t, or give it a terminal")
            .code(1));
    }
    Ok(())
}

/// The streams of what we sit at.
#[derive(Debug)]
pub(crate) struct Seat {
    input: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    far: Far,
}

/// Who is at the other end.
#[derive(Debug)]
enum Far {
    Container(Attached),
    Executed(ExecProcess),
}

impl Seat {
    pub(crate) fn at_container(mut attached: Attached) -> Self {
        Self {
            input: attached.stdin.take(),
            stdout: attached.stdout.take(),
            stderr: attached.stderr.take(),
            far: Far::Container(attached),
        }
    }

    /// At a process with a terminal of its own.
    pub(crate) fn at_process(process: ExecProcess, typing: bool) -> Result<Self, Failure> {
        let copy = || {
            let terminal = process.terminal.as_ref();
            terminal
                .map(OwnedFd::try_clone)
                .transpose()
                .map_err(Failure::system("share the terminal"))
        };
        Ok(Self {
            input: if typing { copy()? } else { None },
            stdout: copy()?,
            stderr: None,
            far: Far::Executed(process),
        })
    }
}

impl Far {
    /// Becomes readable when it is over.
    fn watched(&self) -> BorrowedFd<'_> {
        match self {
            Self::Container(attached) => attached.channel(),
            Self::Executed(process) => process.pidfd.as_fd(),
        }
    }

    fn end(&self) -> Result<End, Failure> {
        match self {
            Self::Container(attached) => Ok(attached.exit_code()?.map_or(End::Lost, End::Exited)),
            Self::Executed(process) => Ok(End::Exited(process.wait()?)),
        }
    }

    fn resize(&self, rows: u16, columns: u16) -> Result<(), Failure> {
        match self {
            Self::Container(attached) => Ok(attached.resize(rows, columns)?),
            Self::Executed(process) => match &process.terminal {
                Some(terminal) => sys::tty::set_size(terminal, rows, columns)
                    .map_err(Failure::system("set the terminal's size")),
                None => Ok(()),
            },
        }
    }
}

/// Stays until the container exits, the user leaves, or the monitor is gone.
pub(crate) fn sit(seat: Seat, sitting: &Sitting<'_>) -> Result<End, Failure> {
    let raw = (sitting.tty && seat.input.is_some() && std::io::stdin().is_terminal())
        .then(|| RawMode::enter(std::io::stdin()))
        .transpose()
        .map_err(Failure::system("put the terminal into raw mode"))?;
    let mut sitter = Sitter::new(seat, sitting)?;
    let end = sitter.run()?;
    drop(raw);
    if let (End::Detached, Far::Container(attached)) = (&end, sitter.seat.far) {
        attached.detach()?;
    }
    Ok(end)
}

struct Sitter<'a> {
    seat: Seat,
    sitting: &'a Sitting<'a>,
    signals: Signals,
    detector: Detector,
    /// Typed, and not yet taken by the container.
    pending: Vec<u8>,
    /// Our standard input has ended.
    input_ended: bool,
}

/// What `poll` watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Our standard input.
    Input,
    /// Room in the container's.
    ContainerInput,
    Stdout,
    Stderr,
    Channel,
    Signal,
    Aside,
}

impl<'a> Sitter<'a> {
    fn new(seat: Seat, sitting: &'a Sitting<'a>) -> Result<Self, Failure> {
        for fd in [&seat.input, &seat.stdout, &seat.stderr]
            .into_iter()
            .flatten()
        {
            rustix::fs::fcntl_setfl(fd, OFlags::NONBLOCK)
                .map_err(|e| Failure::system("set up a pipe")(e.into()))?;
        }
        let mut watched = Vec::new();
        if sitting.tty {
            watched.push("WINCH");
        }
        if sitting.proxy.is_some() {
            watched.extend(PROXIED);
        }
        let numbers: Vec<i32> = watched.into_iter().filter_map(sys::signal::parse).collect();
        let signals = Signals::new(&numbers).map_err(Failure::system("listen for signals"))?;
        let keys = if sitting.tty {
            sitting.detach_keys.clone()
        } else {
            Vec::new()
        };
        Ok(Self {
            seat,
            sitting,
            signals,
            detector: Detector::new(keys),
            pending: Vec::new(),
            input_ended: false,
        })
    }

    fn run(&mut self) -> Result<End, Failure> {
        loop {
            let ready = self.wait()?;
            if ready.contains(&Source::Stdout) {
                copy_out(&mut self.seat.stdout, std::io::stdout().lock())?;
            }
            if ready.contains(&Source::Stderr) {
                copy_out(&mut self.seat.stderr, std::io::stderr().lock())?;
            }
            if let (Some(aside), true) = (self.sitting.aside, ready.contains(&Source::Aside)) {
                (aside.1)();
            }
            if ready.contains(&Source::Signal) {
                self.signal()?;
            }
            if ready.contains(&Source::ContainerInput) {
                self.flush()?;
            }
            if ready.contains(&Source::Input) && self.type_in()? {
                return Ok(End::Detached);
            }
            if ready.contains(&Source::Channel) {
                let end = self.seat.far.end()?;
                copy_out(&mut self.seat.stdout, std::io::stdout().lock())?;
                copy_out(&mut self.seat.stderr, std::io::stderr().lock())?;
                return Ok(end);
            }
        }
    }

    fn wait(&self) -> Result<Vec<Source>, Failure> {
        let stdin = std::io::stdin();
        let Seat {
            input: container_input,
            stdout,
            stderr,
            far,
        } = &self.seat;
        let typing = container_input.is_some() && !self.input_ended && self.pending.is_empty();
        let writing = container_input
            .as_ref()
            .filter(|_| !self.pending.is_empty());
        let watched: Vec<(Source, BorrowedFd<'_>, PollFlags)> = [
            Some((Source::Channel, far.watched(), PollFlags::IN)),
            Some((Source::Signal, self.signals.as_fd(), PollFlags::IN)),
            stdout
                .as_ref()
                .map(|fd| (Source::Stdout, fd.as_fd(), PollFlags::IN)),
            stderr
                .as_ref()
                .map(|fd| (Source::Stderr, fd.as_fd(), PollFlags::IN)),
            typing.then(|| (Source::Input, stdin.as_fd(), PollFlags::IN)),
            writing.map(|fd| (Source::ContainerInput, fd.as_fd(), PollFlags::OUT)),
            (self.sitting.aside).map(|aside| (Source::Aside, aside.0, PollFlags::IN)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut fds: Vec<PollFd<'_>> = watched
            .iter()
            .map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
            .collect();
        sys::poll::wait(&mut fds, None).map_err(Failure::system("wait for the container"))?;
        let ready = watched
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|((source, ..), _)| *source);
        Ok(ready.collect())
    }

    fn signal(&mut self) -> Result<(), Failure> {
        while let Some(number) = self
            .signals
            .read()
            .map_err(Failure::system("read a signal"))?
        {
            let name = sys::signal::name(number);
            match (name.as_str(), self.sitting.proxy) {
                ("SIGWINCH", _) => {
                    if let Some((rows, columns)) = terminal_size() {
                        self.seat.far.resize(rows, columns)?;
                    }
                }
                (name, Some(proxy)) => (proxy.0)(name),
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads what was typed; true when it was the detach sequence.
    fn type_in(&mut self) -> Result<bool, Failure> {
        let mut buffer = vec![0; CHUNK];
        let read = match rustix::io::read(std::io::stdin(), &mut buffer) {
            Ok(read) => read,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            // The terminal has hung up: that is the end of what is typed.
            Err(Errno::IO) => 0,
            Err(e) => return Err(Failure::system("read standard input")(e.into())),
        };
        if read == 0 {
            self.input_ended = true;
        }
        let (typed, detach) = self.detector.filter(&buffer[..read]);
        self.pending.extend_from_slice(&typed);
        self.flush()?;
        Ok(detach)
    }

    /// Hands on what was typed, as much as the container takes; at the end of it, the end.
    fn flush(&mut self) -> Result<(), Failure> {
        while let (Some(fd), false) = (&self.seat.input, self.pending.is_empty()) {
            match rustix::io::write(fd, &self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                // The container reads no more.
                Err(_) => {
                    self.pending.clear();
                    self.seat.input = None;
                }
            }
        }
        if self.input_ended && self.pending.is_empty() {
            // The monitor reads what is left in the pipe, then its end: a message could overtake it.
            self.seat.input = None;
        }
        Ok(())
    }
}

/// Copies what is there now; at the end of the stream the descriptor is given up.
fn copy_out(from: &mut Option<OwnedFd>, mut to: impl Write) -> Result<(), Failure> {
    let mut buffer = vec![0; CHUNK];
    while let Some(fd) = from.as_ref() {
        match rustix::io::read(fd, &mut buffer) {
            // A terminal whose other side is closed says EIO.
            Ok(0) | Err(Errno::IO) => *from = None,
            Ok(read) => to.write_all(&buffer[..read]).and_then(|()| to.flush())?,
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(e) => return Err(Failure::system("read the container's output")(e.into())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn output_is_copied_as_far_as_it_is_there_and_its_end_is_seen() {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut from = Some(read);
        rustix::io::write(&write, b"hello").unwrap();
        let mut out = Vec::new();
        copy_out(&mut from, &mut out).unwrap();
        assert_eq!(
            (out.as_slice(), from.is_some()),
            (&b"hello"[..], true),
            "open, but empty for now"
        );
        drop(write);
        copy_out(&mut from, &mut out).unwrap();
        assert!(from.is_none());
    }

    #[test]
    fn a_reader_that_went_away_ends_us_quietly() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        rustix::io::write(&write, b"x").unwrap();
        assert!(matches!(
            copy_out(&mut Some(read), Closed),
            Err(Failure::Silent(141))
        ));
    }
}
