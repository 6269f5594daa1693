//! Files from one root directory into another: what COPY and ADD select, what it digests to, and the copying.
//!
//! Both roots are handles. Every look-up is resolved by the kernel beneath its root (`openat2`), so that a link in
//! a build context or an image never leads outside.

pub mod chmod;
pub mod copy;
pub mod owner;
pub mod select;
pub mod source;
pub mod walk;

pub use copy::{Attributes, Copier};
pub use select::{Selected, select};
pub use source::{Owners, Source};

use std::io;
use std::path::PathBuf;

/// What can go wrong with files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{wanted:?} not found in {place}")]
    NotFound { wanted: String, place: String },
    #[error("{wanted:?} not found in {place}: {file}:{line} ({pattern}) excludes it")]
    Excluded {
        wanted: String,
        place: String,
        file: String,
        line: usize,
        pattern: String,
    },
    #[error("no file in {place} fits {pattern:?}")]
    NoMatch { pattern: String, place: String },
    #[error(transparent)]
    Pattern(#[from] crate::pattern::BadPattern),
    #[error("cannot {step} {}", path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot copy {} over {}: {cause}", from.display(), to.display())]
    Conflict {
        from: PathBuf,
        to: PathBuf,
        cause: &'static str,
    },
    #[error("unable to convert uid/gid chown string {text:?} to host mapping: {cause}")]
    Owner { text: String, cause: String },
    #[error("invalid chmod parameter: {text:?}: {cause}")]
    Chmod { text: String, cause: &'static str },
}

impl Error {
    pub(crate) fn io(
        step: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { step, path, source }
    }

    pub(crate) fn errno(
        step: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.into();
        move |errno| Self::Io {
            step,
            path,
            source: errno.into(),
        }
    }
}
