//! Who one is at which registry: Docker's `config.json`, containers' `auth.json` (the same form, with keys for parts of a registry), the
//! old `.dockercfg`, the text of `DOCKER_AUTH_CONFIG`. The first of them that knows the registry counts; in it the most specific key.
//! Unknown keys are kept when a file is written.
//!
//! ```text
//! { "auths": { "<server>[/<path>]": { "auth": base64("user:password"), "identitytoken": "…", "registrytoken": "…" } },
//!   "credsStore": "<helper>", "credHelpers": { "<server>": "<helper>" }, "HttpHeaders": { "X-Meta-…": "…" } }
//! ```
//! A helper is the program `docker-credential-<helper>`; running it is the one execution in the engine.
//! Source: Docker CLI reference (`docker login`), docker-credential-helpers, containers-auth.json(5).

use super::RegistryOptions;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use state::Durability;
use std::io;
use std::path::{Path, PathBuf};

/// The key of Docker Hub, for historical reasons.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Why credentials could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {step} {}", path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is damaged", path.display())]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("cannot run the credential helper docker-credential-{helper}")]
    Helper { helper: String, source: io::Error },
    #[error("the credential helper docker-credential-{helper} failed: {message}")]
    HelperFailed { helper: String, message: String },
    #[error("DOCKER_AUTH_CONFIG is not valid JSON")]
    AuthText,
    #[error("invalid credential helper name {0:?}")]
    HelperName(String),
    #[error("no place to keep credentials: neither DOCKER_CONFIG nor HOME is set")]
    NoPlace,
}

/// How to prove who one is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Password {
        username: String,
        password: String,
    },
    /// An OAuth2 refresh token.
    IdentityToken(String),
    /// Shown to the registry as it is.
    RegistryToken(String),
}

/// The text of `DOCKER_AUTH_CONFIG`, never shown.
#[derive(Clone)]
pub struct AuthText(pub String);

impl std::fmt::Debug for AuthText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthText(..)")
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { username, .. } => {
                write!(f, "Password {{ username: {username:?}, .. }}")
            }
            Self::IdentityToken(_) => f.write_str("IdentityToken(..)"),
            Self::RegistryToken(_) => f.write_str("RegistryToken(..)"),
        }
    }
}

impl Credential {
    /// As it stands in `auths`.
    fn entry(&self) -> Value {
        match self {
            Self::Password { username, password } => {
                json!({"auth": STANDARD.encode(format!("{username}:{password}"))})
            }
            Self::IdentityToken(token) => {
                json!({"auth": STANDARD.encode("<token>:"), "identitytoken": token})
            }
            Self::RegistryToken(token) => json!({"registrytoken": token}),
        }
    }
}

/// A `config.json` with all accounts of these options in it, for somebody who has no helpers.
pub fn portable(options: &RegistryOptions) -> Result<String, Error> {
    let mut auths = Map::new();
    // The first that knows a registry counts.
    for path in options.docker_config.iter().chain(&options.auth_files) {
        for (key, entry) in DockerConfig::read(path)?.all()? {
            auths.entry(key).or_insert(entry);
        }
    }
    if let Some(AuthText(text)) = &options.auth_text {
        auths.extend(DockerConfig::parse(text)?.all()?);
    }
    Ok(json!({ "auths": auths }).to_string())
}

/// The credential for a repository of a registry, from the first place that knows it.
pub(crate) fn find(
    options: &RegistryOptions,
    registry: &str,
    repository: &str,
) -> Result<Option<Credential>, Error> {
    if let Some(AuthText(text)) = &options.auth_text
        && let Some(found) = DockerConfig::parse(text)?.find(registry, repository)?
    {
        return Ok(Some(found));
    }
    for path in options.docker_config.iter().chain(&options.auth_files) {
        if let Some(found) = DockerConfig::read(path)?.find(registry, repository)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// `HttpHeaders` of Docker's `config.json`, those that are for registries.
pub(crate) fn meta_headers(options: &RegistryOptions) -> Result<Vec<(String, String)>, Error> {
    let Some(path) = &options.docker_config else {
        return Ok(Vec::new());
    };
    let config = DockerConfig::read(path)?;
    let all = config
        .document
        .get("HttpHeaders")
        .and_then(Value::as_object);
    let fitting = all.into_iter().flatten().filter_map(|(name, value)| {
        let text = value.as_str()?;
        let is_meta = name
            .get(..7)
            .is_some_and(|n| n.eq_ignore_ascii_case("x-meta-"));
        is_meta.then(|| (name.clone(), text.to_owned()))
    });
    Ok(fitting.collect())
}

/// A parsed `config.json`. Not to be shown: there are passwords in it.
pub struct DockerConfig {
    path: PathBuf,
    document: Map<String, Value>,
}

impl std::fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerConfig")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl DockerConfig {
    fn parse(text: &str) -> Result<Self, Error> {
        let path = PathBuf::from("DOCKER_AUTH_CONFIG");
        // The cause would quote what is there.
        let document = serde_json::from_str(text).map_err(|_| Error::AuthText)?;
        Ok(Self { path, document })
    }

    /// Reads the file; one that is not there is empty.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let document = match std::fs::read(path) {
            Ok(bytes) if bytes.is_empty() => Map::new(),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::Parse {
                path: path.into(),
                source,
            })?,
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Map::new()
            }
            Err(source) => {
                return Err(Error::Io {
                    step: "read",
                    path: path.into(),
                    source,
                });
            }
        };
        let is_old = path.file_name().is_some_and(|name| name == ".dockercfg");
        let document = match is_old && !document.contains_key("auths") {
            true => Map::from_iter([("auths".to_owned(), Value::Object(document))]),
            false => document,
        };
        Ok(Self {
            path: path.into(),
            document,
        })
    }

    /// The credential for a registry (`docker.io`, `localhost:5000`).
    pub fn get(&self, registry: &str) -> Result<Option<Credential>, Error> {
        self.find(registry, "")
    }

    /// The credential for a repository, by the most specific key.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>, Error> {
        if let Some(helper) = self.helper(registry) {
            return ask_helper(&helper, &server_key(registry));
        }
        let auths = self.document.get("auths").and_then(Value::as_object);
        let Some(entry) = auths.and_then(|a| find_entry(a, registry, repository)) else {
            return Ok(None);
        };
        let text = |name: &str| {
            entry
                .get(name)
                .and_then(Value::as_str)
                .filter(|t| !t.is_empty())
        };
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credential::IdentityToken(token.into())));
        }
        if let Some(token) = text("registrytoken") {
            return Ok(Some(Credential::RegistryToken(token.into())));
        }
        if let Some(decoded) = text("auth").and_then(|t| STANDARD.decode(t).ok()) {
            let pair = String::from_utf8_lossy(&decoded)
                .trim_end_matches('\0')
                .to_owned();
            if let Some((username, password)) = pair.split_once(':') {
                return Ok(Some(Credential::Password {
                    username: username.into(),
                    password: password.into(),
                }));
            }
        }
        match (text("username"), text("password")) {
            (Some(username), Some(password)) => Ok(Some(Credential::Password {
                username: username.into(),
                password: password.into(),
            })),
            _ => Ok(None),
        }
    }

    /// Every registry the file knows an account for, by its key, with the account where there is one; helpers are asked.
    fn all(&self) -> Result<Map<String, Value>, Error> {
        let keys = |name: &str| {
            let map = self.document.get(name).and_then(Value::as_object);
            map.into_iter().flatten().map(|(key, _)| key.clone())
        };
        let mut found = Map::new();
        for key in keys("auths").chain(keys("credHelpers")) {
            if let Some(credential) = self.get(&key)? {
                found.insert(key, credential.entry());
            }
        }
        Ok(found)
    }

    /// Keeps a credential, by the helper where one is configured.
    pub fn put(&mut self, registry: &str, credential: &Credential) -> Result<(), Error> {
        let key = server_key(registry);
        let (username, secret) = match credential {
            Credential::Password { username, password } => (username.as_str(), password.as_str()),
            Credential::IdentityToken(token) | Credential::RegistryToken(token) => {
                ("<token>", token.as_str())
            }
        };
        if let Some(helper) = self.helper(registry) {
            let request = json!({"ServerURL": key, "Username": username, "Secret": secret});
            run_helper(&helper, "store", request.to_string().as_bytes())?;
            // Docker's list of where one is logged in.
            self.enter(key, json!({}));
            return self.write();
        }
        self.enter(key, credential.entry());
        self.write()
    }

    fn enter(&mut self, key: String, entry: Value) {
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(key, entry);
        }
    }

    /// Whether passwords lie in the file itself.
    pub fn keeps_secrets(&self, registry: &str) -> bool {
        self.helper(registry).is_none()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets a registry; false when it was not known.
    pub fn remove(&mut self, registry: &str) -> Result<bool, Error> {
        if let Some(helper) = self.helper(registry) {
            run_helper(&helper, "erase", server_key(registry).as_bytes())?;
        }
        let Some(auths) = self
            .document
            .get_mut("auths")
            .and_then(Value::as_object_mut)
        else {
            return Ok(false);
        };
        let before = auths.len();
        let wanted = canonical(registry);
        auths.retain(|key, _| canonical(key) != wanted);
        let removed = auths.len() != before;
        if removed {
            self.write()?;
        }
        Ok(removed)
    }

    fn helper(&self, registry: &str) -> Option<String> {
        let helpers = self.document.get("credHelpers").and_then(Value::as_object);
        let own = helpers
            .and_then(|h| find_entry(h, registry, ""))
            .and_then(Value::as_str);
        let any = || self.document.get("credsStore").and_then(Value::as_str);
        own.or_else(any)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    }

    fn write(&self) -> Result<(), Error> {
        // A link to the file stays one.
        let path = self
            .path
            .canonicalize()
            .unwrap_or_else(|_| self.path.clone());
        let failed = |source| Error::Io {
            step: "write",
            path: path.clone(),
            source,
        };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        let text = serde_json::to_vec_pretty(&self.document).map_err(|source| Error::Parse {
            path: path.clone(),
            source,
        })?;
        state::record::write_bytes(&path, &text, Durability::Durable).map_err(failed)
    }
}

/// What a registry is called in `auths`, and to helpers.
fn server_key(registry: &str) -> String {
    if is_hub(registry) {
        HUB_KEY.into()
    } else {
        registry.into()
    }
}

fn is_hub(registry: &str) -> bool {
    matches!(
        registry,
        "docker.io" | "index.docker.io" | "registry-1.docker.io"
    )
}

/// `https://host:port/v1/` → `host:port`.
fn normal(key: &str) -> &str {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

/// What a key is for: `host[:port]`, or with a path a part of it. Addresses (`https://host/v1/`) are for the whole registry.
fn canonical(key: &str) -> String {
    let bare = key.trim_end_matches('/');
    let is_address = bare.contains("://") || bare.ends_with("/v1") || bare.ends_with("/v2");
    let (host, path) = match bare.split_once('/') {
        Some((host, path)) if !is_address => (host, path),
        _ => (normal(bare), ""),
    };
    let host = if is_hub(host) {
        oci::reference::DOCKER_HUB
    } else {
        host
    };
    match path {
        "" => host.to_owned(),
        path => format!("{host}/{path}"),
    }
}

/// The entry for a repository, else for what it lies in, in the end for the registry.
fn find_entry<'a>(
    map: &'a Map<String, Value>,
    registry: &str,
    repository: &str,
) -> Option<&'a Value> {
    let mut wanted = canonical(registry);
    if !repository.is_empty() {
        wanted = format!("{wanted}/{repository}");
    }
    loop {
        // Docker's own way to write the registry before all others.
        let own = map.get(&server_key(&wanted));
        let same = || {
            map.iter()
                .find(|(key, _)| canonical(key) == wanted)
                .map(|(_, v)| v)
        };
        if let Some(found) = own.or_else(same) {
            return Some(found);
        }
        wanted.truncate(wanted.rfind('/')?);
    }
}

fn ask_helper(helper: &str, key: &str) -> Result<Option<Credential>, Error> {
    let answer = match run_helper(helper, "get", key.as_bytes()) {
        // "credentials not found in native keychain": anonymous, as Docker goes on.
        Err(Error::HelperFailed { message, .. }) if message.contains("not found") => {
            return Ok(None);
        }
        other => other?,
    };
    let failed = |message: &str| Error::HelperFailed {
        helper: helper.into(),
        message: message.into(),
    };
    let answer: Value =
        serde_json::from_slice(&answer).map_err(|_| failed("its answer is not JSON"))?;
    let text = |name: &str| {
        answer
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (username, secret) = (text("Username"), text("Secret"));
    match username.as_str() {
        "" => Ok(None),
        "<token>" => Ok(Some(Credential::IdentityToken(secret))),
        _ => Ok(Some(Credential::Password {
            username,
            password: secret,
        })),
    }
}

fn run_helper(helper: &str, verb: &str, input: &[u8]) -> Result<Vec<u8>, Error> {
    // The name comes from a file the user owns, yet a path in it would run something else than a helper.
    if helper.contains('/') {
        return Err(Error::HelperName(helper.into()));
    }
    let program = format!("docker-credential-{helper}");
    let answer = sys::helper::ask(&program, verb, input).map_err(|source| Error::Helper {
        helper: helper.into(),
        source,
    })?;
    if answer.status.success() {
        return Ok(answer.stdout);
    }
    let message = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    Err(Error::HelperFailed {
        helper: helper.into(),
        message,
    })
}

#[cfg(test)]
mod tests;
