//! The sources of a sandbox's mounts, made in the role's own mount namespace: each ends up at a path below the scratch
//! directory, from where init binds it. Nothing of it shows on the host, and all of it goes with the namespace.

use super::{Access, MountSource, SandboxMount};
use crate::error::{Error, Result};
use model::mount::{Mount, MountKind};
use rustix::fs::{FileType, Mode, OFlags};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::mount::{Attributes, Flags, FsContext, Recursion};

/// The scratch directory with a tmpfs over it.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Enters a mount namespace of its own and mounts the tmpfs.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let failed = |what| Error::system(format!("{what} for the sandbox"));
        sys::namespace::unshare(sys::namespace::flags::NEWNS)
            .map_err(failed("make a mount namespace"))?;
        // Slave: what the host unmounts later is not held by us, and nothing of ours travels to the host.
        sys::mount::set_root_propagation(sys::mount::Propagation::Slave)
            .map_err(failed("separate the mounts"))?;
        let tmpfs = sys::mount::new_filesystem(
            "tmpfs",
            &[("mode", Some("0755"))],
            Flags::MOUNT_ATTR_NOSUID,
        );
        let tmpfs = tmpfs.map_err(failed("make a tmpfs"))?;
        let place = sys::mount::open_root(path).map_err(Error::file("open", path))?;
        sys::mount::attach(tmpfs.as_fd(), place.as_fd())
            .map_err(Error::file("mount a tmpfs at", path))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    pub(super) fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<PathBuf> {
        let path = self.path.join(name);
        let mut file = std::fs::File::create(&path).map_err(Error::file("write", &path))?;
        file.write_all(content)
            .map_err(Error::file("write", &path))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))
            .map_err(|e| Error::file("write", &path)(e.into()))?;
        Ok(path)
    }

    /// Makes one mount's source and describes the mount as a container's.
    pub(super) fn prepare(&self, number: usize, mount: &SandboxMount) -> Result<Mount> {
        let place = self.path.join(format!("mount-{number}"));
        let read_only = match &mount.source {
            MountSource::Tmpfs { size } => {
                let kind = MountKind::Tmpfs {
                    size: *size,
                    mode: None,
                    options: Vec::new(),
                };
                return Ok(Mount {
                    kind,
                    target: mount.target.clone(),
                    read_only: false,
                });
            }
            MountSource::File {
                content,
                uid,
                gid,
                mode,
            } => {
                self.write(&format!("mount-{number}"), content, *mode)?;
                let (uid, gid) = (
                    rustix::fs::Uid::from_raw(*uid),
                    rustix::fs::Gid::from_raw(*gid),
                );
                let owned = rustix::fs::chown(&place, Some(uid), Some(gid));
                owned.map_err(|e| Error::file("set the owner of", &place)(e.into()))?;
                true
            }
            MountSource::Directory { root, path, access } => {
                let opened = match access {
                    Access::Discarded => self.overlay(number, std::slice::from_ref(root), true)?,
                    _ => sys::mount::open_root(root).map_err(Error::file("open", root))?,
                };
                self.bind(&opened, root, path, &place)?;
                *access == Access::ReadOnly
            }
            MountSource::Layers {
                layers,
                path,
                access,
            } => {
                let root = self.overlay(number, layers, *access != Access::ReadOnly)?;
                self.bind(&root, Path::new("/"), path, &place)?;
                *access == Access::ReadOnly
            }
        };
        let kind = MountKind::Bind {
            source: place.display().to_string(),
            create_source: false,
            propagation: None,
            recursion: model::mount::Recursion::Disabled,
        };
        Ok(Mount {
            kind,
            target: mount.target.clone(),
            read_only,
        })
    }

    /// Binds what `path` names beneath `root` at `place`.
    fn bind(&self, root: &OwnedFd, shown: &Path, path: &Path, place: &Path) -> Result<()> {
        let whole = shown.join(path.strip_prefix("/").unwrap_or(path));
        let found =
            sys::path::open_in_root(root.as_fd(), path, OFlags::PATH).map_err(|e| {
                match e.raw_os_error() {
                    Some(2) => Error::invalid(
                        format!("cannot mount {}", whole.display()),
                        "it does not exist",
                    ),
                    _ => Error::file("open", &whole)(e),
                }
            })?;
        let stat =
            rustix::fs::fstat(&found).map_err(|e| Error::file("look at", &whole)(e.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => std::fs::create_dir(place),
            _ => std::fs::File::create(place).map(drop),
        }
        .map_err(Error::file("make", place))?;
        let tree = sys::mount::clone_tree(found.as_fd(), c"", Recursion::None)
            .map_err(Error::file("bind", &whole))?;
        let target = rustix::fs::open(place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let target = target.map_err(|e| Error::file("open", place)(e.into()))?;
        sys::mount::attach(tree.as_fd(), target.as_fd()).map_err(Error::file("bind", &whole))
    }

    /// Mounts merged layers below the scratch directory; with `writable`, what is written goes to the tmpfs.
    fn overlay(&self, number: usize, layers: &[PathBuf], writable: bool) -> Result<OwnedFd> {
        let make = |what: &str| {
            let path = self.path.join(format!("{what}-{number}"));
            std::fs::create_dir(&path)
                .map_err(Error::file("make", &path))
                .map(|()| path)
        };
        let place = make("root")?;
        let failed = |e: std::io::Error| Error::file("mount the layers at", &place)(e);
        let empty = make("empty")?;
        let lower = layers.iter().rev();
        // Without an upper directory overlayfs wants two layers at least.
        let lower = lower.chain((layers.len() < 2).then_some(&empty));
        let lower: Vec<&Path> = lower.map(PathBuf::as_path).collect();
        let (above, attributes) = match writable {
            true => (Some((make("upper")?, make("work")?)), Flags::empty()),
            false => (None, Flags::MOUNT_ATTR_RDONLY),
        };
        let configure = |context: &FsContext| match &above {
            None => Ok(()),
            Some((upper, work)) => {
                context.set("upperdir", upper.as_path())?;
                context.set("workdir", work.as_path())
            }
        };
        let mount = sys::layer::overlay(&lower, attributes, configure).map_err(failed)?;
        let target = sys::mount::open_root(&place).map_err(failed)?;
        sys::mount::attach(mount.as_fd(), target.as_fd()).map_err(failed)?;
        let private = Attributes {
            propagation: Some(sys::mount::Propagation::Private),
            ..Attributes::default()
        };
        sys::mount::set_attributes(mount.as_fd(), private).map_err(failed)?;
        Ok(mount)
    }
}
