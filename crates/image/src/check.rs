//! `system check`: whether every blob has its digest, every layer is what its archive says, and every record can be read; and what
//! can be done about those that are not. [`repair`](Store::repair) takes away only what is bad, after trying to have it again.

mod mend;
mod names;
mod record;

pub use mend::{How, Mended};
pub use names::{Names, Remembered};

use crate::content;
use crate::error::Error;
use crate::fetch::{Fetcher, Job};
use crate::layer::{Record, StoreError};
use crate::progress::{Progress, Status};
use crate::remove::Reachable;
use crate::store::{self, Image, Store};
use oci::{Descriptor, Digest, Index};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// How closely it is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Whether all is there, by the records.
    Records,
    /// Whether every byte is as it was.
    Contents,
}

/// Something wrong in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The table of names cannot be read.
    Names { cause: String },
    /// A manifest, index or configuration is not there, or not what its digest says.
    Image {
        name: String,
        target: Digest,
        cause: String,
    },
    /// A layer's archive is not there.
    MissingBlob { digest: Digest },
    /// A blob's content is not what its name says.
    DamagedBlob { digest: Digest },
    /// An image's layer is not unpacked.
    MissingLayer { chain_id: Digest },
    /// A layer's files are not those of its archive, or it has neither files nor a record.
    DamagedLayer { chain_id: Digest, what: String },
    /// The record of a layer cannot be read; its files are there.
    LayerRecord { chain_id: Digest, what: String },
}

/// What was found, and which images need what.
#[derive(Debug, Default)]
pub struct Checked {
    pub faults: Vec<Fault>,
    /// What was looked at.
    pub images: usize,
    pub layers: usize,
    pub blobs: usize,
    needs: Vec<(String, Reachable)>,
}

impl Checked {
    /// The images that need what is at fault.
    pub fn dependents(&self, fault: &Fault) -> Vec<String> {
        let needs = |all: &Reachable| match fault {
            Fault::Names { .. } | Fault::Image { .. } => false,
            Fault::MissingBlob { digest } | Fault::DamagedBlob { digest } => {
                all.blobs.contains(digest)
            }
            Fault::MissingLayer { chain_id }
            | Fault::DamagedLayer { chain_id, .. }
            | Fault::LayerRecord { chain_id, .. } => all.layers.contains(chain_id),
        };
        let found = self.needs.iter().filter(|(_, all)| needs(all));
        found.map(|(name, _)| name.clone()).collect()
    }
}

/// A layer to look at, and those below it, lowest first.
struct Suspect {
    job: Job,
    below: Vec<Digest>,
    /// Of an image. What only a container stands on may have lost its archive when its image was removed.
    named: bool,
}

impl Store {
    /// Looks at everything in the store.
    pub fn check(&self, depth: Depth, progress: &dyn Progress) -> Result<Checked, Error> {
        let _hold = self.hold()?;
        let mut checked = Checked::default();
        let index = match self.content.index() {
            Ok(index) => index,
            Err(content::Error::Table { path, source }) => {
                let cause = format!("{}: {source}", path.display());
                checked.faults.push(Fault::Names { cause });
                self.rebuilt()?
            }
            Err(error) => return Err(error.into()),
        };
        let mut suspects = BTreeMap::new();
        for (name, entry) in distinct(&index) {
            checked.images += 1;
            let mut reached = Reachable::default();
            self.reach(&entry, &mut reached);
            checked.needs.push((name.clone(), reached));
            match self.read_any(&entry) {
                Ok(image) => self.suspect(&image, &mut suspects)?,
                Err(error) => checked.faults.push(Fault::Image {
                    name,
                    target: entry.digest,
                    cause: error.to_string(),
                }),
            }
        }
        self.suspect_unnamed(&mut suspects, &mut checked)?;
        let mut seen = BTreeSet::new();
        for suspect in suspects.values() {
            checked.layers += 1;
            let faults = self.check_layer(suspect, depth, progress, &mut seen)?;
            checked.faults.extend(faults);
        }
        if depth == Depth::Contents {
            self.check_blobs(&mut checked, &seen)?;
        }
        Ok(checked)
    }

    fn suspect(&self, image: &Image, all: &mut BTreeMap<Digest, Suspect>) -> Result<(), Error> {
        for (at, job) in store::jobs(image)?.into_iter().enumerate() {
            let below = image.chain[..at].to_vec();
            let known = all.entry(job.chain_id.clone());
            known.or_insert(Suspect {
                job,
                below,
                named: true,
            });
        }
        Ok(())
    }

    /// Layers of containers and of the build cache that no image has.
    fn suspect_unnamed(
        &self,
        all: &mut BTreeMap<Digest, Suspect>,
        checked: &mut Checked,
    ) -> Result<(), Error> {
        for chain_id in self.layers.list()? {
            let record = match self.layers.get(&chain_id) {
                Ok(Some(record)) if record.chain_id == chain_id => record,
                other => {
                    let fault = self.record_fault(chain_id, other);
                    if let Fault::DamagedLayer { chain_id, .. } = &fault {
                        all.remove(chain_id);
                    }
                    checked.faults.push(fault);
                    continue;
                }
            };
            let (false, Some(blob)) = (all.contains_key(&chain_id), record.blob) else {
                continue;
            };
            let path = self.content.layout().blob(&blob);
            let size = path.metadata().map_or(0, |m| m.len());
            let job = Job {
                blob: Descriptor::new("", blob, size),
                diff_id: record.diff_id,
                chain_id: chain_id.clone(),
            };
            let below = self.below(record.parent.as_ref()).unwrap_or_default();
            let suspect = Suspect {
                job,
                below,
                named: false,
            };
            all.insert(chain_id, suspect);
        }
        Ok(())
    }

    /// What is wrong with a layer whose record was looked for.
    fn record_fault(&self, chain_id: Digest, found: Result<Option<Record>, StoreError>) -> Fault {
        let what = match found {
            Err(error) => match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            },
            Ok(Some(_)) => "its record is another layer's".to_owned(),
            // A record is there when all is: who is without has not been finished.
            Ok(None) => {
                let what = "it has no record".to_owned();
                return Fault::DamagedLayer { chain_id, what };
            }
        };
        match self.has_files(&chain_id) {
            true => Fault::LayerRecord { chain_id, what },
            false => Fault::DamagedLayer { chain_id, what },
        }
    }

    fn check_layer(
        &self,
        suspect: &Suspect,
        depth: Depth,
        progress: &dyn Progress,
        seen: &mut BTreeSet<Digest>,
    ) -> Result<Vec<Fault>, Error> {
        let (digest, chain_id) = (&suspect.job.blob.digest, &suspect.job.chain_id);
        let blob = self.content.layout().has(digest);
        let layer = self.layers.exists(chain_id);
        let mut faults = Vec::new();
        let wanted = suspect.named && !self.may_lack_archive(chain_id);
        if !blob && wanted && seen.insert(digest.clone()) {
            let digest = digest.clone();
            faults.push(Fault::MissingBlob { digest });
        }
        if !layer {
            let chain_id = chain_id.clone();
            faults.push(Fault::MissingLayer { chain_id });
        }
        if blob && layer && depth == Depth::Contents {
            let own = self.content.layout().clone();
            let fetcher = self.fetcher(&own, progress);
            fetcher.tell(&suspect.job.blob, Status::Verifying, 0);
            faults.extend(self.compare(suspect, &fetcher)?);
            fetcher.tell(&suspect.job.blob, Status::Verified, suspect.job.blob.size);
            seen.insert(digest.clone());
        }
        Ok(faults)
    }

    /// Makes a layer anew from its archive, which verifies that too, and compares.
    fn compare(&self, suspect: &Suspect, fetcher: &Fetcher<'_>) -> Result<Option<Fault>, Error> {
        let job = &suspect.job;
        let digest = job.blob.digest.clone();
        let staging = self.layers.stage_like(&job.chain_id)?;
        let chain_id = job.chain_id.clone();
        let taken = match fetcher.take(job, &staging) {
            Ok(taken) => taken,
            Err(error) if error.is_full_disk() => return Err(error),
            Err(Error::DiffId { actual, .. }) => {
                let what = format!("its archive has the diff id {actual}");
                return Ok(Some(Fault::DamagedLayer { chain_id, what }));
            }
            Err(_) => return Ok(Some(Fault::DamagedBlob { digest })),
        };
        let differs = self
            .layers
            .differs(&chain_id, staging, taken, &suspect.below);
        Ok(match differs {
            Ok(what) => what.map(|what| Fault::DamagedLayer { chain_id, what }),
            Err(error) if crate::room::is_full(&error) => return Err(error.into()),
            Err(error) => {
                let what = error.to_string();
                Some(Fault::DamagedLayer { chain_id, what })
            }
        })
    }

    /// Blobs that were not read as layers: documents, and what no image has.
    fn check_blobs(&self, checked: &mut Checked, seen: &BTreeSet<Digest>) -> Result<(), Error> {
        for (digest, _) in self.blobs()? {
            checked.blobs += 1;
            if !seen.contains(&digest) && !self.is_whole(&digest)? {
                checked.faults.push(Fault::DamagedBlob { digest });
            }
        }
        Ok(())
    }

    fn is_whole(&self, digest: &Digest) -> Result<bool, Error> {
        let mut hasher = digest.algorithm().hasher();
        let mut file = self.content.layout().open(digest)?;
        let mut buffer = vec![0u8; 256 << 10];
        loop {
            let got = file
                .read(&mut buffer)
                .map_err(|source| content::Error::Io {
                    step: "read",
                    path: self.content.layout().blob(digest),
                    source,
                })?;
            if got == 0 {
                return Ok(hasher.finish() == *digest);
            }
            hasher.update(&buffer[..got]);
        }
    }
}

/// Every entry of the table of names once, and how it is called.
fn distinct(index: &Index) -> Vec<(String, Descriptor)> {
    let mut all: Vec<(String, Descriptor)> = Vec::new();
    for entry in &index.manifests {
        if !all.iter().any(|(_, known)| known.digest == entry.digest) {
            let name = content::name_of(entry).map(|name| name.familiar());
            let name = name.unwrap_or_else(|| entry.digest.short().to_owned());
            all.push((name, entry.clone()));
        }
    }
    all
}
