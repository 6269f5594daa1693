//! A layer in the making.

use crate::layer::form::Target;
use crate::layer::store::{DIRECTORY, Error, IMAGE, Record, io_error, open_dir, remove_tree, uuid};
use oci::Digest;
use state::Durability;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// A directory beside the layers; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Staging {
    pub(super) path: PathBuf,
    pub(super) kept: bool,
}

impl Staging {
    pub(crate) fn diff(&self) -> PathBuf {
        self.path.join(DIRECTORY)
    }

    /// Where an archive is taken to. `chain_id` is the layer's, where it is known before.
    pub(crate) fn target(&self, chain_id: Option<&Digest>) -> Result<Target, Error> {
        let image = self.path.join(IMAGE);
        match open_dir(&self.diff()) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other.map(Target::Directory),
        }
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&image);
        let file = file.map_err(|source| Error::Io {
            step: "make",
            path: image,
            source,
        })?;
        let uuid = chain_id.map(uuid);
        Ok(Target::Image { file, uuid })
    }

    /// Writes the record, and waits until all is on disk: else a power cut could leave a visible layer of empty files.
    pub(super) fn settle(&self, record: &Record, image: Option<File>) -> Result<(), Error> {
        let path = self.path.join("layer.json");
        let dir = open_dir(&self.path)?;
        let Some(image) = image else {
            state::record::write(&path, record, Durability::Volatile)?;
            // One syncfs(2) instead of an fsync(2) per file.
            return rustix::fs::syncfs(&dir).map_err(|e| io_error("sync", &self.path, e));
        };
        // One file: nobody else's data is waited for.
        let io = |source| Error::Io {
            step: "sync",
            path: self.path.join(IMAGE),
            source,
        };
        image.sync_data().map_err(io)?;
        state::record::write(&path, record, Durability::Durable)?;
        rustix::fs::fsync(&dir).map_err(|e| io_error("sync", &self.path, e))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.kept {
            let _ = remove_tree(&self.path);
        }
    }
}
