//! What is removed goes out of sight by one rename into the data root's trash, whole even after `kill -9`, and is deleted from there by
//! whoever has time: large files and trees take a while, and nobody should wait for that.

use crate::layer::StoreError;
use crate::layer::store::remove_tree;
use rustix::io::Errno;
use state::Layout;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// How the names of ours begin: nobody owns what is called so, anybody may delete it.
const KINDS: [&str; 2] = ["layer-", "blob-"];

/// A layer or what is left of one.
pub(crate) fn layer(layout: &Layout, path: &Path) -> Result<(), StoreError> {
    move_away(layout, KINDS[0], path)
}

/// A blob.
pub(crate) fn blob(layout: &Layout, path: &Path) -> Result<(), StoreError> {
    move_away(layout, KINDS[1], path)
}

/// What is not there is gone already.
fn move_away(layout: &Layout, kind: &str, path: &Path) -> Result<(), StoreError> {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let target = layout
        .trash()
        .join(format!("{kind}{name}-{}-{serial}", std::process::id()));
    match rustix::fs::rename(path, &target) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // Somebody put a file system of its own there: a file goes in one step as well.
        Err(Errno::XDEV) if path.is_file() => remove_tree(path),
        Err(e) => Err(StoreError::Io {
            step: "remove",
            path: path.into(),
            source: e.into(),
        }),
    }
}

/// Deletes it all, by whomever it was left.
pub(crate) fn empty(layout: &Layout) -> Result<(), StoreError> {
    let trash = layout.trash();
    let failed = |source| StoreError::Io {
        step: "list",
        path: trash.clone(),
        source,
    };
    for entry in std::fs::read_dir(&trash).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let is_ours = |kind: &&str| name.as_encoded_bytes().starts_with(kind.as_bytes());
        if KINDS.iter().any(is_ours) {
            remove_tree(&entry.path())?;
        }
    }
    Ok(())
}
