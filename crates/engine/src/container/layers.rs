//! Layers that are files, mounted once for all containers: every mount of such a file is a file system of its own to the kernel, with a
//! page cache of its own. Whoever mounts one writes down which descriptor of which process holds it, and the next to start takes a copy
//! of that (pidfd_getfd(2)). Each monitor holds what its container runs on, so a mount goes with the last of them; nothing is attached
//! anywhere, and what is written of a process that is gone is passed over.

use super::state::ProcessRef;
use crate::context::Context;
use crate::error::{Error, chain};
use rustix::fs::fstat;
use serde::{Deserialize, Serialize};
use state::{Durability, record};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Layers as an overlay takes them, while this is held.
#[derive(Debug)]
pub(super) struct Lower {
    pub(super) paths: Vec<PathBuf>,
    /// Of those that are files.
    pub(super) mounts: Vec<OwnedFd>,
}

/// Where a mounted layer is to be had.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    process: ProcessRef,
    descriptor: i32,
    /// The device number that the kernel gave the mount: a descriptor's number may mean something else by now.
    device: u64,
}

/// Mounts the layers that are files, or takes part in those of others.
pub(super) fn hold(ctx: &Context, layers: &[PathBuf]) -> io::Result<Lower> {
    let mut lower = Lower {
        paths: Vec::with_capacity(layers.len()),
        mounts: Vec::new(),
    };
    for layer in layers {
        if !sys::layer::is_image(layer) {
            lower.paths.push(layer.clone());
            continue;
        }
        let mount = hold_one(ctx, layer)?;
        lower
            .paths
            .push(format!("/proc/self/fd/{}", mount.as_raw_fd()).into());
        lower.mounts.push(mount);
    }
    Ok(lower)
}

fn hold_one(ctx: &Context, layer: &Path) -> io::Result<OwnedFd> {
    let Some(note) = note(ctx, layer) else {
        return sys::layer::open(layer);
    };
    if let Ok(Some(holder)) = record::read::<Holder>(&note)
        && let Ok(mount) = holder.borrow()
    {
        return Ok(mount);
    }
    let mount = sys::layer::open(layer)?;
    // That others find it is a saving and no more.
    if let Ok(holder) = Holder::of(&mount) {
        let _ = DirBuilder::new()
            .mode(0o700)
            .create(ctx.layout.run_layers());
        let _ = record::write(&note, &holder, Durability::Volatile);
    }
    Ok(mount)
}

/// What keeps a container from its layers where the kernel is older than the one they were pulled on.
pub(super) fn explain(ctx: &Context, layers: &[PathBuf], error: Error) -> Error {
    let takes_files = || -> Result<bool, Error> {
        let store = ctx.images()?;
        Ok(store.layers().takes_files().map_err(image::Error::from)?)
    };
    if !layers.iter().any(|layer| sys::layer::is_image(layer)) || takes_files().unwrap_or(true) {
        return error;
    }
    let action = "start on layers that are files: Linux 6.15 takes such, this kernel does not, and `dockless system migrate` makes \
                  directories of them";
    Error::system(action)(io::Error::other(chain(&error)))
}

/// The file in which a layer's holder is written down, named as the layer is.
fn note(ctx: &Context, layer: &Path) -> Option<PathBuf> {
    let name = layer.parent()?.file_name()?;
    Some(ctx.layout.run_layers().join(name))
}

impl Holder {
    fn of(mount: &OwnedFd) -> io::Result<Self> {
        Ok(Self {
            process: ProcessRef::current()?,
            descriptor: mount.as_raw_fd(),
            device: fstat(mount)?.st_dev,
        })
    }

    fn borrow(&self) -> io::Result<OwnedFd> {
        let ProcessRef { pid, start_time } = self.process;
        let process = sys::process::pidfd_open_verified(pid, start_time)?;
        let mount = sys::process::pidfd_getfd(&process, self.descriptor)?;
        match fstat(&mount)?.st_dev == self.device && sys::layer::is_mounted_image(&mount)? {
            true => Ok(mount),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
