//! What a verb could not do; the words that callers (containerd, podman) look for are runc's.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Error)]
pub enum Error {
    #[error("invalid container ID {id:?}: {problem}")]
    Id { id: String, problem: String },
    #[error("container with given ID already exists: {0}")]
    Exists(String),
    #[error("container {0:?} does not exist")]
    Unknown(String),
    #[error("container {0:?} is still being created")]
    Creating(String),
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("JSON specification file {} not found", .0.display())]
    NoConfig(PathBuf),
    #[error("cannot read the specification {}", path.display())]
    Config {
        path: PathBuf,
        source: oci::spec::Error,
    },
    #[error(transparent)]
    Invalid(#[from] runtime::validate::Error),
    #[error("the specification {} has no {what}", path.display())]
    Missing { path: PathBuf, what: &'static str },
    #[error("the root file system {} does not exist", .0.display())]
    NoRoot(PathBuf),
    #[error("container not running: {0}")]
    NotRunning(String),
    #[error("cannot start an already running container: {0}")]
    AlreadyStarted(String),
    #[error("cannot start a container that has stopped: {0}")]
    StartStopped(String),
    #[error("cannot exec in a stopped container: {0}")]
    ExecStopped(String),
    #[error("cannot exec in a paused container (use --ignore-paused to override): {0}")]
    ExecPaused(String),
    #[error("cannot delete container {id} that is not stopped: {status}")]
    DeleteRunning { id: String, status: &'static str },
    #[error("container not running or created: {status}")]
    Pause { status: &'static str },
    #[error("container not paused: {0}")]
    NotPaused(String),
    #[error(
        "container {0:?} was made without linux.intelRdt: its cache and bandwidth cannot be changed"
    )]
    NoClass(String),
    #[error("unable to signal init")]
    Signal(#[source] io::Error),
    #[error("the container's process did not end after SIGKILL: {0}")]
    Immortal(String),
    #[error("cannot send the terminal to the console socket {}", path.display())]
    Console { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Record(#[from] state::record::Error),
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    #[error(transparent)]
    Cgroup(#[from] runtime::cgroup::Error),
    #[error(transparent)]
    Rdt(#[from] runtime::rdt::Error),
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
