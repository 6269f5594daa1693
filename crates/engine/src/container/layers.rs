//! Layers that are files, mounted once for all containers: every mount of such a file is a file system of its own to the kernel, with a
//! page cache of its own. Whoever mounts one writes down which descriptor of which process holds it, and the next to start takes a copy
//! of that (pidfd_getfd(2)). Each monitor holds what its container runs on, so a mount goes with the last of them; nothing is attached
//! anywhere, and what is written of a process that is gone is passed over.
//!
//! Before Linux 6.15 an overlay takes only what is attached in its maker's mount namespace, and a mount that is attached nowhere cannot
//! be copied. There the first attaches the layers in a namespace that has nothing else, the next take that one's descriptor as well, and
//! each enters it for a copy that its own container attaches.

use super::state::ProcessRef;
use crate::context::Context;
use crate::error::{Error, chain};
use rustix::fs::fstat;
use serde::{Deserialize, Serialize};
use state::{Durability, record};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Layers as an overlay takes them, while this is held.
#[derive(Debug)]
pub(super) struct Lower {
    pub(super) paths: Vec<PathBuf>,
    /// What those that are files are mounted by.
    pub(super) held: Vec<OwnedFd>,
    /// Where the kernel wants layers attached: copies of those, for this container alone.
    _lent: Vec<OwnedFd>,
    /// Where those that nobody had mounted are to be had, and the file that others look for it in.
    news: News,
}

/// A mounted layer.
#[derive(Debug)]
struct Share {
    mount: OwnedFd,
    /// The mount namespace that it is attached in, where the kernel wants it in one.
    namespace: Option<OwnedFd>,
}

/// Where a mounted layer is to be had.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    process: ProcessRef,
    descriptor: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<i32>,
    /// The device number that the kernel gave the mount: a descriptor's number may mean something else by now.
    device: u64,
}

/// The files that notes go to, and the notes.
type News = Vec<(PathBuf, Holder)>;

/// Mounts the layers that are files, or takes part in those of others.
pub(super) fn hold(ctx: &Context, layers: &[PathBuf]) -> io::Result<Lower> {
    let files = layers.iter().filter(|layer| sys::layer::is_image(layer));
    let files: Vec<&Path> = files.map(PathBuf::as_path).collect();
    let had = files.iter().map(|layer| share(ctx, layer)).collect();
    let (mut shares, mut news) = mount_missing(ctx, &files, had)?;
    let lent = match lend(&shares) {
        Ok(lent) => lent,
        // A holder that ended a moment ago, perhaps: then without the others.
        Err(_) => {
            (shares, news) = mount_missing(ctx, &files, files.iter().map(|_| None).collect())?;
            lend(&shares)?
        }
    };
    let mounted = shares.iter().map(|share| &share.mount);
    let given: Vec<&OwnedFd> = match lent.is_empty() {
        true => mounted.collect(),
        false => lent.iter().collect(),
    };
    let mut given = given.into_iter().map(sys::layer::by_descriptor);
    let mut path = |layer: &PathBuf| match sys::layer::is_image(layer) {
        true => given.next(),
        false => None,
    };
    let paths = layers
        .iter()
        .map(|layer| path(layer).unwrap_or_else(|| layer.clone()));
    Ok(Lower {
        paths: paths.collect(),
        held: shares.into_iter().flat_map(Share::into_held).collect(),
        _lent: lent,
        news,
    })
}

impl Lower {
    /// Writes down what is mounted here. That others find it is a saving and no more, so it may be done late, and fail.
    pub(super) fn write_down(&self, ctx: &Context) {
        for (note, holder) in &self.news {
            let write = || record::write(note, holder, Durability::Volatile);
            if write().is_err() {
                let directory = ctx.layout.run_layers();
                let _ = DirBuilder::new().mode(0o700).create(directory);
                let _ = write();
            }
        }
    }
}

/// What somebody else has mounted.
fn share(ctx: &Context, layer: &Path) -> Option<Share> {
    let holder = record::read::<Holder>(&note(ctx, layer)?).ok()??;
    holder.borrow().ok()
}

fn mount_missing(
    ctx: &Context,
    files: &[&Path],
    shares: Vec<Option<Share>>,
) -> io::Result<(Vec<Share>, News)> {
    let missing = files.iter().zip(&shares).filter(|(_, s)| s.is_none());
    let missing: Vec<&Path> = missing.map(|(file, _)| *file).collect();
    let mounted = mount(&missing)?;
    let news = missing.iter().zip(&mounted);
    let news = news.filter_map(|(file, share)| Some((note(ctx, file)?, Holder::of(share).ok()?)));
    let news = news.collect();
    let mut mounted = mounted.into_iter();
    let shares = shares
        .into_iter()
        .map(|share| share.or_else(|| mounted.next()));
    Ok((shares.flatten().collect(), news))
}

fn mount(files: &[&Path]) -> io::Result<Vec<Share>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    if sys::layer::takes_detached() {
        let alone = |mount| Share {
            mount,
            namespace: None,
        };
        return files
            .iter()
            .map(|file| sys::layer::open(file).map(alone))
            .collect();
    }
    let (mounts, namespace) = sys::layer::attach_apart(files)?;
    let attached = |mount| {
        let namespace = Some(namespace.try_clone()?);
        Ok(Share { mount, namespace })
    };
    mounts.into_iter().map(attached).collect()
}

/// Copies for an overlay, where it takes no mount that others have, too; else none.
fn lend(shares: &[Share]) -> io::Result<Vec<OwnedFd>> {
    let attached = shares.iter().filter_map(Share::attached);
    let attached: Vec<_> = attached.collect();
    match attached.len() {
        0 => Ok(Vec::new()),
        all if all == shares.len() => sys::layer::copy(&attached),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

impl Share {
    fn attached(&self) -> Option<(BorrowedFd<'_>, BorrowedFd<'_>)> {
        let namespace = self.namespace.as_ref()?;
        Some((self.mount.as_fd(), namespace.as_fd()))
    }

    fn into_held(self) -> impl Iterator<Item = OwnedFd> {
        std::iter::once(self.mount).chain(self.namespace)
    }
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
    let action = "start on layers that are files: Linux 6.12 takes such if it has EROFS of files (CONFIG_EROFS_FS_BACKED_BY_FILE), this \
                  kernel does not, and `dockless system migrate` makes directories of them";
    Error::system(action)(io::Error::other(chain(&error)))
}

/// The file in which a layer's holder is written down, named as the layer is.
fn note(ctx: &Context, layer: &Path) -> Option<PathBuf> {
    let name = layer.parent()?.file_name()?;
    Some(ctx.layout.run_layers().join(name))
}

impl Holder {
    fn of(share: &Share) -> io::Result<Self> {
        Ok(Self {
            process: ProcessRef::current()?,
            descriptor: share.mount.as_raw_fd(),
            namespace: share.namespace.as_ref().map(AsRawFd::as_raw_fd),
            device: fstat(&share.mount)?.st_dev,
        })
    }

    fn borrow(&self) -> io::Result<Share> {
        let ProcessRef { pid, start_time } = self.process;
        let process = sys::process::pidfd_open_verified(pid, start_time)?;
        let take = |descriptor| sys::process::pidfd_getfd(&process, descriptor);
        let mount = take(self.descriptor)?;
        if fstat(&mount)?.st_dev != self.device || !sys::layer::is_mounted_image(&mount)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        // One that is another by now does not have the mount, and no copy is had.
        let namespace = self.namespace.map(take).transpose()?;
        Ok(Share { mount, namespace })
    }
}
