//! HTTP for registries: which scheme a host is spoken to with, trust, timeouts, and errors in words.
//!
//! Docker's rule: TLS with a verified certificate, except for loopback addresses (also behind a name) and
//! the configured insecure registries, which may have any certificate, or none and plain HTTP.
//! Root certificates are read when the first TLS connection is made, never earlier.

use super::resolver::{self, ResolverFiles};
use super::{Error, RegistryOptions};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use ureq::http::{HeaderMap, Request, Response, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, AsSendBody, Body, SendBody};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// No byte for this long: the connection is taken for dead.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Answers that are read whole (errors, tokens, tag lists) end here.
const TEXT_MAX: u64 = 4 << 20;

/// The program's name in requests.
pub(crate) const USER_AGENT: &str = concat!("dockless/", env!("CARGO_PKG_VERSION"));

/// How far a host's certificate is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Verified,
    /// Loopback or configured as insecure: any certificate, or plain HTTP.
    Anything,
}

/// One host's way of being spoken to.
#[derive(Debug)]
pub(crate) struct Http {
    host: String,
    trust: Trust,
    loopback: bool,
    options: RegistryOptions,
    plain: OnceLock<Agent>,
    tls: OnceLock<Agent>,
}

impl Http {
    /// `host` is `name[:port]`. A name is looked up only to see whether it is the loopback's.
    pub(crate) fn new(host: &str, options: &RegistryOptions) -> Self {
        let name = host_name(host);
        let listed = options
            .insecure
            .iter()
            .any(|entry| matches_insecure(entry, host, &[]));
        let literal: Option<IpAddr> = name.parse().ok();
        let addresses = match literal {
            Some(address) => vec![address],
            None if listed || options.offline => Vec::new(),
            None => resolver::resolve(name, &options.resolver).unwrap_or_default(),
        };
        let loopback = !addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback);
        let insecure = listed
            || loopback
            || options
                .insecure
                .iter()
                .any(|e| matches_insecure(e, host, &addresses));
        let trust = if insecure {
            Trust::Anything
        } else {
            Trust::Verified
        };
        Self {
            host: host.to_owned(),
            trust,
            loopback,
            options: options.clone(),
            plain: OnceLock::new(),
            tls: OnceLock::new(),
        }
    }

    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Sends a request; any status is an answer.
    pub(crate) fn run<B: AsSendBody>(&self, request: Request<B>) -> Result<Response<Body>, Error> {
        let url = request.uri().to_string();
        let result = self.agent(request.uri()).run(request);
        result.map_err(|source| Error::Connect {
            url,
            source: Box::new(source),
        })
    }

    /// The same where a redirect is an answer too.
    pub(crate) fn run_here<B: AsSendBody>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Body>, Error> {
        let url = crate::web::shown(&request.uri().to_string());
        let agent = self.agent(request.uri());
        let request = agent
            .configure_request(request)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        agent.run(request).map_err(|source| Error::Connect {
            url,
            source: Box::new(source),
        })
    }

    fn agent(&self, uri: &Uri) -> &Agent {
        if uri.scheme_str() == Some("https") {
            self.tls.get_or_init(|| self.build(Some(self.tls_config())))
        } else {
            self.plain.get_or_init(|| self.build(None))
        }
    }

    fn build(&self, tls: Option<TlsConfig>) -> Agent {
        let stall = self.options.stall_timeout.unwrap_or(STALL_TIMEOUT);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .max_redirects(10)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(stall))
            .timeout_per_write(Some(stall))
            .input_buffer_size(256 << 10)
            .output_buffer_size(256 << 10);
        if self.loopback {
            config = config.proxy(None); // a proxy would take 127.0.0.1 for itself
        }
        if let Some(tls) = tls {
            config = config.tls_config(tls);
        }
        let resolver = OwnResolver {
            files: self.options.resolver.clone(),
        };
        Agent::with_parts(config.build(), DefaultConnector::new(), resolver)
    }

    fn tls_config(&self) -> TlsConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
        let (own_roots, client) = self.certs_dir();
        let builder = builder.client_cert(client);
        if self.trust == Trust::Anything {
            return builder
                .disable_verification(true)
                .root_certs(RootCerts::Specific(Arc::new(Vec::new())))
                .build();
        }
        let native = rustls_native_certs::load_native_certs().certs;
        if native.is_empty() && own_roots.is_empty() {
            // A host without a CA bundle (an initramfs): Mozilla's list as of the build.
            return builder.root_certs(RootCerts::WebPki).build();
        }
        let mut roots: Vec<Certificate<'static>> = native
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        roots.extend(own_roots);
        builder
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build()
    }

    /// Docker's `/etc/docker/certs.d/<host>/`: `*.crt` are roots, `*.cert` with its `*.key` is ours.
    fn certs_dir(&self) -> (Vec<Certificate<'static>>, Option<ClientCert>) {
        let (mut roots, mut client) = (Vec::new(), None);
        for dir in &self.options.certs_dirs {
            let Ok(entries) = std::fs::read_dir(dir.join(&self.host)) else {
                continue;
            };
            for path in entries.flatten().map(|e| e.path()) {
                match path.extension().and_then(|e| e.to_str()) {
                    Some("crt") => roots.extend(certificates(&path)),
                    Some("cert") => client = client.or_else(|| client_certificate(&path)),
                    _ => {}
                }
            }
        }
        (roots, client)
    }
}

fn certificates(path: &Path) -> Vec<Certificate<'static>> {
    let pem = std::fs::read(path).unwrap_or_default();
    let items = ureq::tls::parse_pem(&pem).filter_map(Result::ok);
    let found = items.filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    found.collect()
}

fn client_certificate(path: &Path) -> Option<ClientCert> {
    let key = std::fs::read(path.with_extension("key")).ok()?;
    Some(ClientCert::new_with_certs(
        &certificates(path),
        PrivateKey::from_pem(&key).ok()?,
    ))
}

/// `name`, `[v6]` of `name[:port]`.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.split(':').next().unwrap_or(host)
}

/// An entry of the insecure list: `host[:port]`, or a network in CIDR form.
fn matches_insecure(entry: &str, host: &str, addresses: &[IpAddr]) -> bool {
    if entry == host || entry == host_name(host) {
        return true;
    }
    let Some((network, bits)) = entry.split_once('/') else {
        return false;
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    addresses
        .iter()
        .any(|address| in_network(*address, network, bits))
}

fn in_network(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(a) & mask == u32::from(n) & mask
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(a) & mask == u128::from(n) & mask
        }
        _ => false,
    }
}

/// ureq's own resolver is getaddrinfo.
#[derive(Debug)]
struct OwnResolver {
    files: ResolverFiles,
}

impl Resolver for OwnResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let name = uri
            .host()
            .ok_or_else(|| ureq::Error::BadUri(uri.to_string()))?;
        let default = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default);
        let found = resolver::resolve(name, &self.files).map_err(ureq::Error::Io)?;
        let mut addresses = self.empty();
        for address in found.into_iter().take(16) {
            addresses.push(SocketAddr::new(address, port));
        }
        if addresses.is_empty() {
            Err(ureq::Error::HostNotFound)
        } else {
            Ok(addresses)
        }
    }
}

/// The body as text, cut at a size nobody needs.
pub(crate) fn text(response: Response<Body>, url: &str) -> Result<Vec<u8>, Error> {
    let body = response
        .into_body()
        .into_with_config()
        .limit(TEXT_MAX)
        .read_to_vec();
    body.map_err(|source| Error::Connect {
        url: url.into(),
        source: Box::new(source),
    })
}

/// A request without a body.
pub(crate) fn empty() -> SendBody<'static> {
    SendBody::none()
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offline() -> RegistryOptions {
        let none = ResolverFiles {
            hosts: "/nonexistent".into(),
            resolv_conf: "/nonexistent".into(),
        };
        RegistryOptions {
            resolver: none,
            ..RegistryOptions::default()
        }
    }

    #[test]
    fn loopback_and_listed_registries_may_be_insecure_and_others_not() {
        let mut options = offline();
        options.insecure = vec!["reg.example:5000".into(), "10.1.0.0/16".into()];
        let trust = |host: &str| Http::new(host, &options).trust();
        assert_eq!(trust("127.0.0.1:5000"), Trust::Anything);
        assert_eq!(trust("localhost:5000"), Trust::Anything);
        assert_eq!(trust("[::1]:5000"), Trust::Anything);
        assert_eq!(trust("reg.example:5000"), Trust::Anything);
        assert_eq!(trust("10.1.2.3:5000"), Trust::Anything);
        assert_eq!(trust("10.2.2.3:5000"), Trust::Verified);
    }

    #[test]
    fn a_name_that_is_the_loopbacks_counts_as_loopback() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = dir.path().join("hosts");
        std::fs::write(&hosts, "127.0.0.1 registry.test\n192.0.2.1 far.test\n").unwrap();
        let mut options = offline();
        options.resolver.hosts = hosts;
        assert_eq!(
            Http::new("registry.test:5000", &options).trust(),
            Trust::Anything
        );
        assert_eq!(
            Http::new("far.test:5000", &options).trust(),
            Trust::Verified
        );
    }

    #[test]
    fn networks_contain_what_they_should() {
        let ip = |t: &str| t.parse::<IpAddr>().unwrap();
        assert!(in_network(ip("10.1.2.3"), ip("10.0.0.0"), 8));
        assert!(in_network(ip("10.1.2.3"), ip("0.0.0.0"), 0));
        assert!(!in_network(ip("10.1.2.3"), ip("10.1.2.0"), 32));
        assert!(in_network(ip("fd00::5"), ip("fd00::"), 8));
    }
}
