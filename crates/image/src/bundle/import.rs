//! A plain archive as a layer, or as an image of one layer (`docker import`).

use super::BundleError;
use crate::commit::{Ingest, Layer};
use crate::error::Error;
use crate::layer::Record;
use crate::pipeline;
use crate::store::{Image, Store};
use crate::tarball::Limits;
use oci::{Digest, ImageConfig, Reference, media_type};
use std::io::{self, Read};

impl Store {
    /// Makes the layer above `parent` of an archive (plain, gzip or zstd), as `docker import` does.
    pub fn import_layer(
        &self,
        mut stream: impl Read,
        parent: Option<&Digest>,
    ) -> Result<Layer, Error> {
        let _hold = self.hold()?;
        let staging = self.layers.stage()?;
        let target = staging.target(None)?;
        let mut ingest = Ingest::new(self)?;
        let unknown = Digest::sha256(b"");
        let (taken, diff_id) = pipeline::run(&unknown, target, Limits::default(), |sink| {
            let mut buffer = vec![0u8; 256 << 10];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(got) => {
                        ingest.append(&buffer[..got])?;
                        sink(&buffer[..got]);
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(BundleError::Read(e).into()),
                }
            }
        })?;
        let mut blob = ingest.publish(self, media_type::OCI_LAYER)?;
        blob.media_type = self.layer_type(&blob.digest)?.into();
        let chain_id = crate::commit::chain(parent, &diff_id);
        let _lock = self.layers.lock(&chain_id)?;
        if !self.layers.exists(&chain_id) {
            let record = Record {
                chain_id: chain_id.clone(),
                diff_id: diff_id.clone(),
                parent: parent.cloned(),
                blob: Some(blob.digest.clone()),
                size: taken.size(),
            };
            let below = self.below(parent)?;
            self.layers.commit(staging, &record, taken, &below)?;
            self.brought.layer(&chain_id);
        }
        Ok(Layer {
            blob,
            diff_id,
            chain_id,
        })
    }

    /// The chain from the lowest layer up to `top`, by the records.
    pub(crate) fn below(&self, top: Option<&Digest>) -> Result<Vec<Digest>, Error> {
        let mut chain = Vec::new();
        let mut next = top.cloned();
        while let Some(chain_id) = next {
            next = self
                .layers
                .get(&chain_id)?
                .and_then(|r| r.parent)
                .filter(|p| !chain.contains(p));
            chain.push(chain_id);
        }
        chain.reverse();
        Ok(chain)
    }

    /// Makes a one-layer image of an archive (`docker import`).
    pub fn import(
        &self,
        stream: impl Read,
        config: &ImageConfig,
        names: &[Reference],
    ) -> Result<Image, Error> {
        self.wholly(|store| {
            let layer = store.import_layer(stream, None)?;
            store.put_image(config, &[layer], names)
        })
    }
}
