//! An image of one repository made known in another, without coming to this host's store: its blobs are mounted, or where the registry
//! does not do that, handed on.
//!
//! Source: OCI distribution-spec, "Mounting a blob from another repository".

use crate::error::Error;
use crate::manifest_list::RemoteManifest;
use crate::registry::{Payload, Registry};
use crate::store::Store;
use oci::{Descriptor, Document, Reference};
use std::cell::RefCell;
use std::io::{self, Read};

/// Images an index may have: it is asked for one by one.
const MAX_IMAGES: usize = 1000;

/// An image and those of an index that it may be.
const MAX_DEPTH: usize = 2;

/// A blob's bytes from who has it, who is waited for.
fn given(other: &Registry, blob: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
    let mut attempt = 1;
    loop {
        match other.blob(&other.endpoint().repository, &blob.digest, 0) {
            Err(error) if other.waits(&error, attempt) => attempt += 1,
            done => return Ok(done?),
        }
    }
}

impl Store {
    /// Makes an image, with all its platforms, known in the registry's repository; what it is.
    pub(crate) fn bring_image(
        &self,
        registry: &Registry,
        image: &Reference,
    ) -> Result<Descriptor, Error> {
        self.bring_nested(registry, image, MAX_DEPTH)
    }

    fn bring_nested(
        &self,
        registry: &Registry,
        image: &Reference,
        depth: usize,
    ) -> Result<Descriptor, Error> {
        let found = self.remote_manifest(image)?;
        let repository = &registry.endpoint().repository;
        let RemoteManifest { descriptor, .. } = &found;
        if registry.has_manifest(repository, &descriptor.digest)? {
            return Ok(found.descriptor);
        }
        match &found.document {
            Document::Manifest(manifest) => {
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    self.bring_blob(registry, &found.reference, blob)?;
                }
            }
            Document::Index(index) if depth > 0 && index.manifests.len() <= MAX_IMAGES => {
                for child in &index.manifests {
                    let child = found.reference.with_digest(child.digest.clone());
                    self.bring_nested(registry, &child, depth - 1)?;
                }
            }
            Document::Index(_) => return Err(Error::TooManyImages(image.familiar())),
        }
        let wanted = descriptor.digest.to_string();
        registry.put_manifest(repository, &wanted, &found.bytes, &descriptor.media_type)?;
        Ok(found.descriptor)
    }

    fn bring_blob(
        &self,
        registry: &Registry,
        source: &Reference,
        blob: &Descriptor,
    ) -> Result<(), Error> {
        let repository = &registry.endpoint().repository;
        if registry.has_blob(repository, &blob.digest)? {
            return Ok(());
        }
        // Only a registry's own blobs can be mounted.
        let from = Some(source.path()).filter(|_| source.domain() == registry.name());
        let Some(location) = registry.start_upload(repository, &blob.digest, from)? else {
            return Ok(());
        };
        let location = RefCell::new(Some(location));
        self.with_remote(source, |other| {
            let mut attempt = 1;
            loop {
                let body = RefCell::new(Some(given(other, blob)?));
                let location = match location.take() {
                    Some(first) => first,
                    None => match registry.start_upload(repository, &blob.digest, None)? {
                        Some(location) => location,
                        None => return Ok(()),
                    },
                };
                let open = || -> io::Result<Box<dyn Read>> {
                    let body = body.take().ok_or(io::ErrorKind::UnexpectedEof)?;
                    Ok(Box::new(body))
                };
                let payload = Payload::Stream {
                    open: &open,
                    size: blob.size,
                };
                match registry.upload(repository, &blob.digest, &location, &payload) {
                    Err(error) if registry.waits(&error, attempt) => attempt += 1,
                    done => return Ok(done?),
                }
            }
        })
    }
}
