//! The merged view of layers as a directory handle: COPY writes through it, so that the kernel makes the whiteouts,
//! opaque directories and copy-ups that the layer needs.

use crate::error::Cause;
use crate::workspace::{Upper, Workspace};
use rustix::fs::{Mode, OFlags};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Mounts `layers`, lowest first, with `upper` on top or as they are. The mount shows nowhere and goes with the handle.
pub(crate) fn mount(
    workspace: &Workspace,
    layers: &[PathBuf],
    upper: Option<&Upper>,
) -> Result<OwnedFd, Cause> {
    let mut lower = layers.to_vec();
    // Without an upper directory overlayfs wants two layers, and with one it wants any.
    if lower.len() < 2 {
        lower.insert(0, workspace.empty());
    }
    let overlay = runtime::Overlay {
        lower,
        upper: upper.map(|upper| (upper.upper(), upper.work())),
        // No syncing here: the layer is synced once, when it is committed.
        volatile: true,
        idmap: None,
    };
    let mount =
        runtime::mount_detached(&overlay).map_err(|error| Cause::Overlay(Box::new(error)))?;
    // An O_PATH handle of the mount: opened, it is a directory to read.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&mount, ".", flags, Mode::empty())
        .map_err(|errno| Cause::io("open", "/")(errno.into()))
}
