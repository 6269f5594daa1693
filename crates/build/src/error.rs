//! Why a build failed, and where in the Dockerfile.
//!
//! The texts follow BuildKit's: `failed to solve: process "/bin/sh -c false" did not complete successfully: exit
//! code: 1`.

use crate::dockerfile::{Lines, Mistake, SyntaxError};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A build that failed.
#[derive(Debug)]
pub struct Error {
    /// Boxed: it has room for every way to fail.
    pub cause: Box<Cause>,
    pub excerpt: Option<Excerpt>,
}

/// The lines of the Dockerfile that a failure speaks of, as BuildKit shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    pub file: String,
    pub lines: Lines,
    /// Number, text, and whether it is one of `lines`.
    pub shown: Vec<(usize, String, bool)>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("failed to read dockerfile: {}: no such file or directory", path.display())]
    NoDockerfile { path: PathBuf },
    #[error("failed to read dockerfile: {}", path.display())]
    ReadDockerfile { path: PathBuf, source: io::Error },
    #[error("failed to read dockerfile: {} is not UTF-8 text", path.display())]
    NotText { path: PathBuf },
    #[error("unable to prepare context: path {:?} not found", path)]
    NoContext { path: PathBuf },
    #[error("unable to prepare context: cannot open {}", path.display())]
    OpenContext { path: PathBuf, source: io::Error },
    #[error("unable to prepare context: the archive cannot be unpacked")]
    UnpackContext { source: Box<image::archive::Error> },
    #[error("failed to fetch {address}")]
    Git {
        address: String,
        source: Box<git::Error>,
    },
    #[error("the git repository {address} has no directory {directory:?}")]
    NoDirectory {
        address: String,
        directory: String,
        source: io::Error,
    },
    #[error("failed to download {url}")]
    Download {
        url: String,
        source: Box<image::web::Error>,
    },
    #[error("failed to download {url}: it answered {status}")]
    DownloadStatus { url: String, status: u16 },
    #[error("failed to download {url}: the connection broke")]
    DownloadBroken { url: String, source: io::Error },
    #[error("{url} has the digest {found}, not {expected} as --checksum wants")]
    DownloadDigest {
        url: String,
        expected: oci::Digest,
        found: oci::Digest,
    },
    #[error("{url} cannot be a build context: {why}")]
    UrlContext { url: String, why: String },
    #[error("{0}")]
    Syntax(SyntaxError),
    #[error("{0}")]
    Instruction(Mistake),
    #[error("{0}")]
    Graph(#[from] crate::graph::Error),
    #[error("{0}")]
    Ignore(#[from] crate::ignore::Error),
    #[error(
        "{platform} cannot be built here: this machine is {host}, and emulation is not supported yet"
    )]
    Platform { platform: String, host: String },
    #[error("invalid platform: {0}")]
    BadPlatform(oci::platform::Error),
    #[error("invalid tag {tag:?}")]
    Tag {
        tag: String,
        source: oci::reference::Error,
    },
    /// A base image or one of COPY --from.
    #[error("{name}: failed to resolve source metadata{}", similar(.stage))]
    Image {
        name: String,
        source: Box<image::Error>,
        stage: Option<String>,
    },
    #[error("cannot open the image store")]
    OpenStore(#[source] Box<engine::Error>),
    #[error("cannot clean up after builds that were killed")]
    Sweep(#[source] Box<engine::Error>),
    #[error("the image store failed")]
    Store(#[source] Box<image::Error>),
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Process { command: String, code: i32 },
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    NoRoom {
        command: String,
        code: i32,
        source: image::room::LowDisk,
    },
    #[error("process {command:?} could not be run")]
    Sandbox {
        command: String,
        source: Box<engine::Error>,
    },
    #[error("failed to compute cache key: {0}")]
    Select(#[source] crate::files::Error),
    #[error("{0}")]
    Files(#[from] crate::files::Error),
    #[error("cannot unpack {archive}")]
    Unpack {
        archive: String,
        source: Box<image::archive::Error>,
    },
    #[error("secret {0}: not found: hand it over with --secret id={0},src=PATH")]
    NoSecret(String),
    #[error("failed to leave the build cache at {to}")]
    CacheTo {
        to: String,
        source: Box<image::Error>,
    },
    #[error("RUN --security=insecure is not allowed: build with --allow security.insecure")]
    Insecure,
    #[error("no SSH agent or key {0:?} was handed over: build with --ssh {0}")]
    NoSsh(String),
    #[error("cannot read secret {id} from {}", path.display())]
    ReadSecret {
        id: String,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{what} cannot be used here: {cause}")]
    Refused { what: String, cause: &'static str },
    #[error("cannot {step} {}", path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot mount the layers so far")]
    Overlay(#[source] Box<runtime::Error>),
    #[error(transparent)]
    Record(#[from] state::Error),
    /// Another stage has failed; its error is the one to be shown.
    #[error("canceled")]
    Canceled,
}

fn similar(stage: &Option<String>) -> String {
    stage
        .as_ref()
        .map(|name| format!(" (did you mean the stage {name:?}?)"))
        .unwrap_or_default()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.cause {
            // These are told before anything is solved, as Docker's client does.
            Cause::NoContext { .. } | Cause::OpenContext { .. } | Cause::UnpackContext { .. } => {
                self.cause.fmt(f)
            }
            cause => write!(f, "failed to solve: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self {
            cause: Box::new(cause),
            excerpt: None,
        }
    }
}

/// A cause that comes from another crate, boxed: those are large.
impl From<image::Error> for Cause {
    fn from(error: image::Error) -> Self {
        Self::Store(Box::new(error))
    }
}

impl Cause {
    /// The failure at its place in the Dockerfile.
    pub(crate) fn at(self, file: &str, source: &str, lines: Lines) -> Error {
        Error {
            cause: Box::new(self),
            excerpt: Some(Excerpt::of(file, source, lines)),
        }
    }

    pub(crate) fn io(
        step: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { step, path, source }
    }
}

impl Excerpt {
    /// The lines with up to three before and after them.
    pub fn of(file: &str, source: &str, lines: Lines) -> Self {
        let first = lines.first.saturating_sub(3).max(1);
        let last = lines.last + 3;
        let numbered = source
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line));
        let near = numbered.filter(|(number, _)| (first..=last).contains(number));
        let marked = near.map(|(number, line)| {
            let inside = (lines.first..=lines.last).contains(&number);
            (number, line.to_owned(), inside)
        });
        Self {
            file: file.to_owned(),
            lines,
            shown: marked.collect(),
        }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RULE: &str = "--------------------";
        match self.lines.first == self.lines.last {
            true => writeln!(f, "{}:{}", self.file, self.lines.first)?,
            false => writeln!(f, "{}:{}-{}", self.file, self.lines.first, self.lines.last)?,
        }
        writeln!(f, "{RULE}")?;
        for (number, text, inside) in &self.shown {
            writeln!(
                f,
                "{number:4} | {} {text}",
                if *inside { ">>>" } else { "   " }
            )?;
        }
        writeln!(f, "{RULE}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_its_place_as_buildkit_does() {
        let source = "FROM busybox\n\nRUN false\nCMD x\n";
        let cause = Cause::Process {
            command: "/bin/sh -c false".into(),
            code: 1,
        };
        let error = cause.at("Dockerfile", source, Lines::one(3));
        assert_eq!(
            error.to_string(),
            "failed to solve: process \"/bin/sh -c false\" did not complete successfully: exit code: 1"
        );
        let shown = error.excerpt.unwrap().to_string();
        let expected = "Dockerfile:3\n--------------------\n   1 |     FROM busybox\n   2 |     \n   3 | >>> RUN false\n   \
                        4 |     CMD x\n--------------------\n";
        assert_eq!(shown, expected);
    }
}
