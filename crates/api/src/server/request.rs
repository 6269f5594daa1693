//! A request as its answer reads it: version, path, query, bounded body.

use super::body::Upload;
use super::error::ApiError;
use super::query::Query;
use hyper::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use std::io::Read;

/// Documents that ask for something are small; what is longer is not read.
const MAX_DOCUMENT: u64 = 4 << 20;

/// `1.47` as two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u16, pub(crate) u16);

impl Version {
    pub(crate) const NEWEST: Self = Self(1, 47);
    pub(crate) const OLDEST: Self = Self(1, 24);

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.strip_prefix('v')?.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// The path without the version, in its parts, decoded.
    pub(crate) path: Vec<String>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Upload,
}

impl Asked {
    /// The request, and the version it is asked in.
    pub(crate) fn new(request: hyper::Request<hyper::body::Incoming>) -> (Self, Version) {
        let (head, body) = request.into_parts();
        let (version, path) = split(head.uri.path());
        let asked = Self {
            method: head.method,
            version,
            path,
            query: Query::parse(head.uri.query().unwrap_or_default()),
            headers: head.headers,
            body: Upload::new(body),
        };
        (asked, version)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as a document; nothing where there is none.
    pub(crate) fn document<T: DeserializeOwned + Default>(&mut self) -> Result<T, ApiError> {
        let mut bytes = Vec::new();
        (&mut self.body)
            .take(MAX_DOCUMENT + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| ApiError::bad(format!("cannot read the request: {e}")))?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(ApiError::bad("the request's document is too long"));
        }
        parse(&bytes)
    }
}

/// A document that asks for something.
pub(crate) fn parse<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.trim_ascii().is_empty() || bytes.trim_ascii() == b"null" {
        return Ok(T::default());
    }
    serde_json::from_slice(bytes).map_err(|e| ApiError::bad(format!("invalid JSON: {e}")))
}

/// A path without a version is asked in the newest. The path's parts are decoded one by one: `%2f` in a name divides nothing.
fn split(path: &str) -> (Version, Vec<String>) {
    let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
    let version = parts.peek().and_then(|first| Version::parse(first));
    if version.is_some() {
        parts.next();
    }
    let decoded = parts.map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned());
    (version.unwrap_or(Version::NEWEST), decoded.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_a_version_or_the_newest() {
        let text = |path: &str| {
            let (version, parts) = split(path);
            format!("{version} {}", parts.join("|"))
        };
        assert_eq!(
            text("/v1.41/containers/web/json"),
            "1.41 containers|web|json"
        );
        assert_eq!(text("/_ping"), "1.47 _ping");
        assert_eq!(text("//v1.24//info/"), "1.24 info");
        assert_eq!(text("/volumes/..%2f..%2fetc"), "1.47 volumes|../../etc");
        assert_eq!(text("/v1.x/info"), "1.47 v1.x|info");
        assert_eq!(text("/v99999999.1/info"), "1.47 v99999999.1|info");
    }

    #[test]
    fn hostile_documents_are_errors() {
        let deep = "[".repeat(100_000);
        for text in [deep.as_str(), "{\"A\":", "\u{0}", "{\"A\":1}x", "[1]", "7"] {
            assert!(parse::<std::collections::BTreeMap<String, u8>>(text.as_bytes()).is_err());
        }
        assert!(parse::<Vec<u8>>(b" null ").unwrap().is_empty());
    }
}
