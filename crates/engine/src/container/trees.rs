//! Mounts whose source only the engine can make, made in no namespace and attached in the container: the files of another
//! image (`--mount type=image`), volumes that are file systems of their own, and the `/dev/shm` of the container whose IPC
//! namespace is joined.
//!
//! Source: Docker CLI reference (`--mount type=image`, `--ipc`), open_tree(2), setns(2).

use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result, chain};
use crate::spec::{Facts, Source};
use crate::volume::{self, Filesystem};
use model::mount::MountKind;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::lock::FileLock;
use sys::mount::{ATIME_FIELD, Attributes, Flags, Recursion};
use sys::namespace::flags;

/// A mount and its place in the container.
pub(super) type Tree = (PathBuf, OwnedFd);

/// What was made for a container that is about to start.
#[derive(Debug, Default)]
pub(super) struct Trees {
    pub(super) trees: Vec<Tree>,
    /// Held until it has started: then others find what it mounts.
    _locks: Vec<FileLock>,
}

pub(super) fn make(ctx: &Context, container: &ContainerRecord, facts: &Facts) -> Result<Trees> {
    let volumes = filesystems(ctx, container)?;
    let locks = lock_memory(ctx, &volumes)?;
    let mut trees = Vec::new();
    for mount in &container.mounts {
        let volume = mount.volume.as_ref();
        let filesystem = volume.and_then(|name| Some((name, volumes.get(name)?)));
        let tree = match (filesystem, &mount.mount.kind, &mount.image) {
            (Some((name, memory)), _, _) if memory.is_memory() => {
                shared_volume(ctx, container, name, memory)?
            }
            (Some((_, remote)), _, _) => remote.mount()?,
            (None, MountKind::Image { subpath, reference }, Some(image)) => {
                image_files(&image.files(), subpath.as_deref(), reference)?
            }
            _ => continue,
        };
        trees.push((PathBuf::from(&mount.mount.target), tree));
    }
    trees.extend(shared_memory(container, facts)?);
    Ok(Trees {
        trees,
        _locks: locks,
    })
}

/// Its volumes that are file systems of their own, by name.
fn filesystems(ctx: &Context, container: &ContainerRecord) -> Result<BTreeMap<String, Filesystem>> {
    let mut found = BTreeMap::new();
    for name in container.mounts.iter().filter_map(|m| m.volume.as_ref()) {
        if let Some(filesystem) = volume::find(ctx, name)?.filesystem()? {
            found.insert(name.clone(), filesystem);
        }
    }
    Ok(found)
}

/// One lock for each volume in memory, in the order of their names: two that start at once and want two of them never wait for
/// each other.
fn lock_memory(ctx: &Context, volumes: &BTreeMap<String, Filesystem>) -> Result<Vec<FileLock>> {
    let memory = volumes.iter().filter(|(_, f)| f.is_memory());
    let locks = memory.map(|(name, _)| {
        let path = ctx.layout.lock("volume-mount", name);
        FileLock::exclusive(&path).map_err(Error::file("lock", path))
    });
    locks.collect()
}

/// The files of another image.
fn image_files(layers: &[PathBuf], subpath: Option<&str>, reference: &str) -> Result<OwnedFd> {
    let subpath = subpath.map(Path::new);
    runtime::image_tree(layers, subpath).map_err(|e| {
        let part = subpath.map_or_else(String::new, |path| format!(" ({})", path.display()));
        let cause = chain(&e);
        Error::invalid(format!("cannot mount image {reference}{part}"), cause)
    })
}

/// The `/dev/shm` of the container whose IPC namespace is joined, unless something else is mounted there.
fn shared_memory(container: &ContainerRecord, facts: &Facts) -> Result<Option<Tree>> {
    const PLACE: &str = "/dev/shm";
    let mut mounts = container.mounts.iter();
    let Source::Process(pid) = facts.ipc else {
        return Ok(None);
    };
    if mounts.any(|m| m.mount.target == PLACE) {
        return Ok(None);
    }
    let shared = of_process(pid, Path::new("dev/shm")).map_err(Error::system(
        "share /dev/shm of the container whose IPC namespace is joined",
    ))?;
    Ok(Some((PathBuf::from(PLACE), shared)))
}

/// The memory of a volume: that of a container which runs, else new.
fn shared_volume(
    ctx: &Context,
    container: &ContainerRecord,
    name: &str,
    filesystem: &Filesystem,
) -> Result<OwnedFd> {
    for other in ContainerRecord::list(ctx)? {
        let mut mounts = other.mounts.iter();
        let Some(mount) = mounts.find(|m| m.volume.as_deref() == Some(name)) else {
            continue;
        };
        let Some(process) = State::load(ctx, other.id.as_str())?.process() else {
            continue;
        };
        if other.id == container.id {
            continue;
        }
        // One that has just ended has nothing to share.
        let target = Path::new(mount.mount.target.trim_start_matches('/'));
        if let Ok(tree) = of_process(process.pid, target) {
            let plain = Attributes {
                clear: u64::from(FLAGS.bits()) | ATIME_FIELD,
                ..Attributes::default()
            };
            sys::mount::set_attributes(tree.as_fd(), plain)
                .map_err(Error::system(format!("share volume {name}")))?;
            return Ok(tree);
        }
    }
    filesystem.mount()
}

/// What the other one's own mount of a volume may have been told.
const FLAGS: Flags = Flags::MOUNT_ATTR_RDONLY
    .union(Flags::MOUNT_ATTR_NOSUID)
    .union(Flags::MOUNT_ATTR_NODEV)
    .union(Flags::MOUNT_ATTR_NOEXEC)
    .union(Flags::MOUNT_ATTR_NODIRATIME);

/// The monitor, which has one thread, enters the other container's mount namespace and comes back: a mount can be cloned only
/// from within. Links of that container are not followed out of it.
fn of_process(pid: i32, path: &Path) -> std::io::Result<OwnedFd> {
    let own = sys::namespace::open_own("mnt")?;
    let theirs = sys::namespace::open(pid, "mnt")?;
    sys::namespace::enter(theirs, flags::NEWNS)?;
    let cloned = sys::mount::open_root(Path::new("/")).and_then(|root| {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let found = sys::path::open_in_root(root.as_fd(), path, flags)?;
        sys::mount::clone_tree(found.as_fd(), c"", Recursion::None)
    });
    sys::namespace::enter(own, flags::NEWNS)?;
    cloned
}
