//! What is done about a fault: what is bad goes, what can be had again comes back, and what cannot is named with those that need it.

use super::names::{Names, Remembered};
use super::{Checked, Fault, distinct};
use crate::content;
use crate::error::Error;
use crate::fetch::Brought;
use crate::progress::Progress;
use crate::remove::{InUse, User};
use crate::store::Store;
use oci::{Descriptor, Digest};
use std::collections::BTreeSet;

/// What came of one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    pub fault: Fault,
    pub how: How,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It is here again: fetched, or unpacked from its archive.
    Restored,
    /// It is gone and could not be had again.
    Dropped,
    /// The table of names is made anew.
    Renamed(Names),
    /// A container that runs stands on it.
    Held { container: String },
    /// The image cannot be used and has gone from the table of names.
    Removed,
}

impl Store {
    /// Takes away what is bad, and brings back what can be had: from the registry an image is named after, or from its archive.
    /// `remembered` says how images are called where the table of names does not any more.
    pub fn repair(
        &self,
        checked: &Checked,
        in_use: &[InUse],
        remembered: &[Remembered],
        progress: &dyn Progress,
    ) -> Result<Vec<Mended>, Error> {
        let (held, names) = self.take_away(&checked.faults, in_use, remembered)?;
        self.bring_back(checked, &held, progress)?;
        let mut mended = Vec::new();
        for fault in &checked.faults {
            let how = match (fault, holder(fault, in_use), self.is_mended(fault)) {
                (Fault::Names { .. }, ..) => How::Renamed(names),
                (_, Some(container), _) if held.contains(&chain_of(fault)) => {
                    How::Held { container }
                }
                (.., true) => How::Restored,
                (.., false) => How::Dropped,
            };
            let fault = fault.clone();
            mended.push(Mended { fault, how });
        }
        mended.extend(self.remove_unusable()?);
        Ok(mended)
    }

    /// The bad files, but for layers that containers need as they are. Those are returned.
    fn take_away(
        &self,
        faults: &[Fault],
        in_use: &[InUse],
        remembered: &[Remembered],
    ) -> Result<(BTreeSet<Option<Digest>>, Names), Error> {
        let Some(_alone) = self.alone()? else {
            return Err(Error::Conflict(
                "images are being brought in or used at this moment: repair when that is done"
                    .into(),
            ));
        };
        let (mut held, mut names) = (BTreeSet::new(), Names::default());
        for fault in faults {
            match fault {
                Fault::Names { .. } => names = self.rebuild_names(remembered)?,
                Fault::DamagedBlob { digest } => self.remove_blob(digest)?,
                Fault::LayerRecord { chain_id, .. } if self.remake_record(chain_id)? => {}
                fault if holder(fault, in_use).is_some() => {
                    held.insert(chain_of(fault));
                }
                Fault::DamagedLayer { chain_id, .. } | Fault::LayerRecord { chain_id, .. } => {
                    self.layers.discard(chain_id)?;
                }
                Fault::Image { .. } | Fault::MissingBlob { .. } | Fault::MissingLayer { .. } => {}
            }
        }
        self.layers.empty_trash()?;
        Ok((held, names))
    }

    /// Images with a fault are fetched by the digest they have, then unpacked. One that is nowhere stays as it is.
    fn bring_back(
        &self,
        checked: &Checked,
        held: &BTreeSet<Option<Digest>>,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let _hold = self.hold()?;
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        for fault in &checked.faults {
            match fault {
                Fault::Image { name, .. } => drop(wanted.insert(name.clone())),
                fault if held.contains(&chain_of(fault)) => {}
                Fault::LayerRecord { .. } if self.is_mended(fault) => {}
                fault => wanted.extend(checked.dependents(fault)),
            }
        }
        let index = self.content.index()?;
        for (name, entry) in distinct(&index) {
            if !wanted.contains(&name) {
                continue;
            }
            let image = self.read_any(&entry);
            let whole = image.as_ref().is_ok_and(|image| {
                let mut blobs = image.manifest.layers.iter();
                blobs.all(|l| self.content.layout().has(&l.digest))
            });
            if !whole && let Some(reference) = content::name_of(&entry) {
                let platform = image.as_ref().ok().map(|i| i.config.platform());
                let reference = reference.with_digest(entry.digest.clone());
                // Nowhere to be had: what that means is told for each fault.
                let brought = Brought::default();
                let _ = self.fetch(&reference, platform.as_ref(), progress, &brought);
            }
            if let Ok(image) = self.read_any(&entry) {
                let _ = self.layer_dirs(&image);
            }
        }
        Ok(())
    }

    fn is_mended(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Names { .. } => self.content.index().is_ok(),
            Fault::Image { target, .. } => self
                .entry(target)
                .is_some_and(|entry| self.read_any(&entry).is_ok()),
            Fault::MissingBlob { digest } | Fault::DamagedBlob { digest } => {
                self.content.layout().has(digest)
            }
            Fault::MissingLayer { chain_id } | Fault::DamagedLayer { chain_id, .. } => {
                self.layers.exists(chain_id)
            }
            Fault::LayerRecord { chain_id, .. } => {
                matches!(self.layers.get(chain_id), Ok(Some(_)))
            }
        }
    }

    fn entry(&self, target: &Digest) -> Option<Descriptor> {
        let index = self.content.index().ok()?;
        index.manifests.into_iter().find(|d| d.digest == *target)
    }

    /// Images whose documents are gone, or a layer with its archive: they can do nothing any more.
    fn remove_unusable(&self) -> Result<Vec<Mended>, Error> {
        let mut removed = Vec::new();
        for (name, entry) in distinct(&self.content.index()?) {
            let cause = match self.read_any(&entry) {
                Err(error) => error.to_string(),
                Ok(image) => {
                    let mut layers = image.layers().into_iter();
                    let lost = layers.find(|l| {
                        !self.layers.exists(&l.chain_id)
                            && !self.content.layout().has(&l.blob.digest)
                    });
                    match lost {
                        None => continue,
                        Some(lost) => format!("layer {} is lost", lost.chain_id),
                    }
                }
            };
            let target = entry.digest;
            self.content
                .update_index(|index| index.manifests.retain(|d| d.digest != target))?;
            removed.push(Mended {
                fault: Fault::Image {
                    name,
                    target,
                    cause,
                },
                how: How::Removed,
            });
        }
        Ok(removed)
    }
}

fn chain_of(fault: &Fault) -> Option<Digest> {
    match fault {
        Fault::DamagedLayer { chain_id, .. } | Fault::LayerRecord { chain_id, .. } => {
            Some(chain_id.clone())
        }
        _ => None,
    }
}

/// The container that keeps what is at fault from being taken away: one that runs on wrong files, any that stands on right ones.
fn holder(fault: &Fault, in_use: &[InUse]) -> Option<String> {
    let chain_id = chain_of(fault)?;
    let stands = matches!(fault, Fault::LayerRecord { .. });
    in_use.iter().find_map(|user| match &user.user {
        User::Container { id, running } if *running || stands => {
            user.layers.contains(&chain_id).then(|| id.clone())
        }
        _ => None,
    })
}
