//! Whom to ask for an image, in order, and how each is spoken to: a pure function of the configuration and the image's name.
//!
//! Mirrors first: those of dockless' own rules, of containers' rules, of containerd's file for this registry, of dockerd's list (for
//! Docker Hub), of containerd's `_default`. Last the origin: where a rule or a file says the images are, else the registry itself.

use super::RegistryOptions;
use super::config::{Host, HostConfig, PullFrom, Rule, choose};
use oci::Reference;
use oci::reference::DOCKER_HUB;
use std::path::PathBuf;
use std::time::Duration;

/// What Docker Hub's API answers to.
pub(crate) const HUB_HOST: &str = "registry-1.docker.io";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// May lack the image, lie, or be down: the next one is asked.
    Mirror,
    Origin,
}

/// How a host is spoken to, beyond what holds for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Transport {
    /// Any certificate will do, and no TLS either.
    pub(crate) insecure: bool,
    pub(crate) ca: Vec<PathBuf>,
    pub(crate) client: Vec<(PathBuf, Option<PathBuf>)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) proxy: Option<String>,
    pub(crate) dial_timeout: Option<Duration>,
}

/// One place that may have an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `host[:port]` as credentials know it (`docker.io`).
    pub(crate) name: String,
    /// `host[:port]` that is connected to.
    pub(crate) host: String,
    /// `None`: TLS, or none where that is allowed and TLS is not spoken.
    pub(crate) scheme: Option<Scheme>,
    /// Where the API begins: `/v2`.
    pub(crate) root: String,
    /// What the repository is called there.
    pub(crate) repository: String,
    /// `?ns=`: whose image it is, for a mirror of several registries.
    pub(crate) namespace: Option<String>,
    pub(crate) pull: bool,
    /// Believed about what a tag stands for.
    pub(crate) resolve: bool,
    pub(crate) push: bool,
    pub(crate) role: Role,
    pub(crate) transport: Transport,
}

impl Endpoint {
    /// A registry as its name says.
    pub(crate) fn plain(domain: &str, repository: &str) -> Self {
        let host = match domain {
            DOCKER_HUB | "index.docker.io" => HUB_HOST,
            other => other,
        };
        Self {
            name: domain.to_owned(),
            host: host.to_owned(),
            scheme: None,
            root: "/v2".into(),
            repository: repository.to_owned(),
            namespace: None,
            pull: true,
            resolve: true,
            push: true,
            role: Role::Origin,
            transport: Transport::default(),
        }
    }

    /// `[scheme://]host[:port][/path]`, the repository below the path. A path with `/v2` in it is where the API begins, not a part
    /// of the repository's name: that is how Nexus and Artifactory are written.
    pub(crate) fn located(location: &str, repository: &str) -> Self {
        let (scheme, rest) = split_scheme(location);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_matches('/');
        let mut endpoint = Self::plain(host, repository);
        endpoint.scheme = scheme;
        if path.split('/').any(|part| part == "v2") {
            endpoint.root = format!("/{path}");
        } else if !path.is_empty() {
            endpoint.repository = match repository {
                "" => path.to_owned(),
                below => format!("{path}/{below}"),
            };
        }
        endpoint
    }

    /// An entry of containerd's.
    fn of_host(host: &Host, reference: &Reference) -> Self {
        let mut endpoint = Self::plain(reference.domain(), reference.path());
        if !host.url.is_empty() {
            let (scheme, rest) = split_scheme(&host.url);
            let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
            let path = path.trim_matches('/');
            endpoint = Self::plain(name, reference.path());
            endpoint.scheme = scheme;
            endpoint.root = match path {
                "" if host.override_path => String::new(),
                "" => "/v2".into(),
                path if host.override_path || path.split('/').next_back() == Some("v2") => {
                    format!("/{path}")
                }
                path => format!("/{path}/v2"),
            };
        }
        let own = Self::plain(reference.domain(), "");
        if endpoint.host == own.host {
            endpoint.name = own.name;
        } else {
            endpoint.namespace = Some(reference.domain().to_owned());
        }
        (endpoint.pull, endpoint.resolve, endpoint.push) = (host.pull, host.resolve, host.push);
        endpoint.transport = Transport {
            insecure: host.skip_verify,
            ca: host.ca.clone(),
            client: host.client.clone(),
            headers: host.headers.clone(),
            proxy: host.proxy.clone(),
            dial_timeout: host.dial_timeout,
        };
        endpoint
    }

    fn mirror(mut self) -> Self {
        (self.role, self.push) = (Role::Mirror, false);
        self
    }

    fn insecure(mut self, insecure: bool) -> Self {
        self.transport.insecure |= insecure;
        self
    }

    /// For messages: `registry quay.io`, `mirror https://m.example/v2/hub`.
    pub(crate) fn describe(&self) -> String {
        if self.role == Role::Origin
            && self.host == Self::plain(&self.name, "").host
            && self.root == "/v2"
        {
            return format!("registry {}", self.name);
        }
        let role = match self.role {
            Role::Mirror => "mirror",
            Role::Origin => "registry",
        };
        let scheme = match self.scheme {
            Some(Scheme::Http) => "http://",
            Some(Scheme::Https) => "https://",
            None => "",
        };
        let root = if self.root == "/v2" { "" } else { &self.root };
        format!("{role} {scheme}{}{root}", self.host)
    }

    fn is_same_place(&self, other: &Self) -> bool {
        (&self.host, self.scheme, &self.root, &self.repository)
            == (&other.host, other.scheme, &other.root, &other.repository)
    }
}

fn split_scheme(url: &str) -> (Option<Scheme>, &str) {
    match url.split_once("://") {
        Some(("http", rest)) => (Some(Scheme::Http), rest),
        Some((_, rest)) => (Some(Scheme::Https), rest),
        None => (None, url),
    }
}

/// Everyone who may have the image, in the order they are asked. `Err`: the prefix that forbids it.
pub(crate) fn endpoints(
    config: &HostConfig,
    reference: &Reference,
) -> Result<Vec<Endpoint>, String> {
    let full = reference.repository();
    let rules: Vec<(&Rule, usize)> = config
        .rules
        .iter()
        .filter_map(|r| choose(r, &full))
        .collect();
    if let Some((rule, _)) = rules.iter().find(|(rule, _)| rule.blocked) {
        return Err(rule.prefix().to_owned());
    }
    let mut found: Vec<Endpoint> = Vec::new();
    for (rule, covered) in &rules {
        let serving = rule
            .mirrors
            .iter()
            .filter(|m| serves(rule, m.pull_from_mirror, reference));
        found.extend(serving.map(|m| {
            moved(&m.location, &full, *covered)
                .insecure(m.insecure)
                .mirror()
        }));
    }
    let hosts = config.hosts.as_ref();
    let (own, default) = match hosts {
        Some(file) if file.is_default => (None, hosts),
        other => (other, None),
    };
    let listed = |found: &mut Vec<Endpoint>, file: Option<&super::config::HostsFile>| {
        for host in file.into_iter().flat_map(|f| &f.hosts) {
            let push = host.push;
            let mut endpoint = Endpoint::of_host(host, reference).mirror();
            endpoint.push = push;
            found.push(endpoint);
        }
    };
    listed(&mut found, own);
    if reference.domain() == DOCKER_HUB {
        found.extend(
            config
                .hub_mirrors
                .iter()
                .map(|url| hub_mirror(url, reference)),
        );
    }
    listed(&mut found, default);
    found.push(origin(config, reference, &rules));
    let mut places: Vec<Endpoint> = Vec::new();
    for endpoint in found {
        match places
            .iter_mut()
            .find(|known| known.is_same_place(&endpoint))
        {
            // A file may list the origin among its hosts, to say how it is spoken to.
            Some(known) if endpoint.role == Role::Origin => {
                (known.role, known.push) = (Role::Origin, true)
            }
            Some(_) => {}
            None => places.push(endpoint),
        }
    }
    Ok(places)
}

fn serves(rule: &Rule, from: Option<PullFrom>, reference: &Reference) -> bool {
    match from {
        None if rule.mirror_by_digest_only => reference.digest().is_some(),
        None | Some(PullFrom::All) => true,
        Some(PullFrom::DigestOnly) => reference.digest().is_some(),
        Some(PullFrom::TagOnly) => reference.digest().is_none(),
    }
}

/// The image at another location: what the prefix does not cover stays.
fn moved(location: &str, full: &str, covered: usize) -> Endpoint {
    Endpoint::located(location, full[covered..].trim_start_matches('/'))
}

/// An entry of dockerd's `registry-mirrors`: TLS unless it says otherwise.
fn hub_mirror(url: &str, reference: &Reference) -> Endpoint {
    let mut endpoint = Endpoint::located(url, reference.path()).mirror();
    endpoint.scheme.get_or_insert(Scheme::Https);
    endpoint
}

fn origin(config: &HostConfig, reference: &Reference, rules: &[(&Rule, usize)]) -> Endpoint {
    let full = reference.repository();
    let insecure = rules.iter().any(|(rule, _)| rule.insecure);
    let elsewhere = rules.iter().find_map(|(rule, covered)| {
        let location = rule.location.as_deref().filter(|l| *l != rule.prefix())?;
        Some(moved(location, &full, *covered))
    });
    let server = || config.hosts.as_ref()?.server.as_ref();
    match elsewhere {
        Some(endpoint) => endpoint.insecure(insecure),
        None => match server() {
            Some(server) => Endpoint::of_host(server, reference).insecure(insecure),
            None => Endpoint::plain(reference.domain(), reference.path()).insecure(insecure),
        },
    }
}

/// The same from files, and the options with what those say of all registries.
pub(crate) fn of(
    options: &RegistryOptions,
    reference: &Reference,
) -> Result<(Vec<Endpoint>, RegistryOptions), super::Error> {
    let config = HostConfig::load(options, reference.domain())?;
    let found = endpoints(&config, reference).map_err(|prefix| super::Error::Blocked {
        reference: reference.familiar(),
        prefix,
    })?;
    Ok((found, with_files(options, config)))
}

/// A registry itself, for what is not about an image.
pub(crate) fn of_registry(
    options: &RegistryOptions,
    domain: &str,
) -> Result<(Endpoint, RegistryOptions), super::Error> {
    let config = HostConfig::load(options, domain)?;
    let insecure = config
        .rules
        .iter()
        .filter_map(|r| choose(r, domain))
        .any(|(rule, _)| rule.insecure);
    let endpoint = Endpoint::plain(domain, "").insecure(insecure);
    Ok((endpoint, with_files(options, config)))
}

fn with_files(options: &RegistryOptions, config: HostConfig) -> RegistryOptions {
    RegistryOptions {
        insecure: config.insecure,
        proxies: config.proxies,
        ..options.clone()
    }
}

#[cfg(test)]
mod tests;
