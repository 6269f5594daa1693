//! The registry client. What the host says about its registries is read by `config`; whom to ask for an image and how follows in
//! `endpoint`. One [`Registry`] per endpoint and command (`connection`), its calls in `api`, `tags` and `referrers`; who failed lately in `memory`. HTTP and
//! trust in `http`, certificates in `tls`, proxies in `proxy`, tokens in `auth`, names to addresses in `resolver`, credentials on
//! disk in `credentials`.
//! Source: OCI distribution-spec 1.1, Docker `registry/spec`.

mod answer;
pub(crate) mod api;
pub(crate) mod auth;
pub mod config;
mod connection;
pub mod credentials;
pub(crate) mod endpoint;
pub(crate) mod http;
pub(crate) mod memory;
pub mod proxy;
mod referrers;
pub mod resolver;
mod tags;
mod tls;

pub(crate) use answer::{Quota, pause};
pub(crate) use connection::{Payload, Registry};

use std::path::PathBuf;
use std::time::Duration;

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// Registries (`host[:port]`, or a network in CIDR form) that may be spoken to without TLS or with a
    /// certificate nobody vouches for. Loopback addresses always may.
    pub insecure: Vec<String>,
    /// Asked before Docker Hub itself for Docker Hub's images (`https://mirror.example`), in order.
    pub mirrors: Vec<String>,
    /// What dockless' own configuration says of registries, before all other files.
    pub rules: Vec<config::Rule>,
    /// Other programs' files.
    pub files: config::HostFiles,
    /// Docker's `config.json` with credentials; `None`: anonymous.
    pub docker_config: Option<PathBuf>,
    /// Looked through after it: containers' `auth.json` and the like.
    pub auth_files: Vec<PathBuf>,
    /// Looked through before it: the text of `DOCKER_AUTH_CONFIG`.
    pub auth_text: Option<credentials::AuthText>,
    /// `certs.d` directories (`<dir>/<host>/{ca.crt,client.cert,client.key}`).
    pub certs_dirs: Vec<PathBuf>,
    pub proxies: proxy::Proxies,
    /// Never connect: what image directories do not have is not there.
    pub offline: bool,
    pub resolver: resolver::ResolverFiles,
    /// No byte for this long: the connection is dead. `None`: 30 seconds.
    pub stall_timeout: Option<Duration>,
    /// Hears what is waited for.
    pub waiting: Waiting,
}

/// Who is told that a registry is waited for, and for how long: in a whole sentence. Without anybody, it is done in silence.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waiting(pub Option<fn(&str)>);

impl Waiting {
    /// Short waits are not worth telling.
    fn tell(self, registry: &str, error: &Error, pause: Duration) {
        if let Some(hears) = self.0.filter(|_| pause >= Duration::from_secs(1)) {
            let error = match error {
                // What else could be done is told by who gives up.
                Error::Status {
                    url,
                    status,
                    message,
                    ..
                } => status_text(url, *status, message),
                other => other.to_string(),
            };
            let seconds = answer::span(pause);
            hears(&format!("waiting {seconds} for {registry}: {error}"));
        }
    }
}

/// Whether a `WWW-Authenticate` value asks for something that is known here.
pub fn is_challenge(value: &str) -> bool {
    auth::parse_challenge(&[value]).is_some()
}

/// Why a registry did not give or take what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", connect_text(url, source))]
    Connect {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("{}{}", status_text(url, *status, message), way_out(*status))]
    Status {
        url: String,
        status: u16,
        message: String,
        retry_after: Option<Duration>,
    },
    #[error("pull access denied for {0}, repository does not exist or may require 'docker login'")]
    Denied(String),
    #[error("manifest for {0} not found: manifest unknown")]
    ManifestUnknown(String),
    #[error("unauthorized: incorrect username or password for {registry}")]
    Unauthorized { registry: String },
    #[error("no basic auth credentials for {registry} (log in with: docker login {registry})")]
    NoCredentials { registry: String },
    #[error("{registry} asks for a way of authentication that is not known: {challenge}")]
    Challenge { registry: String, challenge: String },
    #[error("{registry} wants credentials sent to {realm} without encryption: refused")]
    PlainRealm { registry: String, realm: String },
    #[error("{url} answered something that cannot be read")]
    Answer {
        url: String,
        source: serde_json::Error,
    },
    #[error("{url} answered with a document of more than {} MB: refused", crate::content::DOCUMENT_MAX >> 20)]
    TooLarge { url: String },
    #[error(
        "{0} is in the form of 2015 (manifest schema 1), which is not read here: push it again with a newer program, or have it \
         converted: skopeo copy --format v2s2 docker://{0} docker://NEW-NAME"
    )]
    Schema1(String),
    #[error("{url} answered without {what}")]
    Incomplete { url: String, what: &'static str },
    #[error("the request to {0} cannot be written")]
    Request(String, #[source] ureq::http::Error),
    #[error("the network is switched off (offline), {0} cannot be asked")]
    Offline(String),
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error("the registry's images are blocked on this host: {reference} (rule for {prefix})")]
    Blocked { reference: String, prefix: String },
    #[error(
        "no registry on this host takes {0}: containerd's hosts.toml gives nobody the capability push"
    )]
    NoPush(String),
    #[error("cannot use the certificate file {}: {message}", path.display())]
    Certificate { path: PathBuf, message: String },
    #[error(
        "the proxy for {0} is not valid (write http://HOST:PORT in HTTPS_PROXY or daemon.json)"
    )]
    Proxy(String),
    #[error("{url} sends us to {to}: refused, {reason}")]
    Redirect {
        url: String,
        to: String,
        reason: &'static str,
    },
    #[error("{registry} sends us to {realm} for a token: refused, {reason}")]
    Realm {
        registry: String,
        realm: String,
        reason: &'static str,
    },
    #[error("{registry} stored {stored} where {sent} was sent")]
    PushDigest {
        registry: String,
        stored: String,
        sent: String,
    },
}

fn status_text(url: &str, status: u16, message: &str) -> String {
    match message {
        "" => format!("{url} answered {status}"),
        said => format!("{url} answered {status}: {said}"),
    }
}

fn way_out(status: u16) -> &'static str {
    match status {
        429 => {
            " (try again later, log in for a larger quota with docker login, or name a mirror in registry-mirrors)"
        }
        503 => " (try again later, or name a mirror in registry-mirrors)",
        _ => "",
    }
}

/// The innermost reason, and the way out where there is a usual one.
fn connect_text(url: &str, source: &ureq::Error) -> String {
    use std::io::ErrorKind;
    let host = url.split('/').nth(2).unwrap_or(url);
    match source {
        ureq::Error::Io(e) if e.kind() == ErrorKind::ConnectionRefused => {
            format!("dial tcp {host}: connect: connection refused (is the registry running?)")
        }
        ureq::Error::HostNotFound => format!("dial tcp: lookup {host}: no such host"),
        ureq::Error::Timeout(what) => format!("no answer from {host} in time ({what})"),
        ureq::Error::Rustls(e) => tls_text(host, e),
        ureq::Error::Io(e) if tls_error(e).is_some() => {
            tls_error(e).map(|e| tls_text(host, e)).unwrap_or_default()
        }
        other => format!("cannot reach {host}: {other}"),
    }
}

/// Nobody is there, or no way leads there: a moment later it is the same.
fn is_settled(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as E;
    matches!(
        kind,
        E::ConnectionRefused | E::NotFound | E::NetworkUnreachable | E::HostUnreachable
    )
}

/// What TLS said, where that is behind an error of a stream.
fn tls_error(e: &std::io::Error) -> Option<&rustls::Error> {
    e.get_ref()?.downcast_ref()
}

fn tls_text(host: &str, e: &rustls::Error) -> String {
    let way_out = match e {
        rustls::Error::AlertReceived(_) => {
            format!(
                "if it wants a certificate, put it into /etc/docker/certs.d/{host}/ as client.cert and client.key"
            )
        }
        _ => format!(
            "add its CA to /etc/docker/certs.d/{host}/ca.crt, or list it under insecure-registries"
        ),
    };
    format!("tls: {host}: {e} ({way_out})")
}

impl Error {
    /// Whether the same request may succeed later: broken connections, overload, server faults.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
            }
            Self::Connect { source, .. } => match &**source {
                ureq::Error::Io(e) if tls_error(e).is_some() => false,
                ureq::Error::Io(e) => !is_settled(e.kind()),
                ureq::Error::Timeout(_)
                | ureq::Error::ConnectionFailed
                | ureq::Error::BodyStalled => true,
                ureq::Error::Protocol(_) => true,
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the registry, not the image, is what is missing.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Connect { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind as E;

    #[test]
    fn what_a_moment_does_not_change_is_not_tried_again() {
        let passing = |kind| {
            Error::Connect {
                url: "https://r.example/v2/".into(),
                source: Box::new(ureq::Error::Io(std::io::Error::from(kind))),
            }
            .is_passing()
        };
        for kind in [
            E::ConnectionRefused,
            E::NotFound,
            E::NetworkUnreachable,
            E::HostUnreachable,
        ] {
            assert!(!passing(kind), "{kind}");
        }
        for kind in [E::ConnectionReset, E::TimedOut, E::UnexpectedEof] {
            assert!(passing(kind), "{kind}");
        }
    }
}
