//! HTTP for what is no registry: git repositories, files by their URL. The registries' client, with redirects followed here.
//!
//! A redirect never leads from HTTPS to HTTP, and takes an `Authorization` along only within one host and scheme.

use crate::registry::RegistryOptions;
use crate::registry::http::{Http, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Duration;
use ureq::http::{Method, Request};

const REDIRECTS: usize = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Why there is no answer. Addresses in it are without user and password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Connect(#[source] Box<crate::registry::Error>),
    #[error("invalid URL {0:?}")]
    Url(String),
    #[error("{from} leads to {to}, which is not encrypted: refused")]
    Downgrade { from: String, to: String },
    #[error("{0} leads from one address to another without end")]
    Endless(String),
    #[error("{0} leads to another address, but does not say which")]
    Nowhere(String),
    #[error("the network is switched off (offline), {0} cannot be fetched")]
    Offline(String),
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub url: &'a str,
    /// Sent by POST.
    pub body: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a str)],
    /// Not sent to another host; `None`: the URL's own user, if it has one.
    pub authorization: Option<&'a str>,
}

/// Any status is an answer.
pub struct Answer {
    pub status: u16,
    /// Where it came from in the end.
    pub url: String,
    pub content_type: Option<String>,
    pub content_disposition: Option<String>,
    pub last_modified: Option<String>,
    pub body: Box<dyn Read + Send + Sync>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("url", &shown(&self.url))
            .finish_non_exhaustive()
    }
}

/// Sends a request, following redirects.
pub fn ask(options: &RegistryOptions, ask: Ask<'_>) -> Result<Answer, Error> {
    if options.offline {
        return Err(Error::Offline(shown(ask.url)));
    }
    // The insecure registries are those of images: everything else must show a certificate.
    let options = RegistryOptions {
        insecure: Vec::new(),
        ..options.clone()
    };
    let own = ask
        .authorization
        .map(str::to_owned)
        .or_else(|| basic(ask.url));
    let mut url = ask.url.to_owned();
    for _ in 0..=REDIRECTS {
        let authorization = own.as_deref().filter(|_| origin(&url) == origin(ask.url));
        let response = once(&options, &url, ask, authorization)?;
        let status = response.status().as_u16();
        // A body is sent on only where the answer says that it is to be.
        let redirect = match ask.body {
            None => matches!(status, 301 | 302 | 303 | 307 | 308),
            Some(_) => matches!(status, 307 | 308),
        };
        if redirect {
            let to = header(response.headers(), "location");
            let to = to.ok_or_else(|| Error::Nowhere(shown(&url)))?;
            let next = join(&url, to).ok_or_else(|| Error::Url(shown(to)))?;
            if url.starts_with("https://") && !next.starts_with("https://") {
                return Err(Error::Downgrade {
                    from: shown(&url),
                    to: shown(&next),
                });
            }
            url = next;
            continue;
        }
        let text = |name| header(response.headers(), name).map(str::to_owned);
        return Ok(Answer {
            status,
            content_type: text("content-type"),
            content_disposition: text("content-disposition"),
            last_modified: text("last-modified"),
            url,
            body: Box::new(response.into_body().into_reader()),
        });
    }
    Err(Error::Endless(shown(ask.url)))
}

/// A TCP connection to a name, looked up as everything here is.
pub fn connect(options: &RegistryOptions, host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("no such host: {host}"));
    for address in crate::registry::resolver::resolve(host, &options.resolver)? {
        match TcpStream::connect_timeout(&(address, port).into(), CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn once(
    options: &RegistryOptions,
    url: &str,
    ask: Ask<'_>,
    authorization: Option<&str>,
) -> Result<ureq::http::Response<ureq::Body>, Error> {
    let host = origin(url).map(|(_, host)| host);
    let host = host.ok_or_else(|| Error::Url(shown(url)))?;
    let plain = shown(url);
    let mut request = Request::builder().uri(&plain);
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let http = Http::new(host, options);
    let sent = match ask.body {
        Some(body) => http.run(
            request
                .method(Method::POST)
                .body(body)
                .map_err(|_| Error::Url(plain))?,
        ),
        None => http.run(request.body(()).map_err(|_| Error::Url(plain))?),
    };
    sent.map_err(|error| Error::Connect(Box::new(error)))
}

/// What the user and password of a URL are as an `Authorization`.
fn basic(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let (user, _) = rest.split(['/', '?', '#']).next()?.rsplit_once('@')?;
    let user: Vec<u8> = percent_encoding::percent_decode_str(user).collect();
    let user = if user.contains(&b':') {
        user
    } else {
        [&user[..], b":"].concat()
    };
    Some(format!("Basic {}", STANDARD.encode(user)))
}

/// Scheme and `host[:port]`.
fn origin(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    (matches!(scheme, "http" | "https") && !host.is_empty()).then_some((scheme, host))
}

/// `to` as seen from `base`.
fn join(base: &str, to: &str) -> Option<String> {
    let to = to.split('#').next().unwrap_or_default();
    if to.contains("://") {
        return origin(to).map(|_| to.to_owned());
    }
    let (scheme, host) = origin(base)?;
    if to.starts_with("//") {
        return Some(format!("{scheme}:{to}"));
    }
    if to.starts_with('/') {
        return Some(format!("{scheme}://{host}{to}"));
    }
    let path = base.split(['?', '#']).next().unwrap_or(base);
    let directory = path.rfind('/').filter(|at| *at > scheme.len() + 2);
    let directory = directory.map_or(format!("{path}/"), |at| path[..=at].to_owned());
    Some(format!("{directory}{to}"))
}

/// Without user and password, for people.
pub fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{}", &rest[end..])
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_seen_from_where_they_stand() {
        let base = "https://me:pw@h:1/a/b?q=/x";
        assert_eq!(join(base, "/c").unwrap(), "https://h:1/c");
        assert_eq!(join(base, "c").unwrap(), "https://me:pw@h:1/a/c");
        assert_eq!(join(base, "//i/c").unwrap(), "https://i/c");
        assert_eq!(join("https://h", "c").unwrap(), "https://h/c");
        assert_eq!(join(base, "http://i/c").unwrap(), "http://i/c");
        assert_eq!(join(base, "file:///etc/passwd"), None);
        assert_eq!(shown(base), "https://h:1/a/b?q=/x");
        assert_eq!(basic("https://me:p%40w@h/").unwrap(), "Basic bWU6cEB3");
        assert_eq!(basic("https://h/@"), None);
        assert_ne!(origin("https://h/"), origin("http://h/"));
    }
}
