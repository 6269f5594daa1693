//! The container's streams, as this process holds them.
//!
//! Without a terminal they are FIFOs in the run directory. The container opens its output for reading *and*
//! writing: when this process is killed it gets no SIGPIPE, and the next monitor opens the FIFOs again. With a
//! terminal there is only the master of the pty, which dies with its holder.

use crate::clients::write_some;
use crate::interest::{Interest, Who};
use engine::logs::Stream;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What a pipe holds as the kernel makes it.
const BUFFER: usize = 64 * 1024;
/// What the pipe of a container holds that writes faster than it is read: fewer changes from one process to the other.
pub(crate) const CHATTY: usize = 1 << 20;

/// One buffer for all copying, there while something is copied.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    pub(crate) fn get(&mut self) -> &mut [u8] {
        if self.0.is_empty() {
            self.0 = vec![0; BUFFER];
        }
        &mut self.0
    }

    pub(crate) fn let_go(&mut self) {
        self.0 = Vec::new();
    }
}

#[derive(Debug, Default)]
pub(crate) struct Output {
    /// stdout (or the terminal), stderr.
    readers: [Option<OwnedFd>; 2],
    input: Option<OwnedFd>,
    /// Input that the container has not taken yet.
    pending: Vec<u8>,
    close_when_written: bool,
    terminal: bool,
    /// Its pipes were made as large as they get.
    chatty: [bool; 2],
}

/// The container's own ends.
#[derive(Debug)]
pub(crate) struct ContainerEnds {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// What one read gave.
pub(crate) enum Taken {
    Bytes(Stream, usize),
    Nothing,
    End,
}

impl Output {
    /// Makes the FIFOs and both ends of them.
    pub(crate) fn fifos(dir: &Path, open_stdin: bool) -> io::Result<(Self, ContainerEnds)> {
        let mut readers = [None, None];
        let mut ends = Vec::new();
        for (slot, name) in ["stdout", "stderr"].into_iter().enumerate() {
            let path = dir.join(name);
            make_fifo(&path)?;
            // The reader first: opening a FIFO for reading and writing never waits.
            readers[slot] = Some(open(&path, OFlags::RDONLY | OFlags::NONBLOCK)?);
            ends.push(open(&path, OFlags::RDWR)?);
        }
        let (stdin, input) = if open_stdin {
            let path = dir.join("stdin");
            make_fifo(&path)?;
            let input = open(&path, OFlags::RDWR | OFlags::NONBLOCK)?;
            let reader = open(&path, OFlags::RDONLY)?;
            // From here on only for writing, so that closing it is the container's end of input.
            let writer = open(&path, OFlags::WRONLY | OFlags::NONBLOCK)?;
            drop(input);
            (reader, Some(writer))
        } else {
            (open(Path::new("/dev/null"), OFlags::RDONLY)?, None)
        };
        let mut ends = ends.into_iter();
        let (Some(stdout), Some(stderr)) = (ends.next(), ends.next()) else {
            return Err(io::Error::other("two output streams were made"));
        };
        let output = Self {
            readers,
            input,
            ..Self::default()
        };
        Ok((
            output,
            ContainerEnds {
                stdin,
                stdout,
                stderr,
            },
        ))
    }

    /// Opens the FIFOs of a container that runs already.
    pub(crate) fn reopen(dir: &Path) -> Self {
        let reader = |name: &str| open(&dir.join(name), OFlags::RDONLY | OFlags::NONBLOCK).ok();
        // The writing end of stdin went with the last monitor: the container has seen its end.
        Self {
            readers: [reader("stdout"), reader("stderr")],
            ..Self::default()
        }
    }

    pub(crate) fn terminal(master: OwnedFd) -> io::Result<Self> {
        sys::pipe::set_nonblocking(&master, true)?;
        let input = rustix::io::fcntl_dupfd_cloexec(&master, 0)?;
        Ok(Self {
            readers: [Some(master), None],
            input: Some(input),
            terminal: true,
            ..Self::default()
        })
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        if let (true, Some(master)) = (self.terminal, &self.readers[0]) {
            let _ = sys::tty::set_size(master, rows, columns);
        }
    }

    /// Takes what is there from one stream.
    pub(crate) fn take(&mut self, slot: usize, buffer: &mut [u8]) -> Taken {
        let Some(fd) = &self.readers[slot] else {
            return Taken::Nothing;
        };
        let stream = if slot == 0 {
            Stream::Stdout
        } else {
            Stream::Stderr
        };
        match rustix::io::read(fd, &mut *buffer) {
            Ok(n) if n > 0 => {
                if n == buffer.len() && !std::mem::replace(&mut self.chatty[slot], true) {
                    // A limit of the host's may refuse it; then it stays as fast as it is.
                    let _ = sys::pipe::grow(fd, CHATTY);
                }
                Taken::Bytes(stream, n)
            }
            Err(Errno::AGAIN | Errno::INTR) => Taken::Nothing,
            // End of file, or EIO: nobody has the other side of the terminal open.
            _ => {
                self.readers[slot] = None;
                Taken::End
            }
        }
    }

    /// Passes a client's input on; what does not fit waits.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.push_input();
    }

    pub(crate) fn push_input(&mut self) {
        let Some(input) = &self.input else {
            self.pending.clear();
            return;
        };
        match write_some(input, &self.pending) {
            Some(done) => drop(self.pending.drain(..done)),
            None => {
                // The container has closed it: from now on input goes nowhere, and nobody waits for it.
                self.input = None;
                self.pending.clear();
            }
        }
        if self.close_when_written && self.pending.is_empty() {
            self.input = None;
        }
    }

    /// No more input: the container reads the end of file after what it still has to read.
    pub(crate) fn end_input(&mut self) {
        if self.terminal {
            return;
        }
        self.close_when_written = true;
        self.push_input();
    }

    /// The container may still read its standard input.
    pub(crate) fn has_input(&self) -> bool {
        self.input.is_some() && !self.close_when_written
    }

    pub(crate) fn takes_input(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn interest<'a>(&'a self, interest: &mut Interest<'a>, read: bool) {
        if read {
            for (slot, reader) in self.readers.iter().enumerate() {
                if let Some(fd) = reader {
                    interest.readable(fd.as_fd(), Who::Output(slot));
                }
            }
        }
        if let Some(input) = self.input.as_ref().filter(|_| !self.pending.is_empty()) {
            interest.writable(input.as_fd(), Who::Input);
        }
    }
}

fn make_fifo(path: &Path) -> io::Result<()> {
    match sys::pipe::make_fifo(path, 0o600) {
        // Of an earlier run.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            sys::pipe::make_fifo(path, 0o600)
        }
        other => other,
    }
}

fn open(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(output: &mut Output, slot: usize) -> Option<Vec<u8>> {
        let mut buffer = [0; 64];
        match output.take(slot, &mut buffer) {
            Taken::Bytes(_, n) => Some(buffer[..n].to_vec()),
            Taken::Nothing => Some(Vec::new()),
            Taken::End => None,
        }
    }

    #[test]
    fn streams_that_the_container_closes_are_waited_for_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let (mut output, ends) = Output::fifos(dir.path(), false).unwrap();
        assert_eq!(take(&mut output, 0).unwrap(), b"");
        rustix::io::write(&ends.stdout, b"out").unwrap();
        drop(ends.stdout);
        assert_eq!(take(&mut output, 0).unwrap(), b"out");
        assert!(take(&mut output, 0).is_none());
        let mut interest = Interest::default();
        output.interest(&mut interest, true);
        rustix::io::write(&ends.stderr, b"err").unwrap();
        let ready = interest.wait().unwrap();
        assert_eq!(ready, [Who::Output(1)], "a closed stream wakes nobody up");
    }

    #[test]
    fn the_pipe_of_one_that_writes_much_grows() {
        let dir = tempfile::tempdir().unwrap();
        let (mut output, ends) = Output::fifos(dir.path(), false).unwrap();
        let size = || rustix::pipe::fcntl_getpipe_size(&ends.stdout).unwrap();
        let mut buffer = Buffer::default();
        let mut pass = |bytes: &[u8]| {
            rustix::io::write(&ends.stdout, bytes).unwrap();
            let taken = output.take(0, buffer.get());
            assert!(matches!(taken, Taken::Bytes(Stream::Stdout, n) if n == bytes.len()));
        };
        pass(&[b'x'; BUFFER / 2]);
        assert_eq!(size(), BUFFER);
        pass(&[b'x'; BUFFER]);
        assert_eq!(size(), CHATTY);
    }

    #[test]
    fn what_the_container_wrote_while_nobody_listened_is_still_there() {
        let dir = tempfile::tempdir().unwrap();
        let (output, ends) = Output::fifos(dir.path(), false).unwrap();
        drop(output);
        rustix::io::write(&ends.stdout, b"alone").unwrap();
        let mut next = Output::reopen(dir.path());
        assert_eq!(take(&mut next, 0).unwrap(), b"alone");
    }

    #[test]
    fn input_waits_for_room_and_ends_after_its_last_byte() {
        let dir = tempfile::tempdir().unwrap();
        let (mut output, ends) = Output::fifos(dir.path(), true).unwrap();
        output.feed(&vec![b'i'; 100_000]);
        assert!(!output.takes_input());
        output.end_input();
        let mut seen = 0;
        let mut buffer = vec![0; 40_000];
        loop {
            match rustix::io::read(&ends.stdin, &mut buffer).unwrap() {
                0 => break,
                n => seen += n,
            }
            output.push_input();
        }
        assert_eq!(seen, 100_000);
    }

    #[test]
    fn input_nobody_reads_any_more_is_dropped() {
        // The test runner has Rust's disposition: SIGPIPE is ignored, as the monitor blocks it.
        let dir = tempfile::tempdir().unwrap();
        let (mut output, ends) = Output::fifos(dir.path(), true).unwrap();
        output.feed(&vec![b'i'; 100_000]);
        drop(ends.stdin);
        output.push_input();
        assert!(output.takes_input() && !output.has_input());
    }
}
