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

    fn as_mirror(mut self) -> Self {
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
                .as_mirror()
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
            let mut endpoint = Endpoint::of_host(host, reference).as_mirror();
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
    let mut endpoint = Endpoint::located(url, reference.path()).as_mirror();
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
        proxies: config.proxies.unwrap_or_else(|| options.proxies.clone()),
        ..options.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::config::{HostsFile, Mirror};

    fn reference(text: &str) -> Reference {
        text.parse::<Reference>().unwrap().or_latest()
    }

    /// `role scheme host root repository ns` of each.
    fn plan(config: &HostConfig, name: &str) -> Vec<String> {
        let list = endpoints(config, &reference(name)).unwrap();
        let line = |e: &Endpoint| {
            let scheme = e
                .scheme
                .map_or("any", |s| if s == Scheme::Http { "http" } else { "https" });
            let role = if e.role == Role::Mirror {
                "mirror"
            } else {
                "origin"
            };
            let ns = e.namespace.as_deref().unwrap_or("-");
            let insecure = if e.transport.insecure {
                " insecure"
            } else {
                ""
            };
            format!(
                "{role} {scheme} {}{} {} {ns}{insecure}",
                e.host, e.root, e.repository
            )
        };
        list.iter().map(line).collect()
    }

    fn mirror(location: &str) -> Mirror {
        Mirror {
            location: location.into(),
            ..Mirror::default()
        }
    }

    #[test]
    fn nothing_said_is_the_registry_itself() {
        let config = HostConfig::default();
        assert_eq!(
            plan(&config, "redis"),
            ["origin any registry-1.docker.io/v2 library/redis -"]
        );
        assert_eq!(
            plan(&config, "ghcr.io/a/b:1"),
            ["origin any ghcr.io/v2 a/b -"]
        );
    }

    #[test]
    fn dockers_mirrors_are_for_the_hub_alone_and_may_have_a_project() {
        let config = HostConfig {
            hub_mirrors: vec![
                "https://m.example/".into(),
                "http://harbor.local/proxy".into(),
                "nexus.local/repository/hub/v2".into(),
            ],
            ..HostConfig::default()
        };
        assert_eq!(
            plan(&config, "redis"),
            [
                "mirror https m.example/v2 library/redis -",
                "mirror http harbor.local/v2 proxy/library/redis -",
                "mirror https nexus.local/repository/hub/v2 library/redis -",
                "origin any registry-1.docker.io/v2 library/redis -",
            ]
        );
        assert_eq!(plan(&config, "quay.io/x/y").len(), 1);
    }

    #[test]
    fn containers_rules_move_mirror_and_forbid() {
        let rules = vec![
            Rule {
                prefix: "example.com/foo".into(),
                location: Some("internal.local/bar".into()),
                insecure: true,
                mirrors: vec![
                    mirror("one.local/foo"),
                    Mirror {
                        insecure: true,
                        pull_from_mirror: Some(PullFrom::DigestOnly),
                        ..mirror("two.local")
                    },
                    Mirror {
                        pull_from_mirror: Some(PullFrom::TagOnly),
                        ..mirror("three.local")
                    },
                ],
                ..Rule::default()
            },
            Rule {
                prefix: "*.blocked.example".into(),
                blocked: true,
                ..Rule::default()
            },
            Rule {
                prefix: "*.wild.example".into(),
                mirrors: vec![mirror("wild.local/w")],
                ..Rule::default()
            },
        ];
        let config = HostConfig {
            rules: [Vec::new(), rules],
            ..HostConfig::default()
        };
        assert_eq!(
            plan(&config, "example.com/foo/image"),
            [
                "mirror any one.local/v2 foo/image -",
                "mirror any three.local/v2 image -",
                "origin any internal.local/v2 bar/image - insecure",
            ]
        );
        let digest = oci::Digest::sha256(b"x");
        assert_eq!(
            plan(&config, &format!("example.com/foo/image@{digest}"))[1],
            "mirror any two.local/v2 image - insecure"
        );
        assert_eq!(
            plan(&config, "a.wild.example/x")[0],
            "mirror any wild.local/v2 w/x -"
        );
        assert_eq!(
            endpoints(&config, &reference("x.blocked.example/y")),
            Err("*.blocked.example".into())
        );
    }

    #[test]
    fn containerds_hosts_say_whose_image_it_is() {
        let host = |url: &str, resolve, override_path| Host {
            url: url.into(),
            pull: true,
            resolve,
            override_path,
            ..Host::default()
        };
        let mut file = HostsFile {
            hosts: vec![
                host("https://m.example", false, false),
                host("http://n.local:8081/repository/q", true, false),
                host("https://o.local/v2/q", true, true),
            ],
            ..HostsFile::default()
        };
        let plan_of = |file: &HostsFile| {
            let config = HostConfig {
                hosts: Some(file.clone()),
                ..HostConfig::default()
            };
            plan(&config, "quay.io/x/y")
        };
        assert_eq!(
            plan_of(&file),
            [
                "mirror https m.example/v2 x/y quay.io",
                "mirror http n.local:8081/repository/q/v2 x/y quay.io",
                "mirror https o.local/v2/q x/y quay.io",
                "origin any quay.io/v2 x/y -",
            ]
        );
        file.hosts.truncate(1);
        file.server = Some(host("https://only.example", true, false));
        assert_eq!(
            plan_of(&file)[1],
            "origin https only.example/v2 x/y quay.io"
        );
    }

    #[test]
    fn every_files_mirrors_are_asked_once_and_in_order() {
        let own = Rule {
            prefix: "docker.io".into(),
            mirrors: vec![mirror("https://a.local")],
            ..Rule::default()
        };
        let theirs = Rule {
            prefix: "docker.io".into(),
            mirrors: vec![mirror("b.local"), mirror("https://a.local")],
            ..Rule::default()
        };
        let config = HostConfig {
            rules: [vec![own], vec![theirs]],
            hub_mirrors: vec!["https://c.local".into(), "https://a.local".into()],
            hosts: Some(HostsFile {
                hosts: vec![Host {
                    url: "https://d.local".into(),
                    pull: true,
                    resolve: true,
                    ..Host::default()
                }],
                is_default: true,
                ..HostsFile::default()
            }),
            ..HostConfig::default()
        };
        let hosts: Vec<String> = endpoints(&config, &reference("redis"))
            .unwrap()
            .into_iter()
            .map(|e| e.host)
            .collect();
        assert_eq!(
            hosts,
            ["a.local", "b.local", "c.local", "d.local", HUB_HOST]
        );
    }

    #[test]
    fn an_origin_listed_among_the_hosts_stays_the_origin() {
        let listed = Host {
            url: "https://registry-1.docker.io".into(),
            pull: true,
            resolve: true,
            ..Host::default()
        };
        let file = HostsFile {
            hosts: vec![listed.clone()],
            server: Some(listed),
            is_default: false,
        };
        let config = HostConfig {
            hosts: Some(file),
            ..HostConfig::default()
        };
        let list = endpoints(&config, &reference("redis")).unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!(
            (list[0].name.as_str(), list[0].role, list[0].push),
            (DOCKER_HUB, Role::Origin, true)
        );
        assert_eq!(list[0].describe(), "registry docker.io");
    }
}
