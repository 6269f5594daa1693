//! What a signature says: a "simple signing" document, as cosign and containers' tools write it.
//!
//! ```json
//! { "critical": { "type": "cosign container image signature", "image": { "docker-manifest-digest": "sha256:…" },
//!   "identity": { "docker-reference": "quay.io/team/app" } }, "optional": null }
//! ```
//! Source: containers/image `docs/containers-signature.5.md`, sigstore/cosign `specs/SIGNATURE_SPEC.md`. What is critical is read
//! strictly: a signature that demands something unknown does not count.

use oci::Digest;
use serde::Deserialize;
use serde_json::{Map, Value};

const TYPE: &str = "cosign container image signature";

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) digest: Digest,
    /// The name as it stands there; whether it is one, the policy's rule sees.
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    critical: Critical,
    #[serde(default, rename = "optional")]
    _optional: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    r#type: String,
    image: Image,
    identity: Identity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

impl Payload {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let whole: Whole =
            serde_json::from_slice(bytes).map_err(|e| format!("it cannot be read: {e}"))?;
        let critical = whole.critical;
        if critical.r#type != TYPE {
            return Err(format!("it is of another type ({:?})", critical.r#type));
        }
        Ok(Self {
            digest: critical.image.docker_manifest_digest,
            name: critical.identity.docker_reference,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::signer::payload;
    use super::*;

    #[test]
    fn what_cosign_writes_is_read() {
        let digest = Digest::sha256(b"manifest");
        let text = payload(&digest, "quay.io/a");
        let read = Payload::parse(text.as_bytes()).unwrap();
        assert_eq!((read.digest, read.name.as_str()), (digest, "quay.io/a"));
        let with = text.replace("\"optional\":null", "\"optional\":{\"creator\":\"me\"}");
        assert_ne!(with, text);
        assert!(Payload::parse(with.as_bytes()).is_ok());
    }

    #[test]
    fn what_says_more_less_or_twice_is_refused() {
        let good = payload(&Digest::sha256(b"manifest"), "quay.io/a");
        for (from, to) in [
            ("cosign container", "atomic container"),
            ("\"optional\":null", "\"optional\":7"),
            ("\"optional\":null", "\"optional\":null,\"more\":1"),
            ("\"image\":", "\"until\":1,\"image\":"),
            ("\"image\":", "\"type\":\"x\",\"image\":"),
            ("\"docker-reference\"", "\"docker-references\""),
            (
                "{\"docker-manifest-digest\"",
                "{\"docker-manifest-digest\":\"sha256:00\",\"docker-manifest-digest\"",
            ),
            ("sha256:", "sha1:"),
            ("}", ""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            assert!(Payload::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let deep = "[".repeat(100_000);
        assert!(Payload::parse(deep.as_bytes()).is_err());
    }
}
