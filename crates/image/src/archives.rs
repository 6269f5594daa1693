//! `keep-blobs: false`: the archives of layers that came from a registry are not kept once their files are there, and are fetched again
//! when somebody needs them: a push to where they are not, `save`.
//!
//! Packed anew, a layer would be another archive with another digest, and so another image: a compressed stream cannot be made twice by
//! different programs. So archives are had from where they came, or not at all. Where that was is noted with the image in the table of
//! names, as containerd notes it: `containerd.io/distribution.source.<registry>`, the value the repositories. Archives of images that
//! were built or loaded are nowhere else, and always kept.

use crate::content;
use crate::error::{Error, Place, Places};
use crate::progress::Progress;
use crate::registry::memory::Memory;
use crate::remote::Remote;
use crate::remove::Reachable;
use crate::store::{Image, Store};
use oci::{Descriptor, Digest, Document, Manifest, Reference};
use std::collections::BTreeMap;

const SOURCE: &str = "containerd.io/distribution.source.";

/// The image that a committed one was made from.
const PARENT: &str = "dev.dockless.parent";

impl Image {
    /// The image it was made from here; `None` for one that came from elsewhere.
    pub fn parent(&self) -> Option<Digest> {
        self.target.annotations.get(PARENT)?.parse().ok()
    }
}

/// Notes with an image what it was made from. It is known here alone, as in Docker.
pub(crate) fn note_parent(target: &mut Descriptor, parent: &Digest) {
    target.annotations.insert(PARENT.into(), parent.to_string());
}

/// Notes with an image which repository it came from.
pub(crate) fn note_source(target: &mut Descriptor, reference: &Reference) {
    let key = format!("{SOURCE}{}", reference.domain());
    target.annotations.insert(key, reference.path().to_owned());
}

/// What [`note_source`] left, for the entry in the table of names.
pub(crate) fn noted(target: &Descriptor) -> BTreeMap<String, String> {
    let mut noted = target.annotations.clone();
    noted.retain(|key, _| key.starts_with(SOURCE));
    noted
}

/// Takes away what an archive or a directory of images says about where its own came from: it is theirs to say, and not to be believed.
pub(crate) fn forget_sources(target: &mut Descriptor) {
    target
        .annotations
        .retain(|key, _| !key.starts_with(SOURCE) && key != PARENT);
}

/// The repositories an entry came from.
fn sources(entry: &Descriptor) -> Vec<Reference> {
    let mut all = Vec::new();
    for (key, paths) in &entry.annotations {
        let Some(domain) = key.strip_prefix(SOURCE) else {
            continue;
        };
        let names = paths.split(',').map(|path| format!("{domain}/{path}"));
        all.extend(names.filter_map(|name| name.parse::<Reference>().ok()));
    }
    all
}

/// A layer that is kept as a plain tar is compressed when it is pushed: that takes its bytes.
fn is_compressed(layer: &Descriptor) -> bool {
    let ends = ["gzip", "zstd"];
    ends.iter().any(|end| layer.media_type.ends_with(end))
}

impl Store {
    /// Removes the archives of an image whose files are here, unless another image has them that came from no registry, or is not
    /// unpacked. Left for the next pull while others bring something in or use it.
    pub(crate) fn drop_archives(&self, image: &Image) -> Result<(), Error> {
        let Some(_alone) = self.alone()? else {
            return Ok(());
        };
        let mut kept = Reachable::default();
        for entry in &self.content.index()?.manifests {
            if noted(entry).is_empty() || !self.is_unpacked(entry) {
                self.reach(entry, &mut kept);
            }
        }
        for layer in image.manifest.layers.iter().filter(|l| is_compressed(l)) {
            if !kept.blobs.contains(&layer.digest) {
                self.remove_blob(&layer.digest)?;
            }
        }
        Ok(())
    }

    /// Whether all layers are here of those of an entry's images that are here.
    fn is_unpacked(&self, entry: &Descriptor) -> bool {
        let mut reached = Reachable::default();
        self.reach(entry, &mut reached);
        reached.layers.iter().all(|l| self.layers.exists(l))
    }

    /// Whether a layer's archive may be missing and nothing is wrong: its files are here, and archives are not kept.
    pub(crate) fn may_lack_archive(&self, chain_id: &Digest) -> bool {
        self.options.drop_blobs && self.layers.exists(chain_id)
    }

    /// Whether all that a manifest names can be given away: it is here, or files are that came with an archive.
    pub(crate) fn is_complete(&self, manifest: &Manifest) -> bool {
        let layout = self.content.layout();
        let Ok(bytes) = layout.document(&manifest.config.digest) else {
            return false;
        };
        let diff_ids = serde_json::from_slice::<oci::ImageConfig>(&bytes)
            .map(|config| config.rootfs.diff_ids)
            .unwrap_or_default();
        let chain = oci::chain_ids(&diff_ids);
        manifest.layers.iter().enumerate().all(|(at, layer)| {
            let files = chain.get(at).is_some_and(|c| self.may_lack_archive(c));
            layout.has(&layer.digest) || files
        })
    }

    /// Fetches the archives that are not here.
    pub(crate) fn bring_archives(
        &self,
        layers: &[Descriptor],
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        layers
            .iter()
            .try_for_each(|layer| self.bring_archive(layer, progress))
    }

    /// The same for one: from the repositories that the images which have it came from.
    pub(crate) fn bring_archive(
        &self,
        layer: &Descriptor,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        if self.content.layout().has(&layer.digest) {
            return Ok(());
        }
        let mut places = Vec::new();
        for source in self.sources_of(&layer.digest)? {
            let memory = Memory::new(Some(self.paths.run_registries()));
            let remote = Remote::open(&self.options.registries, &source, memory)?;
            let blobs = remote.blobs(0);
            let error = match self.fetcher(&blobs, progress).blob(layer, &mut |_| {}) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_full_disk() => return Err(error),
                Err(error) => error,
            };
            places.push(Place {
                name: source.familiar_repository(),
                answer: error.to_string(),
            });
        }
        if places.is_empty() {
            let (digest, root) = (layer.digest.clone(), self.content.layout().root().into());
            return Err(match self.options.drop_blobs {
                true => Error::NoSource(digest),
                false => content::Error::Missing { digest, root }.into(),
            });
        }
        Err(Error::NoArchive {
            layer: layer.digest.clone(),
            places: Places(places),
        })
    }

    fn sources_of(&self, layer: &Digest) -> Result<Vec<Reference>, Error> {
        let mut all: Vec<Reference> = Vec::new();
        for entry in self.content.index()?.manifests {
            let has = |m: &Manifest| m.layers.iter().any(|l| l.digest == *layer);
            if !self.manifests(&entry).iter().any(has) {
                continue;
            }
            for source in sources(&entry) {
                if !all.contains(&source) {
                    all.push(source);
                }
            }
        }
        Ok(all)
    }

    /// The layers of the manifests that an entry has here.
    pub(crate) fn bring_archives_of(
        &self,
        entry: &Descriptor,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let layout = self.content.layout();
        let bytes = layout.document(&entry.digest)?;
        let children = match Document::parse(&bytes) {
            Ok(Document::Index(index)) => index.manifests,
            _ => vec![entry.clone()],
        };
        for child in &children {
            for manifest in self.manifests(child) {
                if self.is_complete(&manifest) {
                    self.bring_archives(&manifest.layers, progress)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_image_came_from_is_noted_as_containerd_does() {
        let mut entry = Descriptor::new("m", Digest::sha256(b"x"), 1);
        entry.annotations.insert("other".into(), "y".into());
        assert!(sources(&entry).is_empty() && noted(&entry).is_empty());
        note_source(&mut entry, &"redis:7".parse().unwrap());
        let kept = noted(&entry);
        assert_eq!(
            kept["containerd.io/distribution.source.docker.io"],
            "library/redis"
        );
        assert_eq!(kept.len(), 1);
        let all: Vec<String> = sources(&entry).iter().map(|r| r.repository()).collect();
        assert_eq!(all, ["docker.io/library/redis"]);
        entry.annotations.insert(PARENT.into(), "theirs".into());
        forget_sources(&mut entry);
        assert!(!entry.annotations.contains_key(PARENT));
        assert!(sources(&entry).is_empty() && entry.annotations.contains_key("other"));
    }

    #[test]
    fn hostile_sources_are_no_names() {
        let mut entry = Descriptor::new("m", Digest::sha256(b"x"), 1);
        let key = format!("{SOURCE}../..");
        entry.annotations.insert(key, "a,../b,A B,".into());
        assert!(sources(&entry).is_empty());
    }
}
