//! What overlayfs takes as a layer: a directory, or a file that is a file system of its own.
//!
//! Such a file is mounted nowhere and given to the overlay by its descriptor. Linux 6.12 to 6.14 take only what is attached in the
//! mount namespace of who makes the overlay: there it is attached in one that ends with a thread, or in one of its own that somebody
//! keeps, from where others take copies.
//!
//! Leaves to others: what is in such a file. Source: kernel `overlayfs.rst`; `erofs.rst`, file-backed mounts (Linux 6.12);
//! `lowerdir+` of a mount that is attached nowhere (6.15); `clone_private_mount` of fs/namespace.c before.

use crate::aside;
use crate::mount::{Flags, FsContext, Recursion, attach, clone_tree, open_root, pivot_into};
use crate::namespace::{enter, flags, open_own};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How the file of a layer ends.
const IMAGE: &str = "erofs";

/// Where a layer is found that somebody has mounted.
const DESCRIPTORS: &str = "/proc/self/fd";

/// Whether a layer is a file, by its name.
pub fn is_image(layer: &Path) -> bool {
    layer.extension() == Some(OsStr::new(IMAGE))
}

/// How a mounted layer is named.
pub fn by_descriptor(mount: &OwnedFd) -> PathBuf {
    Path::new(DESCRIPTORS).join(mount.as_raw_fd().to_string())
}

/// Whether what an overlay gets is a mount that is attached nowhere.
pub fn is_detached(layer: &Path) -> bool {
    is_image(layer) || layer.starts_with(DESCRIPTORS)
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

/// Whether overlays take layers that are attached nowhere (Linux 6.15). By the kernel's number, for whom a try would cost an
/// unmount, which waits for all processors; a kernel that can more than its number says goes the old way.
pub fn takes_detached() -> bool {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|text| text.parse::<u32>().ok());
    (number(), number()) >= (Some(6), Some(15))
}

/// Whether that is what a kernel has against an overlay: 6.12 takes no such descriptor, and all before 6.15 refuse when it is made.
pub fn wants_attached<'a>(error: &io::Error, layers: impl IntoIterator<Item = &'a Path>) -> bool {
    let refused = matches!(
        Errno::from_io_error(error),
        Some(Errno::BADF | Errno::INVAL)
    );
    refused && layers.into_iter().any(is_detached)
}

/// An overlay, attached nowhere. `layers` are highest first; `configure` says the rest, by paths that are looked up at once.
pub fn overlay(
    layers: &[&Path],
    attributes: Flags,
    configure: impl Fn(&FsContext) -> io::Result<()> + Sync,
) -> io::Result<OwnedFd> {
    let detached = || {
        let mut context = FsContext::open("overlay")?;
        for layer in layers {
            context.add_layer(layer)?;
        }
        configure(&context)?;
        context.create(attributes)
    };
    let attached = || {
        let context = FsContext::open("overlay")?;
        configure(&context)?;
        // Nothing is looked up in that namespace afterwards.
        context.add_attached(layers.iter().copied(), Path::new("/"))?;
        context.create(attributes)
    };
    // Before Linux 6.7: all layers in one option, of at most 256 bytes. From their own directory descriptors are named by their
    // numbers alone.
    let at_once = || {
        let context = FsContext::open("overlay")?;
        let opened = layers.iter().map(|layer| open(layer));
        let opened = opened.collect::<io::Result<Vec<_>>>()?;
        let names: Vec<String> = opened.iter().map(|l| l.as_raw_fd().to_string()).collect();
        rustix::process::chdir(DESCRIPTORS)?;
        context.set("lowerdir", names.join(":"))?;
        configure(&context)?;
        context.create(attributes)
    };
    match detached() {
        Err(e) if wants_attached(&e, layers.iter().copied()) => aside::in_new(attached)?,
        Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => {
            aside::roaming(at_once)?.map_err(|_| e)
        }
        other => other,
    }
}

impl FsContext {
    /// Puts a layer below those that an overlay has already.
    pub fn add_layer(&mut self, layer: &Path) -> io::Result<()> {
        match is_image(layer) {
            true => self.give_fd("lowerdir+", open(layer)?),
            false => self.set("lowerdir+", layer),
        }
    }

    /// All layers at once, highest first, where the kernel wants mounts attached: they are, in this namespace and over `place`,
    /// where nothing is looked up from then on. A layer that somebody has mounted is taken from him.
    pub fn add_attached<'a>(
        &self,
        layers: impl Iterator<Item = &'a Path>,
        place: &Path,
    ) -> io::Result<()> {
        let opened = layers.map(|layer| Ok((is_detached(layer), open(layer)?)));
        let opened = opened.collect::<io::Result<Vec<_>>>()?;
        let place = open_root(place)?;
        for (_, mount) in opened.iter().filter(|(detached, _)| *detached) {
            attach(mount.as_fd(), place.as_fd())?;
        }
        let mut opened = opened.iter();
        opened.try_for_each(|(_, layer)| self.set("lowerdir+", by_descriptor(layer)))
    }
}

/// Mounts files in a mount namespace that has nothing else, and stays while somebody holds its descriptor: from there
/// [`copy`] takes what cannot be copied while it is attached nowhere.
pub fn attach_apart(images: &[&Path]) -> io::Result<(Vec<OwnedFd>, OwnedFd)> {
    let mounts = images.iter().map(|image| open(image));
    let mounts = mounts.collect::<io::Result<Vec<_>>>()?;
    let place = images.first().and_then(|image| image.parent());
    let namespace = aside::in_new(|| -> io::Result<OwnedFd> {
        let own = open_own("mnt")?;
        let Some((root, others)) = mounts.split_first() else {
            return Ok(own);
        };
        attach(
            root.as_fd(),
            open_root(place.unwrap_or(Path::new(".")))?.as_fd(),
        )?;
        // Else it would keep a copy of every mount of the host, for as long as a container runs.
        pivot_into(root.as_fd())?;
        for mount in others {
            attach(mount.as_fd(), root.as_fd())?;
        }
        Ok(own)
    })??;
    Ok((mounts, namespace))
}

/// Copies, attached nowhere, of mounts that are attached in the namespaces beside them.
pub fn copy(mounts: &[(BorrowedFd<'_>, BorrowedFd<'_>)]) -> io::Result<Vec<OwnedFd>> {
    let one = |(mount, namespace): &(BorrowedFd<'_>, BorrowedFd<'_>)| {
        enter(namespace, flags::NEWNS)?;
        clone_tree(*mount, c"", Recursion::None)
    };
    aside::roaming(|| mounts.iter().map(one).collect())?
}
