//! `export`: a container's files as one tar, without what is mounted over them.
//!
//! Of a running container it is the container's own root mount, cloned in its mount namespace without the mounts below it;
//! of another one the layers are mounted as they would be at its start. Source: Docker CLI reference (`docker export`),
//! open_tree(2), setns(2).

use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use image::layer::Manner;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::mount::Recursion;
use sys::namespace::flags;

/// Writes the container's files; the names are sorted.
pub fn export(ctx: &Context, container: &ContainerRecord, out: impl Write) -> Result<()> {
    let process = State::load(ctx, container.id.as_str())?.process();
    let of_running = process.and_then(|process| {
        let root = own_root(process.pid);
        // Opened through a number: make sure it was still that process.
        process.is_alive().then_some(root)
    });
    let (root, live) = match of_running {
        Some(root) => (
            root.map_err(Error::system(format!(
                "look at the files of container {}",
                container.name
            )))?,
            true,
        ),
        None => {
            let overlay = runtime::Overlay {
                volatile: false,
                ..super::birth::overlay(ctx, container)
            };
            (runtime::mount_detached(&overlay)?, false)
        }
    };
    let ids = container.userns;
    // A mount with ids of its own shows those of the host.
    let owners = move |uid, gid| ids.map_or((uid, gid), |ids| ids.inside(uid, gid));
    let manner = Manner {
        owners: &owners,
        live,
    };
    image::archive::write(root.as_fd(), manner, out)
        .map(drop)
        .map_err(|error| Error::Image(error_of(container, error)))
}

fn error_of(container: &ContainerRecord, source: image::layer::PackError) -> image::Error {
    image::Error::Pack {
        dir: format!("/ of container {}", container.name).into(),
        source,
    }
}

/// The root mount of a process alone. A mount is cloned only from within its namespace.
fn own_root(pid: i32) -> std::io::Result<OwnedFd> {
    sys::aside::roaming(|| {
        let theirs = sys::namespace::open(pid, "mnt")?;
        sys::namespace::enter(theirs, flags::NEWNS)?;
        let root = sys::mount::open_root(Path::new("/"))?;
        sys::mount::clone_tree(root.as_fd(), c"", Recursion::None)
    })?
}
