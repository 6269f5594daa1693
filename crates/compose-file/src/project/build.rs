//! `build`, typed. Source: Compose Build Specification.

use super::{Extensions, FileReference};
use model::limits::Ulimit;
use model::network::ExtraHost;
use std::collections::{BTreeMap, BTreeSet};

/// How a service's image is built.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Build {
    /// An absolute path, or a URL when [`Build::is_remote`].
    pub context: String,
    /// Relative to the context, or absolute. `None` only with `dockerfile_inline`.
    pub dockerfile: Option<String>,
    pub dockerfile_inline: Option<String>,
    /// `None`: the value of the build's environment.
    pub args: BTreeMap<String, Option<String>>,
    pub target: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub additional_contexts: BTreeMap<String, String>,
    pub cache_from: Vec<String>,
    pub cache_to: Vec<String>,
    pub no_cache: bool,
    pub no_cache_filter: Vec<String>,
    pub pull: bool,
    pub network: Option<String>,
    pub extra_hosts: Vec<ExtraHost>,
    pub ssh: Vec<SshKey>,
    pub secrets: Vec<FileReference>,
    /// The names of ulimits with `soft` and `hard`.
    pub ulimit_pairs: BTreeSet<String>,
    pub shm_size: Option<u64>,
    pub ulimits: Vec<Ulimit>,
    pub tags: Vec<String>,
    pub platforms: Vec<String>,
    pub privileged: bool,
    pub entitlements: Vec<String>,
    pub isolation: Option<String>,
    pub provenance: Option<String>,
    pub sbom: Option<String>,
    pub extensions: Extensions,
}

impl Build {
    /// Whether the context is fetched (git, HTTP) and not a directory here.
    pub fn is_remote(&self) -> bool {
        crate::paths::is_remote(&self.context)
    }
}

/// One entry of `build.ssh`: `default` or `id=path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    pub id: String,
    pub path: Option<String>,
}
