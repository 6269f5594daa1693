//! Running a foreign program for its answer: text in, text out. Only for programs whose protocol is to be
//! executed (Docker's credential helpers, Compose's providers); everything else dockless does itself.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

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

#[cfg(test)]
mod tests {
    use super::*;

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
