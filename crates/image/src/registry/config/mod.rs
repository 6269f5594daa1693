//! What the host already says about its registries, whoever it was written for: dockerd's `daemon.json` (`daemon`), containers'
//! `registries.conf` (`containers`), containerd's `hosts.toml` (`containerd`), and dockless' own keys in the same words. Read when an
//! image is asked of a registry, never earlier. What follows from it for one image is `endpoint`'s.

mod containerd;
mod containers;
mod daemon;

pub(crate) use containerd::{Host, HostsFile};

use super::RegistryOptions;
use super::proxy::Proxies;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// Where the files lie; what is not named is not read, and what is not there says nothing.
#[derive(Debug, Clone, Default)]
pub struct HostFiles {
    /// dockerd's `daemon.json`.
    pub daemon: Option<PathBuf>,
    /// containers' `registries.conf`.
    pub registries_conf: Option<PathBuf>,
    /// Directories of drop-ins for it, the later over the earlier.
    pub registries_conf_dirs: Vec<PathBuf>,
    /// containerd's directories of `<host>/hosts.toml`; the first that has the host counts.
    pub hosts_dirs: Vec<PathBuf>,
    /// containers' `policy.json`; [`crate::signature`] reads it.
    pub policy: PolicyFile,
    /// containers' `registries.d`, which [`crate::signature`] reads.
    pub registries_d: Option<PathBuf>,
}

/// Which images are taken, and which only with a signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PolicyFile {
    /// All images are taken.
    #[default]
    None,
    /// Containers' own place: without the file, all images are taken.
    IfThere(PathBuf),
    /// Somebody named it: without the file, none is.
    Named(PathBuf),
}

/// Why a file of the host cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not valid: {message}", path.display())]
    Invalid { path: PathBuf, message: String },
}

/// What holds for the images of a prefix: `[[registry]]` of `registries.conf`, and an entry of `registries` in dockless' own
/// configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Rule {
    /// `host[:port][/path]` or `*.domain`; empty: the location.
    pub prefix: String,
    /// Where the images really are.
    pub location: Option<String>,
    pub insecure: bool,
    pub blocked: bool,
    pub mirror_by_digest_only: bool,
    /// Asked before the location, in order.
    #[serde(rename = "mirror", alias = "mirrors")]
    pub mirrors: Vec<Mirror>,
}

/// One `[[registry.mirror]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Mirror {
    pub location: String,
    pub insecure: bool,
    pub pull_from_mirror: Option<PullFrom>,
}

/// Which images a mirror is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullFrom {
    All,
    DigestOnly,
    TagOnly,
}

impl Rule {
    pub(crate) fn prefix(&self) -> &str {
        match (self.prefix.as_str(), &self.location) {
            ("", Some(location)) => location,
            (prefix, _) => prefix,
        }
    }

    /// How much of `name` (`host[:port]/path`) the rule's prefix takes up; `None`: the rule is for others.
    pub(crate) fn covers(&self, name: &str) -> Option<usize> {
        let prefix = self.prefix();
        let host = name.split('/').next().unwrap_or(name);
        if let Some(domain) = prefix.strip_prefix("*.") {
            let below = host.strip_suffix(domain).is_some_and(|h| h.ends_with('.'));
            return below.then_some(host.len());
        }
        let rest = name.strip_prefix(prefix)?;
        // A tag or digest in a prefix is compared as text, too: it ends the name.
        let ends = rest.is_empty() || rest.starts_with('/');
        let at_repository = prefix.contains('/') && rest.starts_with([':', '@']);
        (ends || at_repository).then_some(prefix.len())
    }

    fn is_wildcard(&self) -> bool {
        self.prefix().starts_with("*.")
    }

    /// What the file's own words forbid.
    fn check(&self) -> Result<(), String> {
        let prefix = self.prefix();
        if prefix.is_empty() {
            return Err("a registry needs a prefix or a location".into());
        }
        if prefix.contains("://") {
            return Err(format!("the prefix {prefix:?} must not have a scheme"));
        }
        let bad_wildcard = || !self.is_wildcard() || prefix[2..].contains(['*', '/']);
        if prefix.contains('*') && bad_wildcard() {
            return Err(format!(
                "the prefix {prefix:?} is none: a wildcard is written *.example.com"
            ));
        }
        let nowhere = |mirror: &&Mirror| mirror.location.trim_matches('/').is_empty();
        if self.mirrors.iter().any(|m| nowhere(&m)) {
            return Err(format!("a mirror of {prefix:?} has no location"));
        }
        Ok(())
    }
}

/// The rule that fits best: the longest prefix, wildcards after all others.
pub(crate) fn choose<'a>(rules: &'a [Rule], name: &str) -> Option<(&'a Rule, usize)> {
    let fitting = rules.iter().filter_map(|r| r.covers(name).map(|n| (r, n)));
    fitting.max_by_key(|(rule, _)| (!rule.is_wildcard(), rule.prefix().len()))
}

/// Everything that is said, for the images of one registry.
#[derive(Debug, Default)]
pub(crate) struct HostConfig {
    /// dockless' own, then containers'.
    pub(crate) rules: [Vec<Rule>; 2],
    /// containerd's for this registry, or its `_default`.
    pub(crate) hosts: Option<HostsFile>,
    /// For Docker Hub alone, as dockerd has it.
    pub(crate) hub_mirrors: Vec<String>,
    pub(crate) insecure: Vec<String>,
    /// Ours, dockerd's, or the environment's.
    pub(crate) proxies: Proxies,
    /// Registries for names without one; empty: Docker Hub.
    pub(crate) search: Vec<String>,
    /// Names without a registry, and what they stand for.
    pub(crate) aliases: Vec<(String, String)>,
}

impl HostConfig {
    /// Reads what is there for the images of `domain`.
    pub(crate) fn load(options: &RegistryOptions, domain: &str) -> Result<Self, Error> {
        let files = &options.files;
        let daemon = match &files.daemon {
            Some(path) => daemon::read(path)?,
            None => daemon::Daemon::default(),
        };
        let containers = containers::read(files)?;
        for rule in &options.rules {
            rule.check().map_err(|message| Error::Invalid {
                path: "config.json, registries".into(),
                message,
            })?;
        }
        let both =
            |own: &[String], theirs: Vec<String>| own.iter().cloned().chain(theirs).collect();
        Ok(Self {
            rules: [options.rules.clone(), containers.rules],
            hosts: containerd::find(&files.hosts_dirs, domain)?,
            hub_mirrors: both(&options.mirrors, daemon.registry_mirrors),
            proxies: options.proxies.or(daemon.proxies),
            insecure: both(&options.insecure, daemon.insecure_registries),
            search: containers.search,
            aliases: containers.aliases,
        })
    }

    /// The full names a name without a registry stands for, in the order they are tried; `None`: it has a registry, or nobody says
    /// anything about it, and it is Docker Hub's.
    pub(crate) fn expand(&self, typed: &str) -> Option<Vec<String>> {
        let end = typed.find('@').unwrap_or(typed.len());
        let end = typed[..end].find(':').unwrap_or(end);
        let (name, suffix) = typed.split_at(end);
        let first = typed.split('/').next().unwrap_or(typed);
        let has_domain =
            typed.contains('/') && (first.contains(['.', ':']) || first == "localhost");
        if has_domain {
            return None;
        }
        if let Some((_, full)) = self.aliases.iter().find(|(alias, _)| alias == name) {
            return Some(vec![format!("{full}{suffix}")]);
        }
        let full = |host: &String| format!("{}/{typed}", host.trim_end_matches('/'));
        (!self.search.is_empty()).then(|| self.search.iter().map(full).collect())
    }
}

/// Whether a text is a `registries.conf`, or what is wrong with it.
pub fn check_registries_conf(text: &str) -> Result<(), Error> {
    containers::check(text)
}

/// The same for a `hosts.toml`.
pub fn check_hosts_toml(text: &str) -> Result<(), Error> {
    containerd::parse(Path::new("hosts.toml"), text).map(|_| ())
}

/// The text of a file; `None` where there is none.
pub(crate) fn text(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Error::Invalid {
                path: path.into(),
                message: "it is not UTF-8 text".into(),
            }),
        },
        Err(e) if is_absent(&e) => Ok(None),
        Err(source) => Err(Error::Read {
            path: path.into(),
            source,
        }),
    }
}

fn is_absent(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn toml_text<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let at = error.span().map(|span| span.start).unwrap_or_default();
        let line = text[..at.min(text.len())].matches('\n').count() + 1;
        Error::Invalid {
            path: path.into(),
            message: format!("line {line}: {}", error.message()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(prefix: &str) -> Rule {
        Rule {
            prefix: prefix.into(),
            ..Rule::default()
        }
    }

    #[test]
    fn the_longest_prefix_counts_and_a_wildcard_after_all_others() {
        let rules = [
            "*.example.com",
            "a.example.com",
            "a.example.com/team",
            "example.com:5000",
        ]
        .map(rule);
        let chosen = |name: &str| choose(&rules, name).map(|(rule, n)| (rule.prefix(), n));
        assert_eq!(
            chosen("a.example.com/team/x"),
            Some(("a.example.com/team", 18))
        );
        assert_eq!(chosen("a.example.com/teams/x"), Some(("a.example.com", 13)));
        assert_eq!(chosen("b.c.example.com/x"), Some(("*.example.com", 15)));
        assert_eq!(chosen("example.com/x"), None);
        assert_eq!(chosen("example.com:5000/x"), Some(("example.com:5000", 16)));
        assert_eq!(chosen("badexample.com/x"), None);
        assert_eq!(choose(&[rule("example.com")], "example.com:5000/x"), None);
    }

    #[test]
    fn prefixes_that_are_none_are_refused() {
        for bad in ["", "https://x", "*", "a.*.b", "*.x/y"] {
            assert!(rule(bad).check().is_err(), "{bad}");
        }
        assert!(rule("*.x.y").check().is_ok());
    }

    #[test]
    fn a_name_without_a_registry_is_its_alias_or_asked_of_all() {
        let mut config = HostConfig {
            aliases: vec![("fedora".into(), "registry.fedoraproject.org/fedora".into())],
            ..HostConfig::default()
        };
        assert_eq!(config.expand("redis:7"), None);
        config.search = vec!["one.example".into(), "docker.io".into()];
        let fedora = config.expand("fedora:40").unwrap();
        assert_eq!(fedora, ["registry.fedoraproject.org/fedora:40"]);
        let redis = config.expand("team/redis:7").unwrap();
        assert_eq!(
            redis,
            ["one.example/team/redis:7", "docker.io/team/redis:7"]
        );
        assert_eq!(config.expand("docker.io/library/redis"), None);
        assert_eq!(config.expand("localhost:5000/redis"), None);
    }
}
