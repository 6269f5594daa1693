//! `prune`: what no name reaches.

use crate::content;
use crate::error::Error;
use crate::remove::{InUse, Reachable, RemoveOptions, Removed};
use crate::store::{Image, Store};
use oci::Digest;
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

    /// The files of everything that no image in use needs (`system df`): layers and blobs.
    pub fn reclaimable(&self, in_use: &[InUse]) -> Result<Vec<PathBuf>, Error> {
        let mut reached = Reachable::default();
        for entry in &self.content.index()?.manifests {
            let used = |image: &Image| in_use.iter().any(|u| u.image == image.id);
            if self.read_any(entry).is_ok_and(|image| used(&image)) {
                self.reach(entry, &mut reached);
            }
        }
        let held = in_use.iter().flat_map(|u| u.layers.iter().cloned());
        reached.layers.extend(held);
        let layers = self.layers.list()?.into_iter();
        let layers = layers.filter(|layer| !reached.layers.contains(layer));
        let mut files: Vec<PathBuf> = layers
            .map(|layer| self.paths.layers().join(layer.hex()))
            .collect();
        let blobs = self.blobs()?.into_iter();
        let blobs = blobs.filter(|(digest, _)| !reached.blobs.contains(digest));
        files.extend(blobs.map(|(digest, _)| self.content.layout().blob(&digest)));
        Ok(files)
    }

    /// What nothing reaches. Only a picture: [`Store::prune`] looks again under its lock.
    pub fn unreferenced(&self, keep: Keep<'_>) -> Result<Unreferenced, Error> {
        let mut reached = Reachable::default();
        for entry in &self.content.index()?.manifests {
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
        for (path, size) in self.broken_off()? {
            found.bytes += size;
            found.partials.push(path);
        }
        found.staging = self.layers.stale()?;
        Ok(found)
    }

    /// Documents that a killed process was writing, beside their places (`state::record`). A living one's are left to it: the table of
    /// names is also changed by those who bring nothing in.
    fn broken_off(&self) -> Result<Vec<(PathBuf, u64)>, Error> {
        let images = self.paths.images();
        let blobs = images.join("blobs");
        let mut found = Vec::new();
        for dir in [blobs.join("sha256"), blobs.join("sha512"), images] {
            found.extend(files(&dir)?);
        }
        found.retain(|(path, _)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with('.') && state::temporary::is_dead(&name)
        });
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
    pub(crate) fn blobs(&self) -> Result<Vec<(Digest, u64)>, Error> {
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
