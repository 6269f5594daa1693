//! HTTP for registries: which scheme a host is spoken to with, trust, timeouts, where one may be sent on to, and errors in words.
//!
//! Docker's rule: TLS with a verified certificate, except for loopback addresses (also behind a name) and
//! the configured insecure registries, which may have any certificate, or none and plain HTTP.

use super::endpoint::Transport;
use super::resolver::{self, ResolverFiles};
use super::{Error, RegistryOptions, tls};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use ureq::http::{HeaderMap, Request, Response, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, AsSendBody, Body, SendBody};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// No byte for this long: the connection is taken for dead.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Answers that are read whole (errors, tokens, tag lists) end here.
const TEXT_MAX: u64 = 4 << 20;
/// What is left of an answer that nobody needs, if it is no more than this, is read: its connection serves the next request.
const SPENT_MAX: u64 = 64 << 10;
/// So often one is sent on.
const REDIRECTS: usize = 5;

/// The program's name in requests.
pub(crate) const USER_AGENT: &str = concat!("dockless/", env!("CARGO_PKG_VERSION"));

/// How far a host's certificate is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Verified,
    /// Loopback or configured as insecure: any certificate, or plain HTTP.
    Anything,
}

/// Which part of the network a host is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Loopback addresses alone.
    Loopback,
    /// This link's, where clouds keep their metadata services.
    Link,
    Beyond,
}

/// One host's way of being spoken to.
#[derive(Debug)]
pub(crate) struct Http {
    host: String,
    trust: Trust,
    reach: Reach,
    transport: Transport,
    options: RegistryOptions,
    plain: OnceLock<Agent>,
    tls: OnceLock<Agent>,
    /// Others it sends us to: storage, token services.
    peers: Mutex<HashMap<String, Arc<Http>>>,
}

impl Http {
    /// `host` is `name[:port]`. A name is looked up only to see whether it is the loopback's.
    pub(crate) fn new(host: &str, options: &RegistryOptions) -> Self {
        Self::with(host, &Transport::default(), options)
    }

    pub(crate) fn with(host: &str, transport: &Transport, options: &RegistryOptions) -> Self {
        let name = host_name(host);
        let listed = transport.insecure
            || options
                .insecure
                .iter()
                .any(|entry| matches_insecure(entry, host, &[]));
        let literal: Option<IpAddr> = name.parse().ok();
        // Behind a proxy, names are the proxy's to look up.
        let proxied = transport.proxy.is_some() || options.proxies.choose(true, host).is_some();
        let addresses = match literal {
            Some(address) => vec![address],
            None if options.offline || proxied => Vec::new(),
            None => resolver::resolve(name, &options.resolver).unwrap_or_default(),
        };
        let reach = reach(&addresses);
        let insecure = listed
            || reach == Reach::Loopback
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
            reach,
            transport: transport.clone(),
            options: options.clone(),
            plain: OnceLock::new(),
            tls: OnceLock::new(),
            peers: Mutex::default(),
        }
    }

    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Sends a request; any status is an answer. Redirects are not followed.
    pub(crate) fn run<B: AsSendBody>(&self, request: Request<B>) -> Result<Response<Body>, Error> {
        let url = request.uri().to_string();
        let result = self.agent(request.uri())?.run(request);
        result.map_err(|source| Error::Connect {
            url,
            source: Box::new(source),
        })
    }

    /// Another host we are sent to: spoken to by its own rules, not by ours.
    pub(crate) fn peer(&self, host: &str) -> Arc<Http> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Self::new(host, &self.options));
        peers.entry(host.to_owned()).or_insert_with(new).clone()
    }

    /// Whether we may be sent from `from` to `url`, and who answers there. Not from TLS to none, not into this host or its link from
    /// outside, and nowhere a name or password would be taken out of the address.
    pub(crate) fn towards(&self, from: &str, url: &str) -> Result<Option<Arc<Http>>, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "it is no address")?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("it is no address");
        };
        if !matches!(scheme, "http" | "https") {
            return Err("its scheme is neither http nor https");
        }
        if authority.as_str().contains('@') {
            return Err("there is a name in the address");
        }
        let host = authority.as_str();
        let peer = (host != self.host).then(|| self.peer(host));
        let target: &Http = peer.as_deref().unwrap_or(self);
        if from.starts_with("https://") && scheme == "http" && target.trust != Trust::Anything {
            return Err("it is not encrypted, and the registry is");
        }
        if self.reach == Reach::Beyond && target.reach != Reach::Beyond {
            return Err("it is an address of this host or its link, and the registry is not");
        }
        Ok(peer)
    }

    /// Sends a request without a body and follows where it is sent. `private` headers are for the first host alone.
    pub(crate) fn follow(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, String)],
        private: &[(String, String)],
    ) -> Result<Response<Body>, Error> {
        let mut at = url.to_owned();
        let mut peer: Option<Arc<Http>> = None;
        for _ in 0..=REDIRECTS {
            let mut request = Request::builder().method(method).uri(&at);
            for (name, value) in headers {
                request = request.header(*name, value);
            }
            if origin(&at) == origin(url) {
                for (name, value) in private {
                    request = request.header(name, value);
                }
            }
            let request = request
                .body(empty())
                .map_err(|e| Error::Request(at.clone(), e))?;
            let response = peer.as_deref().unwrap_or(self).run(request)?;
            let sent_on = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = header(response.headers(), "location").filter(|_| sent_on) else {
                return Ok(response);
            };
            let next = join(&at, location);
            spend(response);
            let refuse = |reason| Error::Redirect {
                url: at.clone(),
                to: next.clone(),
                reason,
            };
            peer = self.towards(&at, &next).map_err(refuse)?;
            at = next;
        }
        Err(Error::Redirect {
            url: url.to_owned(),
            to: at,
            reason: "it goes on and on",
        })
    }

    fn agent(&self, uri: &Uri) -> Result<&Agent, Error> {
        let secure = uri.scheme_str() == Some("https");
        let cell = if secure { &self.tls } else { &self.plain };
        if let Some(agent) = cell.get() {
            return Ok(agent);
        }
        let tls = match secure {
            true => {
                let verify = self.trust == Trust::Verified;
                Some(tls::config(
                    &self.host,
                    verify,
                    &self.transport,
                    &self.options,
                )?)
            }
            false => None,
        };
        let agent = self.build(tls, secure)?;
        Ok(cell.get_or_init(|| agent))
    }

    fn build(&self, tls: Option<TlsConfig>, secure: bool) -> Result<Agent, Error> {
        let stall = self.options.stall_timeout.unwrap_or(STALL_TIMEOUT);
        let connect = self.transport.dial_timeout.unwrap_or(CONNECT_TIMEOUT);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(connect))
            .timeout_connect(Some(connect))
            .timeout_per_read(Some(stall))
            .timeout_per_write(Some(stall))
            .input_buffer_size(256 << 10)
            .output_buffer_size(256 << 10)
            .proxy(self.proxy(secure)?);
        if let Some(tls) = tls {
            config = config.tls_config(tls);
        }
        let resolver = OwnResolver {
            files: self.options.resolver.clone(),
        };
        Ok(Agent::with_parts(
            config.build(),
            DefaultConnector::new(),
            resolver,
        ))
    }

    fn proxy(&self, secure: bool) -> Result<Option<ureq::Proxy>, Error> {
        let chosen = match &self.transport.proxy {
            Some(own) => Some(own.as_str()),
            None if self.reach == Reach::Loopback => None, // a proxy would take 127.0.0.1 for itself
            None => self.options.proxies.choose(secure, &self.host),
        };
        let made = chosen.map(ureq::Proxy::new).transpose();
        made.map_err(|_| Error::Proxy(self.host.clone()))
    }
}

fn reach(addresses: &[IpAddr]) -> Reach {
    let loopback = |a: &IpAddr| a.is_loopback() || a.is_unspecified();
    let link = |a: &IpAddr| match a {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    };
    if addresses.is_empty() {
        Reach::Beyond
    } else if addresses.iter().all(loopback) {
        Reach::Loopback
    } else if addresses.iter().any(|a| loopback(a) || link(a)) {
        Reach::Link
    } else {
        Reach::Beyond
    }
}

/// `https://host:port` of an address.
pub(crate) fn origin(url: &str) -> &str {
    let after = url.find("://").map_or(0, |at| at + 3);
    let end = url[after..]
        .find(['/', '?', '#'])
        .map_or(url.len(), |at| after + at);
    &url[..end]
}

/// A `Location` seen from where it was given.
pub(crate) fn join(base: &str, location: &str) -> String {
    let scheme = base.split("://").next().unwrap_or("https");
    if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{}{location}", origin(base))
    } else {
        let path = base.split(['?', '#']).next().unwrap_or(base);
        let end = path.rfind('/').filter(|end| *end >= origin(base).len());
        format!(
            "{}/{location}",
            end.map_or(origin(base), |end| &path[..end])
        )
    }
}

/// `name`, `[v6]` of `name[:port]`.
pub(crate) fn host_name(host: &str) -> &str {
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

pub(crate) fn in_network(address: IpAddr, network: IpAddr, bits: u32) -> bool {
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

/// Done with an answer. Its connection is kept, unless its body is so long that a new one costs less.
pub(crate) fn spend(response: Response<Body>) {
    let body = response.into_body();
    if body
        .content_length()
        .is_none_or(|length| length <= SPENT_MAX)
    {
        let mut rest = body.into_with_config().limit(SPENT_MAX).reader();
        let _ = io::copy(&mut rest, &mut io::sink());
    }
}

/// A request without a body.
pub(crate) fn empty() -> SendBody<'static> {
    SendBody::none()
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests;
