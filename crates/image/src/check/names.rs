//! The table of names anew, from all that still knows a part of it: the copy beside it, the manifests among the blobs, and what others
//! remember their images by.

use crate::content;
use crate::error::Error;
use crate::remove::Reachable;
use crate::store::Store;
use crate::table::{leave_dangling, set_name};
use oci::{Descriptor, Digest, Document, Index, Reference};
use std::collections::BTreeSet;

/// What an image was called when somebody began to use it: its id and the name.
pub type Remembered = (Digest, Reference);

/// Where names came from, and how many images have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Names {
    pub copied: usize,
    pub remembered: usize,
    pub nameless: usize,
}

impl Store {
    /// What the table has to say by what is here: its copy, without what was removed since, and every image that lacks in it, without
    /// a name.
    pub(super) fn rebuilt(&self) -> Result<Index, Error> {
        let layout = self.content.layout();
        let mut index = self.content.last_known().unwrap_or_default();
        index.manifests.retain(|entry| layout.has(&entry.digest));
        let mut known = Reachable::default();
        for entry in &index.manifests {
            self.reach(entry, &mut known);
        }
        for entry in self.manifests_here(&known)? {
            leave_dangling(&mut index, entry);
        }
        Ok(index)
    }

    /// Every manifest that no index has, of an image that is whole and not known. (A push leaves two manifests of one image.)
    fn manifests_here(&self, known: &Reachable) -> Result<Vec<Descriptor>, Error> {
        let layout = self.content.layout();
        let mut children = BTreeSet::new();
        let mut entries = Vec::new();
        for (digest, size) in self.blobs()? {
            let Ok(bytes) = layout.document(&digest) else {
                continue;
            };
            match Document::parse(&bytes) {
                Ok(Document::Index(index)) => {
                    children.extend(index.manifests.into_iter().map(|d| d.digest));
                }
                Ok(Document::Manifest(m)) if !known.blobs.contains(&m.config.digest) => {}
                _ => continue,
            }
            let kind = crate::registry::api::kind_of(&bytes, "");
            entries.push(Descriptor::new(&kind, digest, size));
        }
        entries.retain(|entry| !children.contains(&entry.digest) && self.is_usable(entry));
        Ok(entries)
    }

    fn is_usable(&self, entry: &Descriptor) -> bool {
        let has = |layer: &crate::Layer| {
            self.layers.exists(&layer.chain_id) || self.content.layout().has(&layer.blob.digest)
        };
        self.read_any(entry)
            .is_ok_and(|image| image.layers().iter().all(has))
    }

    /// Puts that table in the place of the one that cannot be read.
    pub(super) fn rebuild_names(&self, remembered: &[Remembered]) -> Result<Names, Error> {
        let mut index = self.rebuilt()?;
        let named = |index: &Index| index.manifests.iter().filter_map(content::name_of).count();
        let copied = named(&index);
        for (id, name) in remembered {
            self.call_again(&mut index, id, name, remembered);
        }
        let names = Names {
            copied,
            remembered: named(&index) - copied,
            nameless: index.manifests.len() - named(&index),
        };
        self.content.replace_index(&index)?;
        Ok(names)
    }

    /// Gives an image a name that is free, and that all remember it alone by.
    fn call_again(
        &self,
        index: &mut Index,
        id: &Digest,
        name: &Reference,
        remembered: &[Remembered],
    ) {
        let is_taken = |d: &Descriptor| content::name_of(d).as_ref() == Some(name);
        let differs = |(other, its): &Remembered| its == name && other != id;
        if name.digest().is_some()
            || index.manifests.iter().any(is_taken)
            || remembered.iter().any(differs)
        {
            return;
        }
        let has =
            |entry: &&Descriptor| self.manifests(entry).iter().any(|m| m.config.digest == *id);
        let Some(entry) = index.manifests.iter().find(has).cloned() else {
            return;
        };
        set_name(index, name, entry);
    }
}
