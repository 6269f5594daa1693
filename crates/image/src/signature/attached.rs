//! Signatures that lie beside an image in its registry: the layers of the manifest under the tag `sha256-<digest>.sig`, each a payload,
//! with the signature over it among its annotations. Source: sigstore/cosign `specs/SIGNATURE_SPEC.md`, "Storage".

use crate::content::DOCUMENT_MAX;
use crate::error::Error;
use crate::registry::{Error as RegistryError, Registry};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{Descriptor, Digest, Document};
use std::io::Read;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// So many are looked at: each costs a request.
pub(super) const MOST: usize = 64;

/// One, not verified.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    pub(super) payload: Vec<u8>,
    /// One of them counts.
    pub(super) signatures: Vec<Vec<u8>>,
    pub(super) form: Form,
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A "simple signing" document, signed as it stands.
    SimpleSigning,
    /// A statement in an envelope ([`super::bundled`]).
    Statement,
}

pub(super) fn tag(digest: &Digest) -> String {
    format!("{}-{}.sig", digest.algorithm().as_str(), digest.hex())
}

/// All signatures of a manifest, or what is wrong with one; none where nobody put any.
pub(super) fn fetch(
    registry: &Registry,
    digest: &Digest,
) -> Result<Vec<Result<Attached, String>>, Error> {
    let repository = registry.endpoint().repository.as_str();
    let bytes = match registry.manifest(repository, &tag(digest)) {
        Ok((bytes, _)) => bytes,
        Err(RegistryError::ManifestUnknown(_)) => return Ok(Vec::new()),
        Err(other) => return Err(other.into()),
    };
    let Ok(Document::Manifest(manifest)) = Document::parse(&bytes) else {
        return Ok(vec![Err(format!("{} is no manifest", tag(digest)))]);
    };
    let signed = manifest.layers.iter().filter(|l| l.media_type == PAYLOAD);
    signed
        .take(MOST)
        .map(|layer| one(registry, repository, layer))
        .collect()
}

fn one(
    registry: &Registry,
    repository: &str,
    layer: &Descriptor,
) -> Result<Result<Attached, String>, Error> {
    let Some(text) = layer.annotations.get(SIGNATURE) else {
        return Ok(Err("it has no signature among its annotations".into()));
    };
    let Ok(signature) = STANDARD.decode(text) else {
        return Ok(Err("its signature is not base64".into()));
    };
    let payload = blob(registry, repository, layer)?;
    Ok(payload.map(|payload| Attached {
        payload,
        signatures: vec![signature],
        form: Form::SimpleSigning,
    }))
}

/// What was signed, as a registry has it.
pub(super) fn blob(
    registry: &Registry,
    repository: &str,
    layer: &Descriptor,
) -> Result<Result<Vec<u8>, String>, Error> {
    let mut payload = Vec::new();
    let body = registry.blob(repository, &layer.digest, 0)?;
    body.take(DOCUMENT_MAX + 1)
        .read_to_end(&mut payload)
        .map_err(|source| Error::Fetch {
            blob: layer.digest.clone(),
            place: registry.endpoint().describe(),
            source,
        })?;
    if payload.len() as u64 > DOCUMENT_MAX {
        return Ok(Err("what was signed has more than 4 MB".into()));
    }
    if !layer.digest.matches(&payload) {
        return Ok(Err("what was signed has another digest".into()));
    }
    Ok(Ok(payload))
}
