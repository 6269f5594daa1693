//! Why a repository could not be fetched.

use std::io;
use std::path::PathBuf;

/// Urls in it are without user and password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot reach the git repository {url}")]
    Reach {
        url: String,
        source: Box<image::web::Error>,
    },
    #[error("{url} answered {status}{}", why(*.status))]
    Status { url: String, status: u16 },
    #[error("{url} is no git repository: it answered {what}")]
    NoRepository { url: String, what: String },
    #[error(
        "{url} speaks an old version of git's protocol: version 2 is needed, which git has since 2.18"
    )]
    OldProtocol { url: String },
    #[error("the connection to {url} broke")]
    Broken { url: String, source: io::Error },
    #[error("the git repository {url} refused: {message}")]
    Refused { url: String, message: String },
    #[error("the git repository {url} has no branch, tag or commit {reference:?}{}", short(.reference))]
    NoReference { url: String, reference: String },
    #[error("{url} is reached by ssh, which is not run for it: {why}{}", instead(.https))]
    SshRefused {
        url: String,
        why: &'static str,
        https: Option<String>,
    },
    #[error("{url} is no address that ssh is given: {why}")]
    SshAddress { url: String, why: &'static str },
    #[error("cannot run {program:?}, by which {url} is reached: install OpenSSH's client{}", instead(.https))]
    NoSsh {
        program: String,
        url: String,
        https: Option<String>,
        source: io::Error,
    },
    #[error("{url} cannot be reached by ssh: {said}{}", known_by(.said))]
    Ssh { url: String, said: String },
    #[error(
        "{url} speaks an old version of git's protocol: let the server's sshd take the variable GIT_PROTOCOL (AcceptEnv), or use an https:// \
         address"
    )]
    SshProtocol { url: String },
    #[error("{url} is at commit {found}, not at {wanted} as it must be")]
    Checksum {
        url: String,
        found: String,
        wanted: String,
    },
    #[error("the network is switched off (offline), {0} cannot be fetched")]
    Offline(String),
    #[error("the pack that came from the git repository is damaged: {0}")]
    Pack(&'static str),
    #[error("object {id} of the git repository is damaged: {what}")]
    Object { id: String, what: &'static str },
    #[error("object {id} did not come with the git repository")]
    MissingObject { id: String },
    #[error("the git repository is larger than is taken: {0}")]
    TooLarge(&'static str),
    #[error("the git repository has a file called {name:?}, which no checkout may have: {why}")]
    Name { name: String, why: &'static str },
    #[error("cannot {step} {}", path.display())]
    File {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("submodule {path} cannot be fetched")]
    Submodule { path: String, source: Box<Error> },
    #[error("submodule {path} cannot be fetched: {why}")]
    BadSubmodule { path: String, why: String },
}

impl Error {
    pub(crate) fn file(
        step: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { step, path, source }
    }
}

fn why(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            ": the repository is private, or is not there: hand a token over as the secret GIT_AUTH_TOKEN, or in the address"
        }
        404 => ": there is no such repository, or it is private",
        _ => "",
    }
}

fn short(reference: &str) -> &'static str {
    let hexadecimal = reference.bytes().all(|b| b.is_ascii_hexdigit());
    if hexadecimal && (7..40).contains(&reference.len()) {
        " (a commit is named by all of its 40 digits)"
    } else {
        ""
    }
}

fn instead(https: &Option<String>) -> String {
    match https {
        Some(url) => format!(", or use {url}, for a private one with the secret GIT_AUTH_TOKEN"),
        None => String::new(),
    }
}

/// Nobody is asked while a program fetches, so what ssh would ask for is said beforehand.
fn known_by(said: &str) -> &'static str {
    if said.contains("Host key verification failed") {
        " (connect once by hand, so that ssh knows the host's key)"
    } else if said.contains("Permission denied") {
        " (load the key into an agent, or name it in ~/.ssh/config: nothing is asked for)"
    } else {
        ""
    }
}
