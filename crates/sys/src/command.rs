//! Running a foreign program to its end: text in, the end of what it says out, a time limit.
//!
//! For programs whose protocol is to be executed (the OCI hooks). It gets three streams and nothing else of ours, and a session
//! of its own, so that a program that takes too long ends with all it has started.
//! Source: clone(2), memfd_create(2), pidfd_open(2), kill(2).

use crate::process::{Child, ExitStatus};
use crate::role::Session;
use crate::vfork::{self, Birth, Executable};
use rustix::fs::MemfdFlags;
use rustix::pipe::PipeFlags;
use std::ffi::{CStr, CString};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// What to run, and how.
#[derive(Debug)]
pub struct Command<'a> {
    pub path: &'a CStr,
    /// The whole `argv`.
    pub argv: &'a [CString],
    /// The whole environment: nothing is inherited.
    pub env: &'a [CString],
    pub directory: Option<&'a CStr>,
    /// What it finds on its standard input; nothing to [`run_on`].
    pub input: &'a [u8],
    pub timeout: Option<Duration>,
    /// Where [`run`] lets it write to, instead of keeping what it says; nothing to [`run_on`].
    pub stdout: Option<BorrowedFd<'a>>,
    pub stderr: Option<BorrowedFd<'a>>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub end: End,
    /// The last of what it wrote to its standard output and error.
    pub said: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exited(ExitStatus),
    /// It was killed, with all of its session that kept its process group.
    TimedOut,
}

/// So much of the output is kept.
const KEPT: usize = 4096;
/// So much is read after the end: what the pipe may hold. Whoever the program left behind may go on writing for ever.
const LEFT_OVER: usize = 64 * 1024;

/// Runs the program and waits for its end. The error is that of its start.
pub fn run(command: &Command<'_>) -> io::Result<Ended> {
    let input = text(command.input)?;
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let stdout = command.stdout.unwrap_or(writer.as_fd());
    let stderr = command.stderr.unwrap_or(writer.as_fd());
    let child = vfork::start(&Birth {
        executable: Executable::Path(command.path),
        argv: command.argv,
        env: command.env,
        directory: command.directory,
        fds: vec![(input.as_fd(), 0), (stdout, 1), (stderr, 2)],
        session: Session::Own,
    })?;
    drop(writer);
    let mut said = Vec::new();
    let end = follow(&child, Some(reader.as_fd()), command.timeout, &mut said)?;
    let mut left = LEFT_OVER;
    while left > 0 {
        match read_some(reader.as_fd(), &mut said) {
            Some(length) if length > 0 => left = left.saturating_sub(length),
            _ => break,
        }
    }
    Ok(Ended { end, said })
}

/// Runs the program on the caller's own streams, whoever it leaves behind may keep them, and waits for its end.
pub fn run_on(command: &Command<'_>, streams: [BorrowedFd<'_>; 3]) -> io::Result<End> {
    let [stdin, stdout, stderr] = streams;
    let child = vfork::start(&Birth {
        executable: Executable::Path(command.path),
        argv: command.argv,
        env: command.env,
        directory: command.directory,
        fds: vec![(stdin, 0), (stdout, 1), (stderr, 2)],
        session: Session::Own,
    })?;
    follow(&child, None, command.timeout, &mut Vec::new())
}

/// Collects the output until the program has ended or its time is over.
fn follow(
    child: &Child,
    reader: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
    said: &mut Vec<u8>,
) -> io::Result<End> {
    use crate::poll::{PollFd, PollFlags};
    let deadline = timeout.and_then(|time| Instant::now().checked_add(time));
    let mut open = reader;
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let mut fds = vec![PollFd::new(&child.pidfd, PollFlags::IN)];
        if let Some(reader) = open {
            fds.push(PollFd::from_borrowed_fd(reader, PollFlags::IN));
        }
        crate::poll::wait(&mut fds, left)?;
        if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
            open = open.filter(|reader| read_some(*reader, said) != Some(0));
        }
        if !fds[0].revents().is_empty() {
            return Ok(End::Exited(crate::process::wait(&child.pidfd)?));
        }
        if left.is_some_and(|left| left.is_zero()) {
            // It leads its session and group, and is not reaped yet: the number is still its own.
            let _ = crate::process::kill(-child.pid, libc::SIGKILL);
            crate::process::wait(&child.pidfd)?;
            return Ok(End::TimedOut);
        }
    }
}

/// `None`: nothing there yet; 0: everybody has closed the other end.
fn read_some(reader: BorrowedFd<'_>, said: &mut Vec<u8>) -> Option<usize> {
    let mut buffer = [0; 4096];
    let length = rustix::io::read(reader, &mut buffer).ok()?;
    said.extend_from_slice(&buffer[..length]);
    let surplus = said.len().saturating_sub(KEPT);
    said.drain(..surplus);
    Some(length)
}

/// A file without a name: a pipe would block for a text longer than it takes, when the program does not read.
fn text(bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create(c"input", MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &[u8], timeout: Option<Duration>) -> Ended {
        let argv = ["sh", "-c", script].map(|word| CString::new(word).unwrap());
        run(&Command {
            path: c"/bin/sh",
            argv: &argv,
            env: &[c"A=1".to_owned()],
            directory: Some(c"/usr"),
            input,
            timeout,
            stdout: None,
            stderr: None,
        })
        .unwrap()
    }

    #[test]
    fn it_gets_what_it_was_given_and_nothing_else() {
        let ended = shell(
            "cat; echo; pwd; echo $A >&2; ls /proc/self/fd | tr '\\n' ' '; exit 3",
            b"hello",
            None,
        );
        assert_eq!(ended.end, End::Exited(ExitStatus::Code(3)));
        // 3 is the directory that ls itself reads.
        assert_eq!(
            String::from_utf8(ended.said).unwrap(),
            "hello\n/usr\n1\n0 1 2 3 "
        );
    }

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let ended = shell("seq 1 100000; echo last", b"", None);
        assert_eq!(ended.said.len(), KEPT);
        assert!(ended.said.ends_with(b"100000\nlast\n"));
    }

    #[test]
    fn long_inputs_need_no_reader() {
        let ended = shell("exit 0", &vec![b'x'; 1 << 20], None);
        assert_eq!(ended.end, End::Exited(ExitStatus::Code(0)));
    }

    #[test]
    fn a_timeout_ends_the_program_and_its_children() {
        let ended = shell(
            "sleep 1000 & echo $!; wait",
            b"",
            Some(Duration::from_millis(300)),
        );
        assert_eq!(ended.end, End::TimedOut);
        let pid: i32 = String::from_utf8(ended.said)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        // Killed; it may wait for a reaper that takes its time.
        let gone = || crate::proc_stat::Stat::of(pid).map_or(true, |stat| stat.has_ended());
        for _ in 0..500 {
            if gone() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{pid} still runs");
    }

    #[test]
    fn those_left_behind_do_not_hold_us() {
        let ended = shell("(exec sleep 2) & exit 0", b"", None);
        assert_eq!(ended.end, End::Exited(ExitStatus::Code(0)));
    }

    #[test]
    fn a_program_that_is_not_there() {
        let error = run(&Command {
            path: c"/no/such/program",
            argv: &[],
            env: &[],
            directory: None,
            input: b"",
            timeout: None,
            stdout: None,
            stderr: None,
        })
        .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
