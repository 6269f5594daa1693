//! A layer's record that cannot be read while its files are whole: what it said is in the images that have the layer.

use crate::error::Error;
use crate::layer::store::open_dir;
use crate::layer::{Record, StoreError};
use crate::store::Store;
use oci::Digest;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

impl Store {
    /// Writes the record of a layer anew; `false`: no image knows it.
    pub(super) fn remake_record(&self, chain_id: &Digest) -> Result<bool, Error> {
        if let Err(newer @ StoreError::Record(state::Error::Newer { .. })) =
            self.layers.get(chain_id)
        {
            return Err(newer.into());
        }
        for entry in &self.content.index()?.manifests {
            let Ok(image) = self.read_any(entry) else {
                continue;
            };
            let Some(at) = image.chain.iter().position(|c| c == chain_id) else {
                continue;
            };
            let layer = &image.layers()[at];
            let record = Record {
                chain_id: chain_id.clone(),
                diff_id: layer.diff_id.clone(),
                parent: at.checked_sub(1).map(|below| image.chain[below].clone()),
                blob: Some(layer.blob.digest.clone()),
                size: self.layers.open(chain_id).map_or(0, |root| bytes(&root)),
            };
            self.layers.write_record(&record)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether a layer's files are here, whatever its record says.
    pub(super) fn has_files(&self, chain_id: &Digest) -> bool {
        let files = self.layers.files(chain_id);
        files.is_file() || open_dir(&files).is_ok()
    }
}

/// What the files of a tree hold. What cannot be read counts nothing: it is a figure to be shown.
fn bytes(root: &OwnedFd) -> u64 {
    let mut seen = BTreeSet::new();
    let mut total = 0;
    // A layer's handle is a place, not yet a directory to read.
    let mut todo = vec![open_below(root, c".")];
    while let Some(next) = todo.pop() {
        let Ok(dir) = next else { continue };
        for entry in Dir::read_from(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile if seen.insert(stat.st_ino) => {
                    total += u64::try_from(stat.st_size).unwrap_or(0);
                }
                FileType::Directory => todo.push(open_below(&dir, name)),
                _ => {}
            }
        }
    }
    total
}

fn open_below(dir: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}
