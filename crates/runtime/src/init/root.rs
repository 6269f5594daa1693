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
pub(super) fn mount(rootfs: &Rootfs) -> Result<OwnedFd, InitError> {
    match rootfs {
        Rootfs::Directory(path) => {
            let error = |cause| InitError::Root {
                messages: vec![path.display().to_string()],
                cause,
            };
            let tree = clone_directory(path)?;
            overlay::attach_over(&tree, path).because(error)?;
            Ok(tree)
        }
        Rootfs::Overlay(overlay) => mount_overlay(overlay),
    }
}

/// A directory as a mount of its own, which pivot_root wants, attached nowhere yet.
pub(crate) fn clone_directory(path: &Path) -> Result<OwnedFd, InitError> {
    let error = |cause| InitError::Root {
        messages: vec![path.display().to_string()],
        cause,
    };
    let tree = sys::mount::clone_path(path, Recursion::Subtree).because(error)?;
    let private = Attributes {
        propagation: Some(Propagation::Private),
        recursive: true,
        ..Attributes::default()
    };
    sys::mount::set_attributes(tree.as_fd(), private).because(error)?;
    Ok(tree)
}

fn mount_overlay(overlay: &Overlay) -> Result<OwnedFd, InitError> {
    // A lone layer that nobody writes to needs no overlay, which wants at least two directories.
    match (&overlay.upper, overlay.lower.as_slice()) {
        (None, [layer]) => mount(&Rootfs::Directory(layer.clone())),
        _ => overlay::mount_attached(overlay),
    }
}

/// Attaches a root that the caller has made where nothing is looked up any more: on top of this namespace's own, which goes
/// with the pivot. Paths are still looked up below it, because our root directory stays what it was.
pub(super) fn attach(root: &OwnedFd) -> Result<(), InitError> {
    overlay::attach_over(root, Path::new("/")).because(|cause| InitError::Root {
        messages: Vec::new(),
        cause,
    })
}

/// The last attributes of the root: read-only if asked for, and how mounts made by the host below it travel.
pub(super) fn finish(root: BorrowedFd<'_>, spec: &Spec) -> Result<(), InitError> {
    if spec
        .root()
        .as_ref()
        .and_then(|root| root.readonly())
        .unwrap_or(false)
    {
        let error = |cause| InitError::ReadOnly {
            path: "/".to_owned(),
            cause,
        };
        sys::mount::set_attributes(root, Attributes::read_only()).because(error)?;
    }
    let wanted = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.rootfs_propagation().as_deref());
    let propagation = match wanted {
        Some("shared" | "rshared") => Propagation::Shared,
        Some("slave" | "rslave") => Propagation::Slave,
        Some("unbindable" | "runbindable") => Propagation::Unbindable,
        _ => return Ok(()),
    };
    let change = Attributes {
        propagation: Some(propagation),
        ..Attributes::default()
    };
    sys::mount::set_attributes(root, change).because(|cause| InitError::Root {
        messages: Vec::new(),
        cause,
    })
}
