//! From one form of the layer store to the other. Each layer is made anew beside itself from its archive, which is verified, and
//! changes over by one rename: a command that is killed leaves a store in which some layers have changed and others have not.

use crate::error::Error;
use crate::fetch::{Fetcher, Job};
use crate::layer::{Form, LayerStore, Record};
use crate::progress::Progress;
use crate::store::Store;
use oci::{Descriptor, Digest};

/// What became of a conversion.
#[derive(Debug, Default)]
pub struct Migrated {
    /// Layers that changed over now.
    pub converted: Vec<Digest>,
    /// Layers that stay as they are: their archive is not in the store (a build's, as a rule).
    pub without_archive: Vec<Digest>,
}

impl Store {
    /// Converts every layer whose archive is in the store. What a layer was before is kept until [`Store::drop_converted`].
    pub fn migrate(&self, to: Form, progress: &dyn Progress) -> Result<Migrated, Error> {
        let _hold = self.hold()?;
        let layers = LayerStore::new(self.paths.clone(), to);
        if layers.form()? != to {
            return Err(Error::NoImages(self.paths.layers()));
        }
        let mut done = Migrated::default();
        for chain_id in layers.list()? {
            let Some(record) = layers.get(&chain_id)? else {
                continue;
            };
            if layers.form_of(&chain_id) == to {
                continue;
            }
            match self.archive_of(&record)? {
                None => done.without_archive.push(chain_id),
                Some(blob) => {
                    self.convert(&layers, &record, blob, progress)?;
                    done.converted.push(chain_id);
                }
            }
        }
        Ok(done)
    }

    /// Removes what converted layers were before, except of those that are in use; they are returned.
    pub fn drop_converted(&self, in_use: &[Digest]) -> Result<Vec<Digest>, Error> {
        let kept = self.layers.drop_converted(in_use)?;
        self.layers.empty_trash()?;
        Ok(kept)
    }

    fn archive_of(&self, record: &Record) -> Result<Option<Descriptor>, Error> {
        let Some(digest) = &record.blob else {
            return Ok(None);
        };
        let path = self.content.layout().blob(digest);
        let file = std::fs::metadata(&path).ok();
        Ok(file.map(|file| Descriptor::new("", digest.clone(), file.len())))
    }

    fn convert(
        &self,
        layers: &LayerStore,
        record: &Record,
        blob: Descriptor,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let fetcher = Fetcher {
            layers,
            ..self.fetcher(self.content.layout(), progress)
        };
        let _lock = layers.lock(&record.chain_id)?;
        let staging = layers.stage()?;
        let job = Job {
            blob,
            diff_id: record.diff_id.clone(),
            chain_id: record.chain_id.clone(),
        };
        let taken = fetcher.take(&job, &staging)?;
        Ok(layers.convert(&staging, record, taken, &below(layers, record)?)?)
    }
}

/// The chain ids under a layer, lowest first.
fn below(layers: &LayerStore, record: &Record) -> Result<Vec<Digest>, Error> {
    let mut chain = Vec::new();
    let mut parent = record.parent.clone();
    while let Some(chain_id) = parent {
        parent = layers.get(&chain_id)?.and_then(|record| record.parent);
        chain.push(chain_id);
    }
    chain.reverse();
    Ok(chain)
}
