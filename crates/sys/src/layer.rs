//! What overlayfs takes as a layer: a directory, or a file that is a file system of its own.
//!
//! Leaves to others: what is in such a file. Source: kernel `overlayfs.rst`; `erofs.rst`, file-backed mounts (Linux 6.12);
//! `lowerdir+` of a mount that is attached nowhere (6.15).

use crate::mount::{Flags, FsContext, open_root};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// How the file of a layer ends.
const IMAGE: &str = "erofs";

/// Whether a layer is a file, by its name.
pub fn is_image(layer: &Path) -> bool {
    layer.extension() == Some(OsStr::new(IMAGE))
}

/// The root of a layer; of a file, mounted nowhere, it goes with its last descriptor.
pub fn open(layer: &Path) -> io::Result<OwnedFd> {
    if !is_image(layer) {
        return open_root(layer);
    }
    let context = FsContext::open(IMAGE)?;
    context.set("source", layer)?;
    context.create(Flags::MOUNT_ATTR_RDONLY)
}

/// Whether a descriptor is of a layer's file, mounted.
pub fn is_mounted_image(mount: impl AsFd) -> io::Result<bool> {
    const EROFS_SUPER_MAGIC: i64 = 0xE0F5_E1E2;
    Ok(rustix::fs::fstatfs(mount)?.f_type as i64 == EROFS_SUPER_MAGIC)
}

impl FsContext {
    /// Puts a layer below those that an overlay has already.
    pub fn add_layer(&mut self, layer: &Path) -> io::Result<()> {
        match is_image(layer) {
            true => self.give_fd("lowerdir+", open(layer)?),
            false => self.set("lowerdir+", layer),
        }
    }
}
