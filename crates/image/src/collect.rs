//! `prune` and `check`: what no name reaches, and whether what is reached is whole.

use crate::content;
use crate::error::Error;
use crate::remove::{InUse, Reachable, RemoveOptions, Removed};
use crate::store::{Image, Store};
use oci::Digest;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What has to stay although no image names it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep<'a> {
    /// Every container.
    pub in_use: &'a [InUse],
    /// Further layers by chain id (a build cache's).
    pub layers: &'a [Digest],
    /// Further blobs (a build cache's).
    pub blobs: &'a [Digest],
}

/// What nothing reaches.
#[derive(Debug, Default)]
pub struct Unreferenced {
    pub blobs: Vec<Digest>,
    pub layers: Vec<Digest>,
    /// Broken downloads and temporary files.
    pub partials: Vec<PathBuf>,
    /// Layers killed processes left half-made.
    pub staging: Vec<PathBuf>,
    /// Bytes on disk of all of these.
    pub bytes: u64,
}

impl Unreferenced {
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
            && self.layers.is_empty()
            && self.partials.is_empty()
            && self.staging.is_empty()
    }
}

/// Something wrong in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An image's document or layer archive is not there.
    MissingBlob { image: String, digest: Digest },
    /// A blob's content is not what its name says.
    DamagedBlob { digest: Digest },
    /// An image's layer is not unpacked (it will be when it is needed).
    MissingLayer { image: String, chain_id: Digest },
}

impl Store {
    /// Images without a name, except those that containers use.
    pub fn dangling(&self, in_use: &[InUse]) -> Result<Vec<Image>, Error> {
        let unused = |i: &Image| i.names.is_empty() && !in_use.iter().any(|u| u.image == i.id);
        Ok(self.list()?.into_iter().filter(unused).collect())
    }

    /// Removes images: those without a name, or (`all`) every one no container uses; `wanted` may say no.
    pub fn prune_images(
        &self,
        all: bool,
        in_use: &[InUse],
        wanted: &dyn Fn(&Image) -> bool,
    ) -> Result<Vec<Removed>, Error> {
        let mut removed = Vec::new();
        let mut images = self.list()?;
        images.retain(|i| {
            (all || i.names.is_empty()) && !in_use.iter().any(|u| u.image == i.id) && wanted(i)
        });
        for image in images {
            let options = RemoveOptions {
                force: true,
                in_use,
            };
            removed.extend(self.remove(&image.target.digest.to_string(), options)?);
        }
        Ok(removed)
    }

    /// What nothing reaches. Only a picture: [`Store::prune`] looks again under its lock.
    pub fn unreferenced(&self, keep: Keep<'_>) -> Result<Unreferenced, Error> {
        let mut reached = Reachable::default();
        for entry in &self.content.layout().index()?.manifests {
            self.reach(entry, &mut reached);
        }
        reached
            .layers
            .extend(keep.in_use.iter().flat_map(|u| u.layers.iter().cloned()));
        reached.layers.extend(keep.layers.iter().cloned());
        reached.blobs.extend(keep.blobs.iter().cloned());
        let mut found = Unreferenced::default();
        for layer in self.layers.list()? {
            if !reached.layers.contains(&layer) {
                found.bytes += self.layers.get(&layer).ok().flatten().map_or(0, |r| r.size);
                found.layers.push(layer);
            }
        }
        for (digest, size) in self.blobs()? {
            if !reached.blobs.contains(&digest) {
                found.bytes += size;
                found.blobs.push(digest);
            }
        }
        for (path, size) in files(&self.paths.images().join("ingest"))? {
            found.bytes += size;
            found.partials.push(path);
        }
        found.staging = self.layers.stale()?;
        Ok(found)
    }

    /// Deletes what nothing reaches; `None` while somebody brings something in or creates a container.
    pub fn prune(&self, keep: Keep<'_>) -> Result<Option<Unreferenced>, Error> {
        let Some(_alone) = self.alone()? else {
            return Ok(None);
        };
        let found = self.unreferenced(keep)?;
        for layer in &found.layers {
            self.layers.discard(layer)?;
        }
        for path in &found.staging {
            self.layers.discard_path(path)?;
        }
        for digest in &found.blobs {
            self.remove_blob(digest)?;
        }
        for path in &found.partials {
            std::fs::remove_file(path).map_err(|source| content::Error::Io {
                step: "remove",
                path: path.clone(),
                source,
            })?;
        }
        self.remove_lock_files();
        self.layers.empty_trash()?;
        Ok(Some(found))
    }

    /// Locks of single layers and blobs are only taken under the shared lock whose exclusive side is held
    /// here: nobody holds or waits for one, so their files may go. One that stays does no harm.
    fn remove_lock_files(&self) {
        let Ok(entries) = std::fs::read_dir(self.paths.locks()) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            if name.starts_with(b"layer-") || name.starts_with(b"blob-") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// All blobs with their sizes.
    fn blobs(&self) -> Result<Vec<(Digest, u64)>, Error> {
        let mut found = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            for (path, size) in files(&self.paths.images().join("blobs").join(algorithm))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if let Ok(digest) = format!("{algorithm}:{name}").parse() {
                    found.push((digest, size));
                }
            }
        }
        Ok(found)
    }

    /// Looks whether every image is whole; `deep` reads every blob again.
    pub fn check(&self, deep: bool) -> Result<Vec<Fault>, Error> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for image in self.list()? {
            let name = image
                .repo_tags()
                .first()
                .cloned()
                .unwrap_or_else(|| image.id.short().to_owned());
            for layer in image.layers() {
                if !self.content.layout().has(&layer.blob.digest) {
                    faults.push(Fault::MissingBlob {
                        image: name.clone(),
                        digest: layer.blob.digest.clone(),
                    });
                } else if deep
                    && seen.insert(layer.blob.digest.clone())
                    && !self.is_whole(&layer.blob.digest)?
                {
                    faults.push(Fault::DamagedBlob {
                        digest: layer.blob.digest,
                    });
                }
                if !self.layers.exists(&layer.chain_id) {
                    faults.push(Fault::MissingLayer {
                        image: name.clone(),
                        chain_id: layer.chain_id,
                    });
                }
            }
        }
        Ok(faults)
    }

    fn is_whole(&self, digest: &Digest) -> Result<bool, Error> {
        let mut hasher = digest.algorithm().hasher();
        let mut file = self.content.layout().open(digest)?;
        let mut buffer = vec![0u8; 256 << 10];
        loop {
            let got = std::io::Read::read(&mut file, &mut buffer).map_err(|source| {
                content::Error::Io {
                    step: "read",
                    path: self.content.layout().blob(digest),
                    source,
                }
            })?;
            if got == 0 {
                return Ok(hasher.finish() == *digest);
            }
            hasher.update(&buffer[..got]);
        }
    }

    /// Mends what [`Store::check`] finds: damaged blobs are removed (the next pull fetches them again),
    /// missing layers are unpacked again where their archive is whole.
    pub fn repair(&self, faults: &[Fault]) -> Result<(), Error> {
        for fault in faults {
            if let Fault::DamagedBlob { digest } = fault {
                self.remove_blob(digest)?;
            }
        }
        for image in self.list()? {
            if image
                .layers()
                .iter()
                .all(|l| self.content.layout().has(&l.blob.digest))
            {
                self.layer_dirs(&image)?;
            }
        }
        Ok(())
    }
}

/// The regular files of a directory with their sizes; none where it is missing.
fn files(dir: &Path) -> Result<Vec<(PathBuf, u64)>, Error> {
    let failed = |source| {
        Error::from(content::Error::Io {
            step: "list",
            path: dir.into(),
            source,
        })
    };
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            found.push((entry.path(), metadata.len()));
        }
    }
    found.sort();
    Ok(found)
}
