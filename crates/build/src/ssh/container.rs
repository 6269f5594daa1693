//! How private keys lie in files: OpenSSH's own form, and PKCS#1 and PKCS#8 in PEM. None with a passphrase: those are an
//! agent's business.
//!
//! ```text
//! "openssh-key-v1\0" string cipher, string kdf, string options, uint32 1, string public, string private
//! private: uint32 check, uint32 check, string kind, fields of the kind, string comment, 1, 2, 3 …
//! ```
//! Source: OpenSSH `PROTOCOL.key`; RFC 7468.

use super::wire::Reader;
use base64::Engine;

/// Why a file is no key we can sign with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadKey {
    #[error("it is no private key")]
    NotAKey,
    #[error("it is damaged")]
    Damaged,
    #[error("it has a passphrase: add it to an agent (ssh-add), and give the agent: --ssh default")]
    Passphrase,
    #[error(
        "keys of kind {0} cannot be read here: add it to an agent (ssh-add), and give the agent: --ssh default"
    )]
    Kind(String),
}

/// What is in the file, before it is known to be a key that signs.
#[derive(PartialEq, Eq)]
pub(super) enum Contained {
    Pkcs1(Vec<u8>),
    Pkcs8(Vec<u8>),
    Ed25519 {
        seed: Vec<u8>,
        public: Vec<u8>,
        comment: String,
    },
    Rsa(Box<RsaNumbers>),
    Ecdsa {
        curve: String,
        scalar: Vec<u8>,
        point: Vec<u8>,
        comment: String,
    },
}

#[derive(PartialEq, Eq)]
pub(super) struct RsaNumbers {
    pub(super) n: Vec<u8>,
    pub(super) e: Vec<u8>,
    pub(super) d: Vec<u8>,
    pub(super) q_inverse: Vec<u8>,
    pub(super) p: Vec<u8>,
    pub(super) q: Vec<u8>,
    pub(super) comment: String,
}

pub(super) fn open(file: &[u8]) -> Result<Contained, BadKey> {
    let text = std::str::from_utf8(file).map_err(|_| BadKey::NotAKey)?;
    let (label, body) = armored(text).ok_or(BadKey::NotAKey)?;
    if body.contains("ENCRYPTED") || label.starts_with("ENCRYPTED") {
        return Err(BadKey::Passphrase);
    }
    let base64: String = body.split_whitespace().collect();
    let decoded = || {
        base64::engine::general_purpose::STANDARD
            .decode(&base64)
            .map_err(|_| BadKey::Damaged)
    };
    match label {
        "OPENSSH PRIVATE KEY" => openssh(&decoded()?),
        "RSA PRIVATE KEY" => Ok(Contained::Pkcs1(decoded()?)),
        "PRIVATE KEY" => Ok(Contained::Pkcs8(decoded()?)),
        other => match other.strip_suffix(" PRIVATE KEY") {
            Some(kind) => Err(BadKey::Kind(kind.to_owned())),
            None => Err(BadKey::NotAKey),
        },
    }
}

/// The first block's label and what stands in it.
fn armored(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let end = format!("-----END {label}-----");
    let (body, _) = rest.split_once(&end)?;
    Some((label, body))
}

fn openssh(bytes: &[u8]) -> Result<Contained, BadKey> {
    let rest = bytes
        .strip_prefix(b"openssh-key-v1\0")
        .ok_or(BadKey::Damaged)?;
    let mut outer = Reader(rest);
    let cipher = outer.string().ok_or(BadKey::Damaged)?;
    if cipher != b"none" {
        return Err(BadKey::Passphrase);
    }
    private(&mut outer).ok_or(BadKey::Damaged)?
}

/// `None` where something is missing.
fn private(outer: &mut Reader<'_>) -> Option<Result<Contained, BadKey>> {
    let (_kdf, _options, count) = (outer.string()?, outer.string()?, outer.number()?);
    let (_public, private) = (outer.string()?, outer.string()?);
    let mut inner = Reader(private);
    if count != 1 || inner.number()? != inner.number()? {
        return None;
    }
    let kind = std::str::from_utf8(inner.string()?).ok()?;
    Some(Ok(match kind {
        "ssh-ed25519" => {
            let (public, both) = (inner.string()?, inner.string()?);
            Contained::Ed25519 {
                seed: both.strip_suffix(public)?.to_vec(),
                public: public.to_vec(),
                comment: comment(&mut inner)?,
            }
        }
        "ssh-rsa" => Contained::Rsa(Box::new(rsa(&mut inner)?)),
        _ if kind.starts_with("ecdsa-sha2-") => {
            let curve = std::str::from_utf8(inner.string()?).ok()?.to_owned();
            Contained::Ecdsa {
                curve,
                point: inner.string()?.to_vec(),
                scalar: inner.integer()?.to_vec(),
                comment: comment(&mut inner)?,
            }
        }
        other => return Some(Err(BadKey::Kind(other.to_owned()))),
    }))
}

fn rsa(inner: &mut Reader<'_>) -> Option<RsaNumbers> {
    let mut next = || inner.integer().map(<[u8]>::to_vec);
    let (n, e, d, q_inverse, p, q) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let comment = comment(inner)?;
    Some(RsaNumbers {
        n,
        e,
        d,
        q_inverse,
        p,
        q,
        comment,
    })
}

fn comment(inner: &mut Reader<'_>) -> Option<String> {
    Some(String::from_utf8_lossy(inner.string()?).into_owned())
}
