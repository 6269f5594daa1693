//! What a build is asked to do.

use crate::dockerfile::RunNetwork;
use crate::error::Cause;
use crate::exchange::options::{CacheFrom, CacheTo};
use crate::remote::Remote;
use crate::ssh::Ssh;
use model::limits::{Resources, Ulimit};
use model::network::ExtraHost;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;

/// One build.
#[derive(Debug)]
pub struct Options {
    pub context: ContextSource,
    pub dockerfile: DockerfileSource,
    /// Names of the result, as typed.
    pub tags: Vec<String>,
    /// `--build-arg`; a name without a value was looked up in the environment by the caller.
    pub build_args: BTreeMap<String, String>,
    pub target: Option<String>,
    pub no_cache: bool,
    /// Look for newer base images.
    pub pull: bool,
    pub labels: BTreeMap<String, String>,
    /// `os/arch[/variant]`; only the machine's own is built.
    pub platform: Option<String>,
    pub network: RunNetwork,
    pub extra_hosts: Vec<ExtraHost>,
    pub secrets: Vec<Secret>,
    /// Agents and keys for `RUN --mount=type=ssh`.
    pub ssh: Vec<Ssh>,
    /// Caches of other data roots to take from, and to leave this build's steps in.
    pub cache_from: Vec<CacheFrom>,
    pub cache_to: Vec<CacheTo>,
    pub build_contexts: BTreeMap<String, NamedContext>,
    /// Bytes of `/dev/shm` of every RUN; `None`: 64 MiB.
    pub shm_size: Option<u64>,
    /// Of every RUN.
    pub ulimits: Vec<Ulimit>,
    /// Memory and processors of every RUN.
    pub resources: Resources,
    /// Every RUN has all capabilities and devices and no seccomp filter.
    pub privileged: bool,
    /// `--allow security.insecure`: a RUN may ask for the same by `--security=insecure`.
    pub allow_insecure: bool,
    /// Stages that are built anew, by name or number (`--no-cache-filter`).
    pub no_cache_filter: Vec<String>,
    /// `SOURCE_DATE_EPOCH`: the one time all of the image's records name.
    pub source_date_epoch: Option<i64>,
}

/// Where the files come from.
pub enum ContextSource {
    Directory(PathBuf),
    /// A tar stream, plain or compressed (`-`).
    Tar(Box<dyn Read + Send + Sync>),
    /// Fetched when the build begins.
    Remote(Remote),
    /// Nothing but the Dockerfile.
    Empty,
}

impl fmt::Debug for ContextSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
            Self::Tar(_) => f.write_str("Tar"),
            Self::Remote(remote) => f.debug_tuple("Remote").field(remote).finish(),
            Self::Empty => f.write_str("Empty"),
        }
    }
}

/// Where the Dockerfile comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DockerfileSource {
    /// `Dockerfile` (or `Containerfile`) in the context.
    #[default]
    InContext,
    /// `-f`: a file of the host; with a tar context, a file of that.
    Path(PathBuf),
    /// `-f -`, or `dockerfile_inline` of Compose.
    Text(String),
}

/// `--secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub id: String,
    pub source: SecretSource,
    /// What a mount that says nothing else gives it (Compose's `uid`, `gid`, `mode`).
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mode: Option<u32>,
}

#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    File(PathBuf),
    Value(Vec<u8>),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Value(_) => f.write_str("Value(…)"),
        }
    }
}

/// `--build-context name=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    Directory(PathBuf),
    /// `docker-image://…`.
    Image(String),
    /// Fetched when it is first used.
    Remote(Remote),
}

/// The network of every RUN that names none, by Docker's words.
pub fn parse_network(text: &str) -> Option<RunNetwork> {
    match text {
        "" | "default" | "bridge" => Some(RunNetwork::Default),
        "none" => Some(RunNetwork::None),
        "host" => Some(RunNetwork::Host),
        _ => None,
    }
}

impl Options {
    pub fn new(context: ContextSource) -> Self {
        Self {
            context,
            dockerfile: DockerfileSource::default(),
            tags: Vec::new(),
            build_args: BTreeMap::new(),
            target: None,
            no_cache: false,
            pull: false,
            labels: BTreeMap::new(),
            platform: None,
            network: RunNetwork::Default,
            extra_hosts: Vec::new(),
            secrets: Vec::new(),
            ssh: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            build_contexts: BTreeMap::new(),
            shm_size: None,
            ulimits: Vec::new(),
            resources: Resources::default(),
            privileged: false,
            allow_insecure: false,
            no_cache_filter: Vec::new(),
            source_date_epoch: None,
        }
    }
}

/// A short form that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {input:?}: {cause}")]
pub struct BadOption {
    pub what: &'static str,
    pub input: String,
    pub cause: Cow<'static, str>,
}

impl ContextSource {
    /// Reads the PATH argument of `build`. `stdin` is what `-` stands for.
    pub fn parse(
        text: &str,
        stdin: impl FnOnce() -> Box<dyn Read + Send + Sync>,
    ) -> Result<Self, BadOption> {
        if text == "-" {
            return Ok(Self::Tar(stdin()));
        }
        if text.is_empty() {
            return Err(BadOption {
                what: "build context",
                input: text.to_owned(),
                cause: "name a directory, an address, or - for a tar archive on standard input"
                    .into(),
            });
        }
        if let Some(remote) = Remote::parse(text) {
            return remote.map(Self::Remote);
        }
        Ok(Self::Directory(PathBuf::from(text)))
    }
}

impl NamedContext {
    /// Reads `name=path` or `name=docker-image://reference`.
    pub fn parse(text: &str) -> Result<(String, Self), BadOption> {
        let bad = |cause: &'static str| BadOption {
            what: "build context",
            input: text.to_owned(),
            cause: cause.into(),
        };
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| bad("write NAME=PATH or NAME=docker-image://IMAGE"))?;
        if name.is_empty() || value.is_empty() {
            return Err(bad("write NAME=PATH or NAME=docker-image://IMAGE"));
        }
        if let Some(image) = value.strip_prefix("docker-image://") {
            return Ok((name.to_owned(), Self::Image(image.to_owned())));
        }
        if value.starts_with("oci-layout://") || value.starts_with("target:") {
            return Err(bad(
                "only a directory, an address of git or HTTP, or docker-image://IMAGE is supported yet",
            ));
        }
        if let Some(remote) = Remote::parse(value) {
            return Ok((name.to_owned(), Self::Remote(remote?)));
        }
        Ok((name.to_owned(), Self::Directory(PathBuf::from(value))))
    }
}

impl Secret {
    /// Its value, read now.
    pub(crate) fn content(&self) -> Result<Vec<u8>, Cause> {
        match &self.source {
            SecretSource::Value(value) => Ok(value.clone()),
            SecretSource::File(path) => std::fs::read(path).map_err(|source| Cause::ReadSecret {
                id: self.id.clone(),
                path: path.clone(),
                source,
            }),
        }
    }

    pub fn new(id: impl Into<String>, source: SecretSource) -> Self {
        Self {
            id: id.into(),
            source,
            uid: None,
            gid: None,
            mode: None,
        }
    }

    /// Reads `id=name[,src=path][,env=VARIABLE]`; `env` gives the value of a variable.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadOption> {
        let bad = |cause: &'static str| BadOption {
            what: "secret",
            input: text.to_owned(),
            cause: cause.into(),
        };
        let (mut id, mut path, mut variable, mut kind) = (None, None, None, None);
        for field in model::csv::fields(text).map_err(bad)? {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| bad("write id=NAME,src=PATH or id=NAME,env=VARIABLE"))?;
            match key {
                "id" => id = Some(value.to_owned()),
                "src" | "source" => path = Some(value.to_owned()),
                "env" => variable = Some(value.to_owned()),
                "type" if ["file", "env"].contains(&value) => kind = Some(value.to_owned()),
                _ => return Err(bad("the keys are id, src, env and type")),
            }
        }
        let id = id
            .filter(|id| !id.is_empty())
            .ok_or_else(|| bad("id is missing: id=NAME"))?;
        // BuildKit's order: a variable of the secret's own name, when nothing else is said, before a file.
        let variable = variable.or_else(|| {
            (kind.as_deref() == Some("env")).then(|| path.take().unwrap_or(id.clone()))
        });
        let source = match (variable, path) {
            (Some(name), _) => SecretSource::Value(
                env(&name)
                    .ok_or_else(|| bad("the variable is not set"))?
                    .into_bytes(),
            ),
            (None, Some(path)) => SecretSource::File(path.into()),
            (None, None) => match env(&id) {
                Some(value) => SecretSource::Value(value.into_bytes()),
                None => SecretSource::File(id.clone().into()),
            },
        };
        Ok(Self::new(id, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_and_secrets_in_short_form() {
        let stdin = || -> Box<dyn Read + Send + Sync> { Box::new(std::io::empty()) };
        assert!(matches!(
            ContextSource::parse("-", stdin),
            Ok(ContextSource::Tar(_))
        ));
        assert!(matches!(
            ContextSource::parse("https://x/y.git", stdin),
            Ok(ContextSource::Remote(Remote::Git(_)))
        ));
        assert!(matches!(
            ContextSource::parse("https://x/y.tgz", stdin),
            Ok(ContextSource::Remote(Remote::Url(_)))
        ));
        assert_eq!(
            NamedContext::parse("base=docker-image://alpine:3").unwrap(),
            ("base".to_owned(), NamedContext::Image("alpine:3".into()))
        );
        assert!(NamedContext::parse("base").is_err());
        let env = |name: &str| (name == "TOKEN").then(|| "t".to_owned());
        let value = SecretSource::Value(b"t".to_vec());
        assert_eq!(Secret::parse("id=a,env=TOKEN", &env).unwrap().source, value);
        assert_eq!(Secret::parse("id=TOKEN", &env).unwrap().source, value);
        assert_eq!(
            Secret::parse("type=file,id=a,src=/x", &env).unwrap().source,
            SecretSource::File("/x".into())
        );
        assert!(Secret::parse("src=/x", &env).is_err());
        assert!(Secret::parse("id=a,env=NONE", &env).is_err());
    }
}
