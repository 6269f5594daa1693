//! What refers to an image (signatures, lists of contents): a manifest with a `subject`. A registry of distribution-spec 1.1 keeps the
//! list itself; for an older one it is an index under the tag `<algorithm>-<digest>`, kept by who pushes.
//! Source: OCI distribution-spec `Pushing Manifests with Subject`, `Referrers Tag Schema`.

use super::Error;
use super::api::pull_scope;
use super::connection::{Payload, Registry};
use super::http;
use oci::{Descriptor, Digest, Document, Index, media_type};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What of a manifest goes into the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Referrer {
    subject: Option<Subject>,
    artifact_type: String,
    config: Option<Config>,
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Subject {
    digest: Digest,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    media_type: String,
}

/// Whom a manifest is about, and how it is listed there; `None`: nobody.
pub(super) fn entry(bytes: &[u8], kind: &str) -> Option<(Digest, Descriptor)> {
    let referrer: Referrer = serde_json::from_slice(bytes).ok()?;
    let subject = referrer.subject?.digest;
    let mut entry = Descriptor::of(kind, bytes);
    let artifact_type = match referrer.artifact_type.as_str() {
        "" => referrer.config.unwrap_or_default().media_type,
        own => own.to_owned(),
    };
    if !artifact_type.is_empty() {
        entry
            .other
            .insert("artifactType".into(), artifact_type.into());
    }
    entry.annotations = referrer.annotations;
    Some((subject, entry))
}

fn list_tag(subject: &Digest) -> String {
    format!("{}-{}", subject.algorithm().as_str(), subject.hex())
}

impl Registry {
    /// What refers to `subject`, of one type or of any: the registry's own list, or that under the tag.
    pub(crate) fn referrers(
        &self,
        repository: &str,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Error> {
        let path = format!("/v2/{repository}/referrers/{subject}");
        let scope = pull_scope(repository);
        let accept = [("Accept", media_type::OCI_INDEX.to_owned())];
        let response = self.insist("GET", &path, &accept, &Payload::Nothing, &scope)?;
        let list = match response.status().as_u16() {
            200 => {
                let bytes = http::text(response, &path)?;
                serde_json::from_slice(&bytes)
                    .map_err(|source| Error::Answer { url: path, source })?
            }
            // Those that know nothing of it say so in several ways.
            400 | 404 | 405 => self.tagged_list(repository, subject)?,
            _ => {
                self.expect(response, &[200], repository, &subject.to_string(), &path)?;
                Index::default()
            }
        };
        let of_type = |entry: &Descriptor| {
            let own = entry.other.get("artifactType").and_then(|t| t.as_str());
            artifact_type.is_none_or(|wanted| own == Some(wanted))
        };
        Ok(list.manifests.into_iter().filter(of_type).collect())
    }

    /// The list of a registry that keeps none; empty where nobody made one.
    fn tagged_list(&self, repository: &str, subject: &Digest) -> Result<Index, Error> {
        match self.manifest(repository, &list_tag(subject)) {
            Ok((bytes, _)) => match Document::parse(&bytes) {
                Ok(Document::Index(index)) => Ok(index),
                _ => Ok(Index::default()),
            },
            Err(Error::ManifestUnknown(_)) => Ok(Index::default()),
            Err(other) => Err(other),
        }
    }

    /// Puts an entry into the list of a registry that keeps none.
    pub(super) fn list_referrer(
        &self,
        repository: &str,
        subject: &Digest,
        entry: Descriptor,
    ) -> Result<(), Error> {
        let tag = list_tag(subject);
        let mut index = self.tagged_list(repository, subject)?;
        if index
            .manifests
            .iter()
            .any(|known| known.digest == entry.digest)
        {
            return Ok(());
        }
        index.manifests.push(entry);
        let bytes = serde_json::to_vec(&index).map_err(|source| Error::Answer {
            url: tag.clone(),
            source,
        })?;
        self.put_manifest(repository, &tag, &bytes, media_type::OCI_INDEX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_with_a_subject_is_listed_with_what_it_is() {
        let subject = Digest::sha256(b"image");
        let config = Digest::sha256(b"{}");
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/x.sbom","digest":"{config}","size":2}},"layers":[],
                "subject":{{"mediaType":"m","digest":"{subject}","size":5}},"annotations":{{"a":"b"}}}}"#
        );
        let (about, entry) = super::entry(text.as_bytes(), media_type::OCI_MANIFEST).unwrap();
        assert_eq!(about, subject);
        assert_eq!(entry.other["artifactType"], "application/x.sbom");
        assert_eq!(entry.annotations["a"], "b");
        assert!(super::entry(b"{\"schemaVersion\":2}", media_type::OCI_MANIFEST).is_none());
        assert!(super::entry(b"rubbish", media_type::OCI_MANIFEST).is_none());
    }
}
