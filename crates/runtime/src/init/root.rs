//! The root file system: an overlay or a directory, attached in this mount namespace only.
//!
//! How an overlay is made is `overlay`'s. Source: pivot_root(2): the new root must be a mount of its own.

use crate::error::{InitError, OrInit};
use crate::overlay;
use crate::request::{Overlay, Rootfs};
use oci_spec::runtime::Spec;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::mount::{Attributes, Propagation, Recursion};

/// Mounts the root and attaches it; the handle is its root directory.
pub(super) fn mount(rootfs: &Rootfs, spec: &Spec) -> Result<OwnedFd, InitError> {
    match rootfs {
        Rootfs::Directory(path) => {
            let error = |cause| InitError::Root {
                messages: vec![path.display().to_string()],
                cause,
            };
            let tree = clone_directory(path, spec)?;
            overlay::attach_over(&tree, path).because(error)?;
            Ok(tree)
        }
        Rootfs::Overlay(overlay) => mount_overlay(overlay, spec),
    }
}

/// A root attached nowhere yet.
pub(crate) fn detached(rootfs: &Rootfs, spec: &Spec) -> Result<OwnedFd, InitError> {
    match rootfs {
        Rootfs::Directory(path) => clone_directory(path, spec),
        Rootfs::Overlay(overlay) => match (&overlay.upper, overlay.lower.as_slice()) {
            (None, [layer]) => clone_directory(layer, spec),
            _ => overlay::detached(overlay),
        },
    }
}

/// A directory as a mount of its own, which pivot_root wants, attached nowhere yet. Private, and so are the mounts below, unless
/// the root is to receive what the host mounts there.
pub(crate) fn clone_directory(path: &Path, spec: &Spec) -> Result<OwnedFd, InitError> {
    let error = |cause| InitError::Root {
        messages: vec![path.display().to_string()],
        cause,
    };
    let tree = sys::mount::clone_path(path, Recursion::Subtree).because(error)?;
    let own = match propagation(spec) {
        Some((Propagation::Slave, _)) => Propagation::Slave,
        _ => Propagation::Private,
    };
    let change = Attributes {
        propagation: Some(own),
        recursive: true,
        ..Attributes::default()
    };
    sys::mount::set_attributes(tree.as_fd(), change).because(error)?;
    Ok(tree)
}

fn mount_overlay(overlay: &Overlay, spec: &Spec) -> Result<OwnedFd, InitError> {
    // A lone layer that nobody writes to needs no overlay, which wants at least two directories.
    match (&overlay.upper, overlay.lower.as_slice()) {
        (None, [layer]) => mount(&Rootfs::Directory(layer.clone()), spec),
        _ => overlay::mount_attached(overlay),
    }
}

/// Attaches a root that the caller has made where nothing is looked up any more: on top of this namespace's own, which goes
/// with the pivot. Paths are still looked up below it, because our root directory stays what it was.
pub(crate) fn attach(root: &OwnedFd) -> Result<(), InitError> {
    overlay::attach_over(root, Path::new("/")).because(|cause| InitError::Root {
        messages: Vec::new(),
        cause,
    })
}

/// The last attribute of the root: read-only if asked for.
pub(super) fn finish(root: BorrowedFd<'_>, spec: &Spec) -> Result<(), InitError> {
    let read_only = spec.root().as_ref().and_then(|root| root.readonly());
    if !read_only.unwrap_or(false) {
        return Ok(());
    }
    sys::mount::set_attributes(root, Attributes::read_only()).because(|cause| InitError::ReadOnly {
        path: "/".to_owned(),
        cause,
    })
}

/// What `rootfsPropagation` asks for, and whether of the mounts below too. Private is what it is without.
fn propagation(spec: &Spec) -> Option<(Propagation, bool)> {
    let wanted = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.rootfs_propagation().as_deref())?;
    let (name, recursive) = match wanted.strip_prefix('r') {
        Some(name) => (name, true),
        None => (wanted, false),
    };
    let propagation = match name {
        "shared" => Propagation::Shared,
        "slave" => Propagation::Slave,
        "private" => Propagation::Private,
        "unbindable" => Propagation::Unbindable,
        _ => return None,
    };
    Some((propagation, recursive))
}

/// How mounts made below the root travel. After the pivot, which the kernel refuses to a shared root.
pub(super) fn set_propagation(spec: &Spec) -> Result<(), InitError> {
    let Some((propagation, recursive)) = propagation(spec) else {
        return Ok(());
    };
    let change = Attributes {
        propagation: Some(propagation),
        recursive,
        ..Attributes::default()
    };
    sys::mount::open_root(Path::new("/"))
        .and_then(|root| sys::mount::set_attributes(root.as_fd(), change))
        .because(|cause| InitError::Root {
            messages: Vec::new(),
            cause,
        })
}
