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
    #[error("{url} is reached by ssh, which this program does not speak: use its https:// address{}", hint(.https))]
    Ssh { url: String, https: Option<String> },
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

fn hint(https: &Option<String>) -> String {
    match https {
        Some(url) => format!(", probably {url}, and for a private one the secret GIT_AUTH_TOKEN"),
        None => String::new(),
    }
}
