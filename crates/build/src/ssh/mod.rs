//! `--ssh`: agents and keys that a `RUN --mount=type=ssh` may sign with. What a step gets is a socket, never a key.
//!
//! [`wire`] has the messages, [`key`] signs with a key file's key, [`served`] is the socket. Source: Docker CLI reference
//! (`docker buildx build --ssh`), BuildKit `session/sshforward/sshprovider`.

mod container;
mod key;
mod served;
#[cfg(test)]
mod tests;
mod wire;

use crate::options::BadOption;
pub(crate) use key::Key;
pub(crate) use served::{Owner, Served, path};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a mount means that names no id, and `--ssh` that names none.
pub const DEFAULT: &str = "default";

/// Larger is no key (BuildKit's limit).
const KEY_MAX: u64 = 100 << 10;

/// One `--ssh`: who signs for the mounts with this id.
#[derive(Debug, Clone)]
pub struct Ssh {
    pub id: String,
    pub(crate) signer: Arc<Signer>,
}

#[derive(Debug)]
pub(crate) enum Signer {
    /// Asked anew for each connection.
    Agent(PathBuf),
    Keys(Vec<Key>),
}

impl Ssh {
    /// Reads `default`, `id`, `id=socket` or `id=key[,key]`, and the keys. `env` gives the caller's SSH_AUTH_SOCK.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadOption> {
        let (id, rest) = text.split_once('=').unwrap_or((text, ""));
        let bad = |cause: String| BadOption {
            what: "ssh",
            input: text.to_owned(),
            cause: cause.into(),
        };
        let paths = rest.split(',').filter(|path| !path.is_empty());
        let paths: Vec<PathBuf> = paths.map(PathBuf::from).collect();
        if paths.iter().any(|path| path.starts_with("raw=true")) {
            let cause = "raw sockets are not handed over: a step may list keys and sign, no more";
            return Err(bad(cause.to_owned()));
        }
        Self::new(id, paths, env).map_err(bad)
    }

    /// The agent or keys at `paths`; with none the caller's agent.
    pub fn new(
        id: &str,
        paths: Vec<PathBuf>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let paths = match paths.is_empty() {
            false => paths,
            true => vec![callers_agent(env)?],
        };
        let id = if id.is_empty() { DEFAULT } else { id };
        Ok(Self {
            id: id.to_owned(),
            signer: Arc::new(signer(&paths)?),
        })
    }

    /// Each id once: which of two is meant, nobody could say.
    pub fn check_unique(all: &[Self]) -> Result<(), BadOption> {
        let twice = |(at, one): &(usize, &Self)| all[..*at].iter().any(|other| other.id == one.id);
        match all.iter().enumerate().find(twice) {
            None => Ok(()),
            Some((_, one)) => Err(BadOption {
                what: "ssh",
                input: one.id.clone(),
                cause: "this id is given twice: give each agent an id of its own".into(),
            }),
        }
    }
}

fn callers_agent(env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, String> {
    match env("SSH_AUTH_SOCK").filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => Err(
            "SSH_AUTH_SOCK is not set: start an agent (eval $(ssh-agent); ssh-add), or name a socket or key: id=PATH"
                .to_owned(),
        ),
    }
}

fn signer(paths: &[PathBuf]) -> Result<Signer, String> {
    let mut keys = Vec::new();
    for path in paths {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let kind = std::fs::metadata(path).map_err(failed)?;
        match kind.file_type().is_socket() {
            true if paths.len() == 1 => return Ok(Signer::Agent(path.clone())),
            true => {
                return Err("one agent's socket, or key files: not both, nor two sockets".into());
            }
            false => keys.push(key_file(path, kind.len())?),
        }
    }
    Ok(Signer::Keys(keys))
}

fn key_file(path: &Path, size: u64) -> Result<Key, String> {
    let named = |cause: String| format!("{}: {cause}", path.display());
    if size > KEY_MAX {
        return Err(named("it is too large to be a private key".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(|error| named(error.to_string()))?;
    Key::parse(&bytes).map_err(|bad| named(bad.to_string()))
}
