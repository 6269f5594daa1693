//! A Compose application: beside its files' artifact lie, in the same repository, the images of its services, and an index of them
//! whose subject is the artifact. So that one repository is all that is needed to run it.
//!
//! Source: docker compose `pkg/compose/publish.go` (`pushApplicationIndex`); OCI image-spec `image-index.md` ("subject").

use crate::commit::json;
use crate::error::Error;
use crate::registry::Registry;
use crate::store::Store;
use oci::{Descriptor, Digest, Index, Reference, media_type};
use std::collections::BTreeMap;

impl Store {
    /// Brings images into the repository of an artifact that was pushed, and says there that they belong to it. The index has no
    /// name: it is found by its subject.
    pub fn push_application(
        &self,
        artifact: &Reference,
        subject: Descriptor,
        images: &[Reference],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Digest, Error> {
        let registry = Registry::for_push(&self.options.registries, artifact)?;
        let mut manifests: Vec<Descriptor> = Vec::with_capacity(images.len());
        for image in images {
            let descriptor = self.bring_image(&registry, image)?;
            if manifests.iter().all(|m| m.digest != descriptor.digest) {
                manifests.push(descriptor);
            }
        }
        let bytes = json(&index(manifests, subject, annotations)?)?;
        let digest = Digest::sha256(&bytes);
        let (repository, wanted) = (&registry.endpoint().repository, digest.to_string());
        registry.put_manifest(repository, &wanted, &bytes, media_type::OCI_INDEX)?;
        Ok(digest)
    }
}

fn index(
    manifests: Vec<Descriptor>,
    mut subject: Descriptor,
    annotations: &BTreeMap<String, String>,
) -> Result<Index, Error> {
    subject.annotations.clone_from(annotations);
    let mut index = Index {
        manifests,
        annotations: annotations.clone(),
        ..Index::default()
    };
    let subject = serde_json::from_slice(&json(&subject)?).unwrap_or_default();
    index.other.insert("subject".to_owned(), subject);
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_names_its_images_and_its_subject() {
        let image = Descriptor::of(media_type::OCI_MANIFEST, b"image");
        let mut artifact = Descriptor::of(media_type::OCI_MANIFEST, b"files");
        artifact
            .other
            .insert("artifactType".into(), "application/x".into());
        let version = BTreeMap::from([("com.docker.compose.version".to_owned(), "1".to_owned())]);
        let made = index(vec![image.clone()], artifact.clone(), &version).unwrap();
        let value = serde_json::to_value(&made).unwrap();
        assert_eq!(value["schemaVersion"], 2);
        assert_eq!(value["mediaType"], media_type::OCI_INDEX);
        assert_eq!(value["manifests"][0]["digest"], image.digest.to_string());
        assert_eq!(value["subject"]["digest"], artifact.digest.to_string());
        assert_eq!(value["subject"]["artifactType"], "application/x");
        for node in [&value, &value["subject"]] {
            assert_eq!(node["annotations"]["com.docker.compose.version"], "1");
        }
    }
}
