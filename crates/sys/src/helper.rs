//! Running a foreign program for its answer: text in, text out. Only for programs whose protocol is to be
//! executed (Docker's credential helpers, Compose's providers, the user's ssh); everything else dockless does itself.

use crate::poll::{self, PollFd, PollFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What the program said.
#[derive(Debug)]
pub struct Answer {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
}

/// Runs `program` (looked up in `PATH`) with one argument, gives it `input`, and waits for its end. Its
/// errors go where ours go.
#[allow(clippy::disallowed_methods)] // the one protocol that consists of executing a program
pub fn ask(program: &str, argument: &str, input: &[u8]) -> io::Result<Answer> {
    let mut child = Command::new(program)
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input) {
            // It may answer without reading all.
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(e),
            _ => {}
        }
    }
    let output = child.wait_with_output()?;
    Ok(Answer {
        status: output.status,
        stdout: output.stdout,
    })
}

/// Runs `program` (looked up in `PATH`), hands every line it prints to `line` as it comes, and waits for its end. Its errors go where
/// ours go.
#[allow(clippy::disallowed_methods)] // the other protocol of that kind: Compose's providers
pub fn converse(
    program: &str,
    arguments: &[String],
    directory: &Path,
    line: &mut dyn FnMut(&str),
) -> io::Result<ExitStatus> {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(out) = child.stdout.take() {
        for said in BufReader::new(out).split(b'\n') {
            line(&String::from_utf8_lossy(&said?));
        }
    }
    child.wait()
}

/// A program that is spoken with for a while. It is gone, at the latest, when this is.
#[derive(Debug)]
pub struct Spoken {
    child: Child,
    answers: File,
    errors: File,
}

/// So long a program may take to end that has closed its output.
const GRACE: Duration = Duration::from_secs(5);
/// So much of what it says on its standard error is taken: what the pipe holds.
const SAID: u64 = 64 << 10;

impl Spoken {
    /// Starts `program` (looked up in `PATH`) with our environment and these variables.
    #[allow(clippy::disallowed_methods)] // the third protocol of that kind: git over the user's ssh
    pub fn start<S: AsRef<OsStr>>(
        program: &OsStr,
        arguments: &[S],
        variables: &[(&str, &str)],
    ) -> io::Result<Self> {
        // Read at the end, and not to its end: what the program leaves behind may keep it.
        let (errors, said) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&errors, true)?;
        let mut child = Command::new(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()?;
        let answers = child.stdout.take().map(OwnedFd::from);
        Ok(Self {
            answers: answers.ok_or(io::ErrorKind::BrokenPipe)?.into(),
            errors: errors.into(),
            child,
        })
    }

    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(bytes)?;
        stdin.flush()
    }

    /// Its standard output; every reader reads on where the last one stopped.
    pub fn answers(&self) -> io::Result<File> {
        self.answers.try_clone()
    }

    /// Waits for its end, which is near as it has closed its output, and gives what it said on its standard error.
    pub fn end(mut self) -> io::Result<Vec<u8>> {
        drop(self.child.stdin.take());
        let pidfd = rustix::process::pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        poll::wait(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(GRACE))?;
        let mut said = Vec::new();
        match (&mut self.errors).take(SAID).read_to_end(&mut said) {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
            _ => Ok(said),
        }
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Spoken {
        Spoken::start(OsStr::new("sh"), &["-c", text], &[("WORD", "w")]).unwrap()
    }

    #[test]
    fn a_program_is_spoken_with_until_it_is_let_go() {
        let mut spoken = script("while read line; do echo \"$WORD:$line\"; done");
        let mut answer = [0; 4];
        for line in ["a", "b"] {
            spoken.say(format!("{line}\n").as_bytes()).unwrap();
            spoken.answers().unwrap().read_exact(&mut answer).unwrap();
            assert_eq!(answer, *format!("w:{line}\n").as_bytes());
        }
        let pid = spoken.child.id().cast_signed();
        drop(spoken);
        assert!(crate::proc_stat::Stat::of(pid).is_err());
    }

    #[test]
    fn what_it_says_is_known_though_others_keep_its_error_open() {
        let spoken = script("exec sleep 1000 >/dev/null <&- & echo $! ; echo no such host >&2");
        let mut pid = String::new();
        spoken.answers().unwrap().read_to_string(&mut pid).unwrap();
        assert_eq!(spoken.end().unwrap(), b"no such host\n");
        let pid: i32 = pid.trim().parse().unwrap();
        crate::process::kill(pid, libc::SIGKILL).unwrap();
    }

    #[test]
    fn the_program_gets_the_text_and_its_answer_comes_back() {
        let answer = ask("cat", "-", b"hello").unwrap();
        assert!(answer.status.success());
        assert_eq!(answer.stdout, b"hello");
        assert!(ask("no-such-program-here", "x", b"").is_err());
    }

    #[test]
    fn every_line_of_a_conversation_is_heard() {
        let mut heard = Vec::new();
        let words = ["-c", "pwd; printf 'one\\ntwo'; exit 3"].map(str::to_owned);
        let status = converse("sh", &words, Path::new("/proc"), &mut |line| {
            heard.push(line.to_owned());
        });
        assert_eq!(status.unwrap().code(), Some(3));
        assert_eq!(heard, ["/proc", "one", "two"]);
    }
}
