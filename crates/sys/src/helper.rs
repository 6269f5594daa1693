//! Running a foreign program for its answer: text in, text out. Only for programs whose protocol is to be
//! executed (Docker's credential helpers); everything else dockless does itself.

use std::io::{self, Write};
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
}
