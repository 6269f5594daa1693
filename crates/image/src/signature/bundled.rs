//! Signatures as cosign writes them since version 3: a Sigstore bundle that refers to the image, in it an envelope with a statement about
//! the image's digest. Made with a key there is nothing else to verify: entries of a transparency log are not looked at.
//!
//! ```json
//! { "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": { "publicKey": { "hint": "…" } },
//!   "dsseEnvelope": { "payloadType": "application/vnd.in-toto+json", "payload": "<base64>", "signatures": [{ "sig": "<base64>" }] } }
//! ```
//! Source: sigstore/cosign `specs/BUNDLE_SPEC.md`, sigstore/protobuf-specs `sigstore_bundle.proto`, secure-systems-lab/dsse
//! `protocol.md`, in-toto Statement v1.

use super::attached::{Attached, Form, MOST, blob};
use crate::error::Error;
use crate::registry::{Error as RegistryError, Registry};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{Descriptor, Digest, Document};
use serde::Deserialize;
use std::collections::BTreeMap;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const STATEMENT: &str = "application/vnd.in-toto+json";
/// What a signature says of its subject. Other predicates (of what an image was built, say) are no consent to run it.
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

/// All bundles that refer to a manifest, or what is wrong with one.
pub(super) fn fetch(
    registry: &Registry,
    digest: &Digest,
) -> Result<Vec<Result<Attached, String>>, Error> {
    let repository = registry.endpoint().repository.as_str();
    let mut all = Vec::new();
    let referrers = registry.referrers(repository, digest, None)?;
    for entry in referrers.iter().filter(|d| may_be_bundle(d)).take(MOST) {
        let bytes = match registry.manifest(repository, &entry.digest.to_string()) {
            Ok((bytes, _)) if entry.digest.matches(&bytes) => bytes,
            Ok(_) => {
                all.push(Err("a bundle's manifest has another digest".into()));
                continue;
            }
            Err(RegistryError::ManifestUnknown(_)) => continue,
            Err(other) => return Err(other.into()),
        };
        let Ok(Document::Manifest(manifest)) = Document::parse(&bytes) else {
            continue;
        };
        for layer in manifest.layers.iter().filter(|l| l.media_type == BUNDLE) {
            let bundle = blob(registry, repository, layer)?;
            all.push(bundle.and_then(|bytes| parse(&bytes)));
        }
    }
    Ok(all)
}

/// Registries that make the list themselves say what the artifact is; older ones give the type of its empty configuration.
fn may_be_bundle(entry: &Descriptor) -> bool {
    let kind = entry.other.get("artifactType").and_then(|t| t.as_str());
    matches!(
        kind,
        None | Some(BUNDLE | "application/vnd.oci.empty.v1+json")
    )
}

fn parse(bytes: &[u8]) -> Result<Attached, String> {
    let bundle: Bundle =
        serde_json::from_slice(bytes).map_err(|e| format!("a bundle cannot be read: {e}"))?;
    let envelope = bundle.dsse_envelope;
    if bundle.media_type != BUNDLE || envelope.payload_type != STATEMENT {
        return Err(format!(
            "a bundle of another type ({:?})",
            envelope.payload_type
        ));
    }
    let decode = |text: &String| {
        let bytes = STANDARD.decode(text);
        bytes.map_err(|_| "a bundle that is not in base64".to_owned())
    };
    let signatures = envelope.signatures.iter().take(MOST);
    Ok(Attached {
        payload: decode(&envelope.payload)?,
        signatures: signatures
            .map(|s| decode(&s.sig))
            .collect::<Result<_, _>>()?,
        form: Form::Statement,
    })
}

/// What is signed of a statement: DSSE's pre-authentication encoding.
pub(super) fn message(statement: &[u8]) -> Vec<u8> {
    let (kind, length) = (STATEMENT.len(), statement.len());
    let mut message = format!("DSSEv1 {kind} {STATEMENT} {length} ").into_bytes();
    message.extend_from_slice(statement);
    message
}

/// The digests that a statement says are signed.
pub(super) fn subjects(statement: &[u8]) -> Result<Vec<Digest>, String> {
    let statement: Statement =
        serde_json::from_slice(statement).map_err(|e| format!("it cannot be read: {e}"))?;
    let known = statement.kind == "https://in-toto.io/Statement/v1";
    if !known || statement.predicate_type != SIGNED {
        return Err(format!(
            "it is no signature ({:?})",
            statement.predicate_type
        ));
    }
    let digests = statement.subject.iter().flat_map(|s| &s.digest);
    Ok(digests
        .filter_map(|(algorithm, hex)| format!("{algorithm}:{hex}").parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::signer::{bundle, statement};
    use super::*;

    #[test]
    fn what_cosign_writes_is_read() {
        let digest = Digest::sha256(b"manifest");
        let text = statement(&digest);
        assert_eq!(subjects(text.as_bytes()).unwrap(), [digest]);
        let read = parse(bundle(&text, b"signature").as_bytes()).unwrap();
        assert_eq!(read.payload, text.as_bytes());
        assert_eq!(read.signatures, [b"signature"]);
        let signed = message(b"{}");
        assert_eq!(signed, b"DSSEv1 28 application/vnd.in-toto+json 2 {}");
    }

    #[test]
    fn statements_of_other_things_are_no_signatures() {
        let good = statement(&Digest::sha256(b"manifest"));
        for (from, to) in [
            (SIGNED, "https://slsa.dev/provenance/v1"),
            ("Statement/v1", "Statement/v0.1"),
            ("\"subject\"", "\"subjects\""),
            ("}", ""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert!(bad != good && subjects(bad.as_bytes()).is_err(), "{bad}");
        }
        let odd = good.replace("sha256\":\"", "sha256\":\"../");
        assert_eq!(subjects(odd.as_bytes()).unwrap(), []);
    }

    #[test]
    fn bundles_of_other_forms_are_refused() {
        let good = bundle("{}", b"signature");
        for (from, to) in [
            ("bundle.v0.3", "bundle.v9"),
            ("in-toto", "other"),
            ("\"payload\":\"", "\"payload\":\"&"),
            ("\"sig\":\"", "\"sig\":\"&"),
            ("dsseEnvelope", "messageSignature"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert!(bad != good && parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
