//! What can go wrong in a verb, in Docker's texts where scripts read them.

use std::io;
use std::path::PathBuf;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    #[error("No such job: {0}")]
    NoSuchJob(String),
    #[error("{kind} not found: {name}")]
    NoSuchStored { kind: &'static str, name: String },
    #[error("{what} prefix {prefix:?} fits more than one object")]
    Ambiguous { what: &'static str, prefix: String },
    #[error("Conflict. The container name \"/{name}\" is already in use by container \"{holder}\"")]
    NameInUse { name: String, holder: String },
    #[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    BadName(String),
    #[error("container {0} is not running")]
    NotRunning(String),
    #[error("container {0} is already paused")]
    AlreadyPaused(String),
    #[error("container {0} is paused")]
    Paused(String),
    #[error("container {0} is not paused")]
    NotPaused(String),
    #[error(
        "cannot remove container \"/{name}\": container is running: stop the container before removing or force remove"
    )]
    StillRunning { name: String },
    #[error("remove {volume}: volume is in use - [{}]", users.join(", "))]
    VolumeInUse { volume: String, users: Vec<String> },
    #[error("You cannot attach to a {state} container, {first}")]
    NotAttachable {
        state: &'static str,
        first: &'static str,
    },
    #[error("no command specified")]
    NoCommand,
    /// A wish that cannot be met, found before anything was made.
    #[error("{what}: {cause}")]
    Invalid { what: String, cause: String },
    /// The container could not be started; the code is Docker's (125, 126, 127).
    #[error("{message}")]
    Start { message: String, code: u8 },
    /// A monitor answered with a refusal.
    #[error("{0}")]
    Refused(String),
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot {action}")]
    System { action: String, source: io::Error },
    #[error(transparent)]
    Record(#[from] state::Error),
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error(transparent)]
    Parse(#[from] model::ParseError),
    #[error(transparent)]
    Filter(#[from] model::filter::FilterError),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error(transparent)]
    Network(#[from] network::Error),
    /// No subnet is left; what `network prune` would free.
    #[error("{source}{}", unused_networks(unused))]
    PoolsUsedUp {
        source: Box<network::Error>,
        unused: Vec<String>,
    },
    #[error(transparent)]
    Attach(#[from] network::AttachError),
    #[error(transparent)]
    Dns(#[from] network::dns::Error),
    #[error(transparent)]
    Port(#[from] network::PortError),
    #[error(transparent)]
    Firewall(#[from] network::FirewallError),
    #[error("cannot give everything of the network back")]
    Sweep(Vec<network::SweepError>),
    #[error(transparent)]
    Cgroup(#[from] runtime::cgroup::Error),
    #[error(transparent)]
    Seccomp(#[from] runtime::seccomp::Error),
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
}

fn unused_networks(names: &[String]) -> String {
    match names {
        [] => "; every network has a container".to_owned(),
        names => format!("; no container has {}", names.join(", ")),
    }
}

impl Error {
    /// Docker's exit code for a failed `run`, `start` or `exec`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Start { code, .. } => *code,
            Self::Runtime(error) => u8::try_from(error.exit_code()).unwrap_or(125),
            _ => 125,
        }
    }

    /// What the user can do about it, where we know.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NameInUse { name, .. } => Some(format!(
                "remove it with `rm -f {name}`, rename it, or choose another --name"
            )),
            Self::StillRunning { name } => Some(format!("stop it first, or use `rm -f {name}`")),
            Self::VolumeInUse { .. } => Some("remove those containers first".to_owned()),
            Self::NoCommand => {
                Some("name a command after the image, or set CMD in the image".to_owned())
            }
            other => way_out(other),
        }
    }

    /// For `map_err`: what was tried on which file.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// For `map_err`: what was tried.
    pub fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }

    /// A wish that cannot be met, and why.
    pub fn invalid(what: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::Invalid {
            what: what.into(),
            cause: cause.into(),
        }
    }
}

/// The way out of what any crate may come to, wherever it stands among an error's causes: a disk without room, damaged records.
pub fn way_out(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if image::room::is_full(error) {
        let text = "`system df` shows what takes room and `system prune` makes some; how much stays free is min-free-space in the \
                    configuration";
        return Some(text.to_owned());
    }
    let text = "`system check` names all that is damaged, `system check --repair` brings back what can be had again";
    state::record::Damage::is_in(error).then(|| text.to_owned())
}

/// An error with its causes, in one line. A cause whose text the message already ends with is not said twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
