//! `image mount`: an image's files, read-only, in the host's own mount namespace. The only thing that is mounted there, and only when
//! a user asks. Source: podman-image-mount(1).
//!
//! ```text
//! <run>/images/<id>/merged    the mount
//! <run>/images/<id>/top       empty: an overlay of one layer needs a second
//! ```

use crate::context::Context;
use crate::error::{Error, Result};
use image::{Image, Store};
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use sys::lock::FileLock;
use sys::mount::Flags;

/// An image that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// `sha256:…`
    pub id: String,
    pub path: PathBuf,
}

/// Mounts an image that is in the store; one that is mounted stays so.
pub fn mount(ctx: &Context, store: &Store, image: &Image) -> Result<PathBuf> {
    let _hold = store.hold()?;
    let place = place(ctx, &image.id);
    let merged = place.join("merged");
    let _lock = lock(ctx, &image.id)?;
    if is_mounted(&merged) {
        return Ok(merged);
    }
    let layers = store.layer_dirs(image)?;
    let top = place.join("top");
    for dir in [&merged, &top] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(Error::file("make", dir))?;
    }
    let mounted = overlay(&top, &layers).and_then(|mount| {
        sys::mount::attach(mount.as_fd(), sys::mount::open_root(&merged)?.as_fd())
    });
    if let Err(source) = mounted {
        let _ = std::fs::remove_dir_all(&place);
        return Err(Error::system(format!("mount image {}", image.id.short()))(
            source,
        ));
    }
    Ok(merged)
}

fn overlay(top: &Path, layers: &[PathBuf]) -> std::io::Result<std::os::fd::OwnedFd> {
    let layers = layers.iter().rev().map(PathBuf::as_path);
    let highest_first: Vec<&Path> = std::iter::once(top).chain(layers).collect();
    let attributes = Flags::MOUNT_ATTR_RDONLY | Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NODEV;
    sys::layer::overlay(&highest_first, attributes, |_| Ok(()))
}

/// Unmounts an image; `false`: it was not mounted. One that somebody looks into is refused unless `force`d.
pub fn unmount(ctx: &Context, id: &str, force: bool) -> Result<bool> {
    let id: oci::Digest = id
        .parse()
        .map_err(|_| Error::invalid(format!("image id {id}"), "it is no digest"))?;
    let place = place(ctx, &id);
    let merged = place.join("merged");
    let _lock = lock(ctx, &id)?;
    if !is_mounted(&merged) {
        let _ = std::fs::remove_dir_all(&place);
        return Ok(false);
    }
    match sys::mount::unmount(&merged) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::ResourceBusy && force => {
            sys::mount::detach(&merged).map_err(Error::file("unmount", &merged))?;
        }
        Err(e) if e.kind() == ErrorKind::ResourceBusy => {
            return Err(Error::invalid(
                format!(
                    "cannot unmount image {} at {}",
                    id.short(),
                    merged.display()
                ),
                "somebody uses it: leave the directory, or take it away with --force",
            ));
        }
        Err(e) => return Err(Error::file("unmount", &merged)(e)),
    }
    // Not with what is in them: a mount that came meanwhile would be emptied.
    for dir in [merged, place.join("top"), place] {
        let _ = std::fs::remove_dir(&dir);
    }
    Ok(true)
}

/// All images that are mounted.
pub fn list(ctx: &Context) -> Vec<Mounted> {
    let Ok(entries) = std::fs::read_dir(ctx.layout.run_images()) else {
        return Vec::new();
    };
    let mounted = entries.flatten().filter_map(|entry| {
        let path = entry.path().join("merged");
        let id = format!("sha256:{}", entry.file_name().to_str()?);
        is_mounted(&path).then_some(Mounted { id, path })
    });
    let mut all: Vec<Mounted> = mounted.collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

fn place(ctx: &Context, id: &oci::Digest) -> PathBuf {
    ctx.layout.run_images().join(id.hex())
}

fn lock(ctx: &Context, id: &oci::Digest) -> Result<FileLock> {
    let path = ctx.layout.lock("image", id.hex());
    FileLock::exclusive(&path).map_err(Error::file("lock", path))
}

fn is_mounted(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}
