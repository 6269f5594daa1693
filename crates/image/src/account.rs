//! `login`, `logout`, `search`: what is asked of a registry besides images.

use crate::error::Error;
use crate::registry::config::HostConfig;
use crate::registry::credentials::{self, Credential, DockerConfig, Error as CredentialsError};
use crate::registry::{Error as RegistryError, RegistryOptions};
use crate::registry::{Registry, endpoint};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::path::PathBuf;

/// One line of `search`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct SearchResult {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub star_count: u64,
    #[serde(default)]
    pub is_official: bool,
    #[serde(default)]
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct SearchAnswer {
    #[serde(default)]
    results: Vec<SearchResult>,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default)]
    repositories: Vec<String>,
}

/// Shows the registry the name and password: they, or the token it gives in their place, are what it takes.
pub fn check(
    options: &RegistryOptions,
    registry: &str,
    username: &str,
    password: &str,
) -> Result<Credential, Error> {
    let registry = registry_name(registry);
    let mut credential = Credential::Password {
        username: username.into(),
        password: password.into(),
    };
    let (endpoint, with_files) = endpoint::of_registry(options, &registry)?;
    let client = Registry::open(endpoint, &with_files).with_credential(credential.clone());
    client.check_login()?;
    if let Some(token) = client.lasting_token() {
        credential = Credential::IdentityToken(token);
    }
    Ok(credential)
}

/// The same, and keeps them. The file they lie in as they are; `None`: a helper has them.
pub fn login(
    options: &RegistryOptions,
    registry: &str,
    username: &str,
    password: &str,
) -> Result<Option<PathBuf>, Error> {
    let credential = check(options, registry, username, password)?;
    let registry = registry_name(registry);
    let path = options
        .docker_config
        .as_ref()
        .ok_or(RegistryError::Credentials(CredentialsError::NoPlace))?;
    let kept = DockerConfig::read(path).and_then(|mut config| {
        config.put(&registry, &credential)?;
        Ok(config
            .keeps_secrets(&registry)
            .then(|| config.path().to_owned()))
    });
    Ok(kept.map_err(RegistryError::Credentials)?)
}

/// An account that is kept on this host.
#[derive(Debug)]
pub struct Known {
    client: Registry,
    credential: Credential,
}

impl Known {
    /// Its name; a token has none.
    pub fn username(&self) -> Option<&str> {
        match &self.credential {
            Credential::Password { username, .. } => Some(username),
            Credential::IdentityToken(_) | Credential::RegistryToken(_) => None,
        }
    }

    /// Shows it to the registry.
    pub fn check(&self) -> Result<(), Error> {
        Ok(self.client.check_login()?)
    }
}

/// The account kept for a registry.
pub fn known(options: &RegistryOptions, registry: &str) -> Result<Option<Known>, Error> {
    let registry = registry_name(registry);
    let found = credentials::find(options, &registry, "").map_err(RegistryError::Credentials)?;
    let Some(credential) = found else {
        return Ok(None);
    };
    let (endpoint, with_files) = endpoint::of_registry(options, &registry)?;
    let client = Registry::open(endpoint, &with_files).with_credential(credential.clone());
    Ok(Some(Known { client, credential }))
}

/// What files and configuration say of registries whatever image is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidOfAll {
    /// Of Docker Hub.
    pub mirrors: Vec<String>,
    /// Hosts and networks.
    pub insecure: Vec<String>,
}

pub fn said_of_all(options: &RegistryOptions) -> Result<SaidOfAll, Error> {
    let config = HostConfig::load(options, oci::reference::DOCKER_HUB);
    let config = config.map_err(RegistryError::from)?;
    Ok(SaidOfAll {
        mirrors: config.hub_mirrors,
        insecure: config.insecure,
    })
}

/// Forgets a registry's credential; false when there was none.
pub fn logout(options: &RegistryOptions, registry: &str) -> Result<bool, Error> {
    let Some(path) = &options.docker_config else {
        return Ok(false);
    };
    let removed =
        DockerConfig::read(path).and_then(|mut config| config.remove(&registry_name(registry)));
    Ok(removed.map_err(RegistryError::Credentials)?)
}

/// Searches: Docker Hub by its search service; `host/term` in that registry's catalogue of names.
pub fn search(
    options: &RegistryOptions,
    term: &str,
    limit: usize,
) -> Result<Vec<SearchResult>, Error> {
    let host = term
        .split_once('/')
        .filter(|(h, _)| h.contains(['.', ':']) || *h == "localhost");
    if let Some((host, rest)) = host {
        return search_catalog(options, host, rest, limit);
    }
    let hub = Registry::mirror("https://index.docker.io", options);
    let query = utf8_percent_encode(term, NON_ALPHANUMERIC);
    if options.offline {
        return Err(RegistryError::Offline("index.docker.io".into()).into());
    }
    let answer: SearchAnswer = hub.json(
        &format!("/v1/search?q={query}&n={}", limit.clamp(1, 100)),
        "",
    )?;
    Ok(answer.results)
}

fn search_catalog(
    options: &RegistryOptions,
    host: &str,
    term: &str,
    limit: usize,
) -> Result<Vec<SearchResult>, Error> {
    let (endpoint, options) = endpoint::of_registry(options, host)?;
    let registry = Registry::open(endpoint, &options);
    let catalog: Catalog = registry.json("/v2/_catalog?n=1000", "registry:catalog:*")?;
    let fitting = catalog
        .repositories
        .into_iter()
        .filter(|name| name.contains(term))
        .take(limit);
    Ok(fitting
        .map(|name| SearchResult {
            name: format!("{host}/{name}"),
            ..SearchResult::default()
        })
        .collect())
}

/// `https://host/v2/` → `host`; empty: Docker Hub.
fn registry_name(typed: &str) -> String {
    let rest = typed
        .strip_prefix("https://")
        .or_else(|| typed.strip_prefix("http://"))
        .unwrap_or(typed);
    match rest.split('/').next().unwrap_or(rest) {
        "" | "index.docker.io" | "registry-1.docker.io" | "docker.io" => {
            oci::reference::DOCKER_HUB.into()
        }
        host => host.into(),
    }
}
