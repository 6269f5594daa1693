//! `cp`: files between the host and a container, running or not.
//!
//! A container's side is only ever reached through a handle of its root and `openat2(RESOLVE_IN_ROOT)`: whatever
//! links the container makes meanwhile, nothing outside of its root is read or written (CVE-2018-15664,
//! CVE-2019-14271; no program of the container is executed either).
//! Source: Docker CLI reference (`docker cp`) for what lands where.

mod pack;
mod sync;
#[cfg(test)]
mod tests;
mod unpack;

pub use pack::pack;
pub use sync::sync;
pub use unpack::{Owner, unpack};

use crate::container::record::ContainerRecord;
use crate::container::state::State;
use crate::container::userns::UsernsRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// One side of a copy: a root, and what is mounted over parts of it.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
    /// Of a container that does not run: target → handle of the volume or bound directory, longest first.
    mounts: Vec<(PathBuf, OwnedFd)>,
    below: Links,
    /// Of a running container with ids of its own: its files are shown with those, and made by them.
    ids: Option<UsernsRecord>,
}

/// What links mean on the way from the directory that is unpacked into to an entry's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    /// They stay in the container's root, so they are followed as the container would.
    Followed,
    /// On the host they would lead anywhere, and what is unpacked there comes from a container.
    Refused,
}

/// What a path is, following links on the way but not at the end unless asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub kind: Kind,
    pub mode: u32,
    pub size: u64,
    pub mtime: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Link,
    Other,
}

impl View {
    /// The host itself.
    pub fn host() -> Result<Self> {
        Ok(Self {
            root: open_directory(Path::new("/"))?,
            mounts: Vec::new(),
            below: Links::Refused,
            ids: None,
        })
    }

    pub(crate) fn is_host(&self) -> bool {
        self.below == Links::Refused
    }

    /// A container's files as it sees them.
    pub fn container(ctx: &Context, container: &ContainerRecord) -> Result<Self> {
        if let Some(process) = State::load(ctx, container.id.as_str())?.process() {
            let root = open_directory(&PathBuf::from(format!("/proc/{}/root", process.pid)))?;
            // Opened through a number: make sure it was still that process.
            if process.is_alive() {
                return Ok(Self {
                    root,
                    mounts: Vec::new(),
                    below: Links::Followed,
                    ids: container.userns,
                });
            }
        }
        Self::stopped(ctx, container)
    }

    /// Mounts the layers, attached nowhere: the mount goes with the handle.
    fn stopped(ctx: &Context, container: &ContainerRecord) -> Result<Self> {
        let overlay = runtime::Overlay {
            volatile: false,
            idmap: None,
            ..crate::container::birth::overlay(ctx, container)
        };
        let root = runtime::mount_detached(&overlay)?;
        let mut mounts = Vec::new();
        for mount in &container.mounts {
            let source = match (&mount.volume, &mount.mount.kind) {
                (Some(volume), _) => {
                    let volume = crate::volume::find(ctx, volume)?;
                    if volume.filesystem()?.is_some() {
                        continue; // it is there while a container runs
                    }
                    volume.mountpoint(ctx)
                }
                (None, model::mount::MountKind::Bind { source, .. }) => PathBuf::from(source),
                _ => continue,
            };
            if source.is_dir() {
                mounts.push((PathBuf::from(&mount.mount.target), open_directory(&source)?));
            }
        }
        mounts.sort_by_key(|(target, _)| std::cmp::Reverse(target.components().count()));
        Ok(Self {
            root,
            mounts,
            below: Links::Followed,
            ids: None,
        })
    }

    /// The handle a path is looked up in, and the path there.
    fn locate<'a>(&'a self, path: &'a Path) -> (BorrowedFd<'a>, &'a Path) {
        for (target, fd) in &self.mounts {
            if let Ok(rest) = path.strip_prefix(target) {
                return (fd.as_fd(), rest);
            }
        }
        (self.root.as_fd(), path)
    }

    /// Opens a path, links followed within the root.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> std::io::Result<OwnedFd> {
        let (root, rest) = self.locate(path);
        let rest = if rest.as_os_str().is_empty() {
            Path::new(".")
        } else {
            rest
        };
        sys::path::open_in_root(root, rest, flags | OFlags::CLOEXEC)
    }

    /// Opens a directory below another one.
    fn open_below(&self, directory: &Path, path: &Path) -> std::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.below {
            Links::Followed => self.open(&directory.join(path), flags),
            Links::Refused => {
                let top = self.open(directory, flags)?;
                sys::path::open_without_links(top.as_fd(), path, flags)
            }
        }
    }

    /// `None`: there is no such file.
    pub fn stat(&self, path: &Path, follow: bool) -> Result<Option<Stat>> {
        let last = if follow {
            OFlags::empty()
        } else {
            OFlags::NOFOLLOW
        };
        let fd = match self.open(path, OFlags::PATH | last) {
            Ok(fd) => fd,
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(Error::file("look at", path)(e)),
        };
        let stat = rustix::fs::statat(&fd, "", AtFlags::EMPTY_PATH)
            .map_err(|e| Error::file("look at", path)(e.into()))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        Ok(Some(Stat {
            kind,
            mode: stat.st_mode,
            size: stat.st_size as u64,
            mtime: stat.st_mtime,
        }))
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| Error::file("open", path)(e.into()))
}

/// How a copy is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// `-a`: owners are kept.
    pub archive: bool,
    /// `-L`: a link as the source stands for what it points to.
    pub follow: bool,
}

/// Copies one file or directory from one side to the other, by Docker's rules.
pub fn transfer(
    from: &View,
    source: &str,
    to: &View,
    target: &str,
    options: Options,
) -> Result<()> {
    let (source_path, target_path) = (normal(source), normal(target));
    let missing = |path: &str| {
        Error::invalid(
            format!("Could not find the file {path}"),
            "no such file or directory",
        )
    };
    let found = from
        .stat(&source_path, options.follow)?
        .ok_or_else(|| missing(source))?;
    let contents_only = source.ends_with("/.") || source == ".";
    let place = place(
        &found,
        contents_only,
        &source_path,
        to,
        target,
        &target_path,
    )?;
    let (mut read, mut write) = std::io::pipe().map_err(Error::system("make a pipe"))?;
    let owner = if options.archive {
        Owner::Keep
    } else {
        Owner::Root
    };
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || {
            let result = pack(from, &source_path, &place.name, options.follow, &mut write);
            drop(write);
            result
        });
        let unpacked = unpack(to, &place.directory, owner, &mut read);
        drop(read);
        let packed = packing
            .join()
            .unwrap_or_else(|_| Err(Error::Refused("copying ended unexpectedly".into())));
        // A reader that failed makes the writer fail with a broken pipe; the reader's error is the cause.
        unpacked.and(packed)
    })
}

/// Where the archive is unpacked, and under which name; an empty name means the content alone.
struct Place {
    directory: PathBuf,
    name: String,
}

fn place(
    found: &Stat,
    contents_only: bool,
    source: &Path,
    to: &View,
    target: &str,
    path: &Path,
) -> Result<Place> {
    let own_name = |p: &Path| {
        p.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let parent = |p: &Path| p.parent().unwrap_or(Path::new("/")).to_owned();
    match (to.stat(path, true)?.map(|s| s.kind), found.kind) {
        (Some(Kind::Directory), Kind::Directory) if contents_only => Ok(Place {
            directory: path.to_owned(),
            name: String::new(),
        }),
        (Some(Kind::Directory), _) => Ok(Place {
            directory: path.to_owned(),
            name: own_name(source),
        }),
        (Some(_), Kind::Directory) => Err(Error::invalid(
            format!("cannot copy directory to {target}"),
            "it is a file",
        )),
        (Some(_), _) => Ok(Place {
            directory: parent(path),
            name: own_name(path),
        }),
        (None, kind) => {
            if kind != Kind::Directory && target.ends_with('/') {
                return Err(Error::invalid(
                    format!("no such directory: {target}"),
                    "make it first, or leave out the last slash",
                ));
            }
            let above = parent(path);
            if !to
                .stat(&above, true)?
                .is_some_and(|s| s.kind == Kind::Directory)
            {
                return Err(Error::invalid(
                    format!(
                        "Could not find the file {} in the destination",
                        above.display()
                    ),
                    "no such directory; make it first",
                ));
            }
            Ok(Place {
                directory: above,
                name: own_name(path),
            })
        }
    }
}

/// An absolute path without `.` and `..`, taken from `/`.
pub fn normal(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}
