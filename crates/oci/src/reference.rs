//! Image references as people type them (`redis`, `ghcr.io/a/b:1@sha256:…`) and their full form.
//!
//! ```text
//! reference  = name [ ":" tag ] [ "@" digest ]
//! name       = [ domain "/" ] path            domain: has "." or ":" or an upper-case letter, or is "localhost"
//! path       = component ( "/" component )*   component: [a-z0-9]+ joined by "." "_" "__" or dashes
//! tag        = [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}
//! ```
//! Source: distribution/reference `reference.go`, `normalize.go`.

use crate::digest::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Docker Hub's name in references (its API answers elsewhere).
pub const DOCKER_HUB: &str = "docker.io";
const NAME_MAX: usize = 255;

/// Why a text is no reference. Docker's words, on which scripts rely.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("invalid reference format: {0:?} (write [REGISTRY/]NAME[:TAG][@DIGEST])")]
    Form(String),
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    #[error("invalid reference format: {0:?} has a bad digest")]
    Digest(String, #[source] crate::digest::Error),
}

/// A reference in its full form; the tag is only there when it was given ([`Reference::or_latest`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry (`docker.io`, `localhost:5000`).
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry (`library/redis`).
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository (`docker.io/library/redis`).
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The repository as people write it (`redis`, `localhost:5000/app`).
    pub fn familiar_repository(&self) -> String {
        // `docker.io/a.b/c` keeps its domain: `a.b/c` would name another registry.
        if self.domain != DOCKER_HUB || split_domain(&self.path).1 != self.path {
            return self.repository();
        }
        match self.path.strip_prefix("library/") {
            // A name that looks like an id is one only with its folder.
            Some(rest) if !rest.contains('/') && !is_hex_id(rest) => rest.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people write it (`redis:alpine`).
    pub fn familiar(&self) -> String {
        self.with_suffixes(self.familiar_repository())
    }

    /// With the tag `latest` where neither tag nor digest was given.
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".into());
        }
        self
    }

    pub fn with_tag(&self, tag: &str) -> Result<Self, Error> {
        if !is_tag(tag) {
            return Err(Error::Form(format!("{}:{tag}", self.familiar_repository())));
        }
        Ok(Self {
            tag: Some(tag.into()),
            digest: None,
            ..self.clone()
        })
    }

    /// The same repository by digest alone.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The tag or, where there is one, the digest: what a registry is asked for.
    pub fn tag_or_digest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".into(),
        }
    }

    fn with_suffixes(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffixes(self.repository()))
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if is_hex_id(text) {
            return Err(Error::LooksLikeId(text.into()));
        }
        let bad = || Error::Form(text.into());
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let digest = digest
            .map(|d| d.parse().map_err(|e| Error::Digest(text.into(), e)))
            .transpose()?;
        let (domain, remainder) = split_domain(rest);
        let (path, tag) = match remainder.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (remainder, None),
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(Error::Uppercase(path.into()));
        }
        if !is_domain(domain) || !is_path(path) || !tag.is_none_or(is_tag) {
            return Err(bad());
        }
        let domain = if domain == "index.docker.io" {
            DOCKER_HUB
        } else {
            domain
        };
        let official = domain == DOCKER_HUB && !path.contains('/');
        let path = if official {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if domain.len() + 1 + path.len() > NAME_MAX {
            return Err(Error::TooLong);
        }
        Ok(Self {
            domain: domain.into(),
            path,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// Whether the text has the shape of a full id.
pub fn is_hex_id(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DOCKER_HUB, name),
    }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => return is_ipv6(address),
            Some((address, port)) if is_ipv6(address) => ("v6", port.strip_prefix(':')),
            _ => return false,
        },
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, Some("0")),
        },
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let port_ok = port.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    port_ok && host.split('.').all(label)
}

fn is_ipv6(address: &str) -> bool {
    !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
}

fn is_path(path: &str) -> bool {
    path.split('/').all(is_component)
}

/// Runs of `[a-z0-9]` joined by `.`, `_`, `__` or any number of dashes.
fn is_component(component: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !alnum(first) || !alnum(last) {
        return false;
    }
    let separators = bytes.split(|b| alnum(*b)).filter(|run| !run.is_empty());
    separators
        .into_iter()
        .all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    (1..=128).contains(&bytes.len())
        && word(bytes[0])
        && bytes.iter().all(|b| word(*b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> Reference {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn short_names_are_docker_hubs() {
        for (typed, full, familiar) in [
            ("redis", "docker.io/library/redis", "redis"),
            ("redis:7", "docker.io/library/redis:7", "redis:7"),
            (
                "curlimages/curl",
                "docker.io/curlimages/curl",
                "curlimages/curl",
            ),
            ("docker.io/redis", "docker.io/library/redis", "redis"),
            (
                "index.docker.io/library/redis",
                "docker.io/library/redis",
                "redis",
            ),
            (
                "localhost/odd:user",
                "localhost/odd:user",
                "localhost/odd:user",
            ),
            (
                "localhost:5000/a/b",
                "localhost:5000/a/b",
                "localhost:5000/a/b",
            ),
            (
                "127.0.0.1:5000/a:1.0",
                "127.0.0.1:5000/a:1.0",
                "127.0.0.1:5000/a:1.0",
            ),
            ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
            (
                "ghcr.io/a/b-c__d.e",
                "ghcr.io/a/b-c__d.e",
                "ghcr.io/a/b-c__d.e",
            ),
            ("HOST/app", "HOST/app", "HOST/app"),
            (
                "library/redis/x",
                "docker.io/library/redis/x",
                "library/redis/x",
            ),
            (
                &format!("library/{}", "a".repeat(64)),
                &format!("docker.io/library/{}", "a".repeat(64)),
                &format!("library/{}", "a".repeat(64)),
            ),
        ] {
            assert_eq!(parse(typed).to_string(), full, "{typed}");
            assert_eq!(parse(typed).familiar(), familiar, "{typed}");
        }
    }

    #[test]
    fn tag_and_digest_are_both_kept() {
        let reference = parse(&format!("redis:7@{DIGEST}"));
        assert_eq!(reference.tag(), Some("7"));
        assert_eq!(reference.tag_or_digest(), DIGEST);
        assert_eq!(reference.familiar(), format!("redis:7@{DIGEST}"));
        assert_eq!(parse("redis").or_latest().familiar(), "redis:latest");
        assert_eq!(parse(&format!("redis@{DIGEST}")).or_latest().tag(), None);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = "a".repeat(256);
        for bad in [
            "",
            ":",
            "@",
            "/",
            "a//b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a:",
            "a:-x",
            "a@sha256:12",
            "https://a.b/c",
            "a b",
            "../etc/passwd",
            "a/../b",
            "localhost:port/a",
            "x.y:/a",
            "a:b:c",
            "a/b:c/d",
            "é",
            &long,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
        assert_eq!(
            parse_err("Redis"),
            "invalid reference format: repository name (Redis) must be lowercase"
        );
        assert!(matches!(
            "f".repeat(64).parse::<Reference>(),
            Err(Error::LooksLikeId(_))
        ));
        assert!(
            format!("a:{}", "x".repeat(129))
                .parse::<Reference>()
                .is_err()
        );
    }

    fn parse_err(text: &str) -> String {
        text.parse::<Reference>().unwrap_err().to_string()
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_the_full_form_is_stable(text in "\\PC{0,80}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(&parse(&reference.to_string()), &reference);
                prop_assert_eq!(&parse(&reference.familiar()), &reference);
                prop_assert!(!reference.path().contains(".."));
            }
        }

        #[test]
        fn names_made_by_the_grammar_are_read(
            domain in "([a-z0-9]{1,8}\\.[a-z]{2,3}(:[0-9]{1,5})?/)?",
            path in "[a-z0-9]{1,6}([_-][a-z0-9]{1,6}){0,2}(/[a-z0-9]{1,6}([._-][a-z0-9]{1,6}){0,2}){0,2}",
            tag in "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,10})?",
        ) {
            let text = format!("{domain}{path}{tag}");
            prop_assert!(text.parse::<Reference>().is_ok(), "{}", text);
        }
    }
}
