//! Mounts whose source only the engine can make, made in no namespace and attached in the container: the files of another
//! image (`--mount type=image`) and the `/dev/shm` of the container whose IPC namespace is joined.
//!
//! Source: Docker CLI reference (`--mount type=image`, `--ipc`), open_tree(2), setns(2).

use super::record::ContainerRecord;
use crate::error::{Error, Result};
use crate::spec::{Facts, Source};
use model::mount::MountKind;
use rustix::fs::OFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::mount::Recursion;
use sys::namespace::flags;

/// A mount and its place in the container.
pub(super) type Tree = (PathBuf, OwnedFd);

pub(super) fn make(container: &ContainerRecord, facts: &Facts) -> Result<Vec<Tree>> {
    let mut trees = Vec::new();
    for mount in &container.mounts {
        let (MountKind::Image { subpath, reference }, Some(image)) =
            (&mount.mount.kind, &mount.image)
        else {
            continue;
        };
        let subpath = subpath.as_deref().map(Path::new);
        let tree = runtime::image_tree(&image.files(), subpath).map_err(|e| {
            let part = subpath.map_or_else(String::new, |path| format!(" ({})", path.display()));
            let cause = chain(&e);
            Error::invalid(format!("cannot mount image {reference}{part}"), cause)
        })?;
        trees.push((PathBuf::from(&mount.mount.target), tree));
    }
    let covered = container
        .mounts
        .iter()
        .any(|m| m.mount.target == "/dev/shm");
    if let Source::Process(pid) = facts.ipc
        && !covered
    {
        let shared = shared_memory(pid).map_err(Error::system(
            "share /dev/shm of the container whose IPC namespace is joined",
        ))?;
        trees.push((PathBuf::from("/dev/shm"), shared));
    }
    Ok(trees)
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The monitor, which has one thread, enters the other container's mount namespace and comes back: a mount can be cloned only
/// from within. Links of that container are not followed out of it.
fn shared_memory(pid: i32) -> std::io::Result<OwnedFd> {
    let own = sys::namespace::open_own("mnt")?;
    let theirs = sys::namespace::open(pid, "mnt")?;
    sys::namespace::enter(theirs, flags::NEWNS)?;
    let cloned = sys::mount::open_root(Path::new("/")).and_then(|root| {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let found = sys::path::open_in_root(root.as_fd(), Path::new("dev/shm"), flags)?;
        sys::mount::clone_tree(found.as_fd(), c"", Recursion::None)
    });
    sys::namespace::enter(own, flags::NEWNS)?;
    cloned
}
