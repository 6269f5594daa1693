//! A repository behind ssh: the user's own ssh program is run, as git runs it, with the user's configuration, keys and known hosts.
//!
//! It is named by `GIT_SSH_COMMAND` (split into words, without a shell), `GIT_SSH`, or `ssh` in `PATH`. Nothing is asked for
//! (`BatchMode`), and no part of an address becomes an option or a command (CVE-2017-1000117).
//! Source: git `connect.c`, `quote.c`; `gitprotocol-v2` ("SSH and Git transport").

use crate::SshUse;
use crate::error::Error;
use crate::location::Location;
use crate::packet::{self, Packet};
use std::ffi::OsString;
use std::io::{Cursor, Read};
use sys::helper::Spoken;

/// What git's server is called, and how it is told the version where sshd keeps the variable from it.
const PLAIN: &str = "git-upload-pack";
const TOLD: &str = "env GIT_PROTOCOL=version=2 git-upload-pack";

/// What ssh is told.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    port: Option<u16>,
    /// `[user@]host`.
    destination: String,
    /// As a word of the other side's shell.
    path: String,
}

/// Connects; what the repository says about itself is read from the stream.
pub(crate) fn connect(
    location: &Location,
    allowed: SshUse,
) -> Result<(Spoken, Box<dyn Read>), Error> {
    let url = location.url();
    if allowed == SshUse::Refused {
        return Err(Error::SshRefused {
            url,
            why: "what others have written does not make use of your keys; a build's --ssh says that it may",
            https: https(location),
        });
    }
    let target = target(location).map_err(|why| Error::SshAddress {
        url: url.clone(),
        why,
    })?;
    let program = program(
        std::env::var_os("GIT_SSH_COMMAND"),
        std::env::var_os("GIT_SSH"),
    );
    let program = program.ok_or_else(|| Error::SshAddress {
        url: url.clone(),
        why: "GIT_SSH_COMMAND is no command line",
    })?;
    let (spoken, start) = open(location, &program, &target, PLAIN)?;
    if is_version_two(&start) {
        return with(spoken, &start, &url);
    }
    drop(spoken);
    let old = |_| Error::SshProtocol { url: url.clone() };
    let (spoken, start) = open(location, &program, &target, TOLD).map_err(old)?;
    match is_version_two(&start) {
        true => with(spoken, &start, &url),
        false => Err(Error::SshProtocol { url }),
    }
}

/// The connection with the line that was read from it in front.
fn with(spoken: Spoken, line: &[u8], url: &str) -> Result<(Spoken, Box<dyn Read>), Error> {
    let mut again = format!("{:04x}", line.len() + 4).into_bytes();
    again.extend_from_slice(line);
    let rest = spoken.answers().map_err(|source| Error::Broken {
        url: url.to_owned(),
        source,
    })?;
    Ok((spoken, Box::new(Cursor::new(again).chain(rest))))
}

fn is_version_two(line: &[u8]) -> bool {
    packet::text(line) == "version 2"
}

/// Runs ssh and reads the first line of the server.
fn open(
    location: &Location,
    program: &[OsString],
    target: &Target,
    server: &str,
) -> Result<(Spoken, Vec<u8>), Error> {
    let url = location.url();
    let mut words = program[1..].to_vec();
    let options = ["-o", "BatchMode=yes", "-o", "SendEnv=GIT_PROTOCOL"];
    words.extend(options.map(OsString::from));
    if let Some(port) = target.port {
        words.extend(["-p".into(), port.to_string().into()]);
    }
    words.push(target.destination.clone().into());
    words.push(format!("{server} {}", target.path).into());
    let spoken = Spoken::start(&program[0], &words, &[("GIT_PROTOCOL", "version=2")]);
    let spoken = spoken.map_err(|source| Error::NoSsh {
        program: program[0].to_string_lossy().into_owned(),
        url: url.clone(),
        https: https(location),
        source,
    })?;
    let mut answers = spoken.answers().map_err(|source| Error::Broken {
        url: url.clone(),
        source,
    })?;
    match packet::read(&mut answers) {
        Ok(Packet::Line(line)) => Ok((spoken, line)),
        Ok(_) => Err(Error::NoRepository {
            url,
            what: "nothing of itself".to_owned(),
        }),
        Err(source) => {
            let said = last_lines(&spoken.end().unwrap_or_default());
            Err(match said.is_empty() {
                true => Error::Broken { url, source },
                false => Error::Ssh { url, said },
            })
        }
    }
}

/// The program and its first words.
fn program(command: Option<OsString>, program: Option<OsString>) -> Option<Vec<OsString>> {
    let given = |word: &OsString| !word.is_empty();
    if let Some(line) = command.filter(given) {
        let words = shell_words::split(line.to_str()?).ok()?;
        let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        return (!words.is_empty()).then_some(words);
    }
    Some(vec![program.filter(given).unwrap_or_else(|| "ssh".into())])
}

/// The words of an address, none of which is taken for an option or for more than one word.
fn target(location: &Location) -> Result<Target, &'static str> {
    let odd = |text: &str| text.contains(|c: char| c.is_control() || c.is_whitespace());
    let (host, port) = match location.host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let port = port.parse().map_err(|_| "its port is no number")?;
            (host, Some(port))
        }
        _ => (location.host.as_str(), None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let destination = match &location.user {
        Some(user) => format!("{}@{host}", user.name),
        None => host.to_owned(),
    };
    if host.is_empty() || host.starts_with('-') || destination.starts_with('-') {
        return Err("its host or user begins with a dash");
    }
    if odd(&destination) {
        return Err("its host or user has blanks");
    }
    let path = match location.path.starts_with('/') {
        // Of a URL; what is written as scp does stays as it is.
        true => crate::location::decoded(&location.path),
        false => location.path.clone(),
    };
    // `/~user/x` begins in that user's home.
    let path = path
        .strip_prefix('/')
        .filter(|p| p.starts_with('~'))
        .unwrap_or(&path);
    if path.is_empty() || path.starts_with('-') {
        return Err("its path begins with a dash, or is none");
    }
    if path.contains(char::is_control) {
        return Err("its path has control characters");
    }
    Ok(Target {
        port,
        destination,
        path: quoted(path),
    })
}

/// One word for a shell; `!` is for those that have a history.
fn quoted(text: &str) -> String {
    let mut word = String::from("'");
    for c in text.chars() {
        match c {
            '\'' | '!' => word.extend(["'\\", &c.to_string(), "'"]),
            c => word.push(c),
        }
    }
    word + "'"
}

/// The address that most servers have beside this one.
fn https(location: &Location) -> Option<String> {
    let path = location.path.trim_start_matches('/');
    let usual = !location.host.contains(':') && !path.starts_with('~');
    usual.then(|| format!("https://{}/{path}", location.host))
}

/// The last of what ssh said, on one line that cannot steer a terminal.
fn last_lines(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    let last = &lines[lines.len().saturating_sub(4)..];
    let line = last.join("; ");
    line.chars()
        .filter(|c| !c.is_control())
        .take(1000)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(address: &str) -> Result<(Option<u16>, String, String), &'static str> {
        let location = Location::parse(address).expect("git's").expect("readable");
        target(&location).map(|t| (t.port, t.destination, t.path))
    }

    #[test]
    fn an_address_as_git_hands_it_to_ssh() {
        for (address, port, destination, path) in [
            ("git@h:a/b.git#main:d", None, "git@h", "'a/b.git'"),
            ("git@h:/srv/b.git", None, "git@h", "'/srv/b.git'"),
            ("ssh://h/b.git", None, "h", "'/b.git'"),
            (
                "ssh://me:pw@h:2222/~you/b%20c.git",
                Some(2222),
                "me@h",
                "'~you/b c.git'",
            ),
            ("ssh://[::1]:22/b", Some(22), "::1", "'/b'"),
            ("git@h:it's!", None, "git@h", "'it'\\''s'\\!''"),
            ("git@h:a;touch$(x)", None, "git@h", "'a;touch$(x)'"),
        ] {
            let expected = (port, destination.to_owned(), path.to_owned());
            assert_eq!(words(address), Ok(expected), "{address}");
        }
    }

    #[test]
    fn cve_2017_1000117_no_address_is_an_option() {
        for (address, why) in [
            ("ssh://-oProxyCommand=touch%20x/b", "dash"),
            ("ssh://-oProxyCommand=x@h/b", "dash"),
            ("ssh://%2doProxyCommand=x@h/b", "dash"),
            ("ssh://a%20-oX@h/b", "blanks"),
            ("ssh://a%0aX@h/b", "blanks"),
            ("ssh://me@-oX/b", "dash"),
            ("git@h:-u", "dash"),
            ("ssh://h/~x%00y", "control"),
            ("ssh://h", "none"),
            ("ssh://h:x/b", "no number"),
        ] {
            let error = words(address).expect_err(address);
            assert!(error.contains(why), "{address}: {error}");
        }
        // Another host's name from a file of that repository.
        let base = Location::parse("git@h:b").unwrap().unwrap();
        let hostile = base.join("ssh://-oProxyCommand=x/y").unwrap();
        assert!(target(&hostile).is_err());
    }

    #[test]
    fn the_program_is_the_users() {
        let of = |line: Option<&str>, word: Option<&str>| {
            program(line.map(OsString::from), word.map(OsString::from))
        };
        assert_eq!(of(None, None), Some(vec!["ssh".into()]));
        assert_eq!(of(Some(""), Some("/x y")), Some(vec!["/x y".into()]));
        let words = ["ssh", "-i", "my key"].map(OsString::from);
        assert_eq!(of(Some("ssh -i 'my key'"), Some("x")), Some(words.to_vec()));
        assert_eq!(of(Some("ssh 'open"), None), None);
        assert_eq!(of(Some("$(touch x) ;"), None).unwrap()[0], "$(touch");
    }

    #[test]
    fn what_ssh_says_is_one_harmless_line() {
        assert_eq!(last_lines(b"a\r\n\r\n\x1b[31mb\x07\n"), "a; [31mb");
        assert_eq!(last_lines(b""), "");
    }

    #[test]
    fn what_others_wrote_runs_no_ssh() {
        let location = Location::parse("git@h:b").unwrap().unwrap();
        let refused = connect(&location, SshUse::Refused).err().expect("an error");
        let text = refused.to_string();
        assert!(
            text.contains("--ssh") && text.contains("https://h/b"),
            "{text}"
        );
    }
}
