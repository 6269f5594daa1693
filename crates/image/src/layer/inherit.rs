//! What a layer's archive left to the layers below: the attributes of directories it only implied, and
//! the targets of hard links it did not bring along. An overlay would show root's 0755 and nothing.

use crate::layer::root::{self, as_path, components};
use crate::layer::unpack::Unpacked;
use crate::tarball::Xattr;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Why a layer could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("hard link {} of the layer points at {}, which neither this layer nor one below has", path.display(), target.display())]
    DanglingLink { path: PathBuf, target: PathBuf },
    #[error("cannot complete {} of the layer from the layers below", path.display())]
    Copy { path: PathBuf, source: io::Error },
}

/// A layer that lacks what its archive left to those below.
pub(crate) trait Incomplete {
    fn unpacked(&self) -> &Unpacked;

    /// Gives the directory at `path`, which no entry described, the attributes of another.
    fn take_after(&mut self, path: &[u8], model: &Model) -> Result<(), Errno>;

    /// Puts a copy of a regular file at `path`.
    fn copy_in(&mut self, path: &[u8], model: &Model, content: &mut File) -> Result<(), Errno>;
}

/// What one file of a layer below is like.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) stat: rustix::fs::Stat,
    pub(crate) xattrs: Vec<Xattr>,
}

impl Model {
    fn of(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Self, Errno> {
        Ok(Self {
            stat: rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?,
            xattrs: root::read_xattrs(dir, name)?,
        })
    }

    fn is(&self, kind: FileType) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == kind
    }
}

/// Completes a layer from `lower`, the layers below, highest first.
pub(crate) fn complete(layer: &mut dyn Incomplete, lower: &[OwnedFd]) -> Result<(), Error> {
    let (implied, links) = {
        let unpacked = layer.unpacked();
        (unpacked.implied.clone(), unpacked.links.clone())
    };
    let failed = |path: &[u8], e: Errno| Error::Copy {
        path: as_path(path).into(),
        source: e.into(),
    };
    for path in &implied {
        inherit(layer, path, lower).map_err(|e| failed(path, e))?;
    }
    for (path, target) in &links {
        if !link(layer, path, target, lower).map_err(|e| failed(path, e))? {
            return Err(Error::DanglingLink {
                path: as_path(path).into(),
                target: as_path(target).into(),
            });
        }
    }
    Ok(())
}

fn inherit(layer: &mut dyn Incomplete, path: &[u8], lower: &[OwnedFd]) -> Result<(), Errno> {
    let Some((dir, name)) = find_in_all(lower, path)? else {
        return Ok(());
    };
    let model = Model::of(dir.as_fd(), &name)?;
    match model.is(FileType::Directory) {
        true => layer.take_after(path, &model),
        false => Ok(()),
    }
}

/// Whether there is something to link to.
fn link(
    layer: &mut dyn Incomplete,
    path: &[u8],
    target: &[u8],
    lower: &[OwnedFd],
) -> Result<bool, Errno> {
    let Some((dir, name)) = find_in_all(lower, target)? else {
        return Ok(false);
    };
    let model = Model::of(dir.as_fd(), &name)?;
    if !model.is(FileType::RegularFile) {
        return Err(Errno::NOTSUP);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let content = rustix::fs::openat(&dir, name.as_slice(), flags, Mode::empty())?;
    layer.copy_in(path, &model, &mut File::from(content))?;
    Ok(true)
}

/// A layer in its directory.
#[derive(Debug)]
pub(crate) struct Unfinished<'a> {
    pub(crate) diff: BorrowedFd<'a>,
    pub(crate) unpacked: &'a Unpacked,
}

impl Incomplete for Unfinished<'_> {
    fn unpacked(&self) -> &Unpacked {
        self.unpacked
    }

    fn take_after(&mut self, path: &[u8], model: &Model) -> Result<(), Errno> {
        set_attributes(root::open_dir_rw(self.diff, path)?.as_fd(), model)
    }

    fn copy_in(&mut self, path: &[u8], model: &Model, content: &mut File) -> Result<(), Errno> {
        let parts = components(path).unwrap_or_default();
        let Some((last, parents)) = parts.split_last() else {
            return Err(Errno::INVAL);
        };
        let dir = root::open_dir(self.diff, &parents.join(&b'/'))?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir, *last, flags, Mode::from_raw_mode(0o600))?;
        let mut writer = File::from(file);
        io::copy(content, &mut writer)
            .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        set_attributes(writer.as_fd(), model)
    }
}

/// Looks a path up through all layers, highest first: a handle of its directory, and its name.
fn find_in_all(lower: &[OwnedFd], path: &[u8]) -> Result<Option<(OwnedFd, Vec<u8>)>, Errno> {
    for layer in lower {
        match find(layer.as_fd(), path)? {
            Found::Entry(dir, name) => return Ok(Some((dir, name))),
            Found::Hidden => return Ok(None),
            Found::Nothing => {}
        }
    }
    Ok(None)
}

enum Found {
    /// A handle of the directory, and the name in it.
    Entry(OwnedFd, Vec<u8>),
    /// A whiteout or an opaque directory: what lies lower does not count.
    Hidden,
    Nothing,
}

/// Looks a path up in one layer the way overlayfs would.
fn find(layer: BorrowedFd<'_>, path: &[u8]) -> Result<Found, Errno> {
    let parts = components(path).unwrap_or_default();
    let Some((name, parents)) = parts.split_last() else {
        return Ok(Found::Nothing);
    };
    let mut dir = root::open_dir(layer, b"")?;
    let mut opaque = false;
    for parent in parents {
        match root::kind_at(&dir, parent)? {
            None => {
                return Ok(if opaque {
                    Found::Hidden
                } else {
                    Found::Nothing
                });
            }
            Some(FileType::Directory) => {}
            Some(_) => return Ok(Found::Hidden),
        }
        opaque |= root::is_opaque(dir.as_fd(), parent);
        dir = root::open_dir(&dir, parent)?;
    }
    match root::kind_at(&dir, name)? {
        None if opaque => Ok(Found::Hidden),
        None => Ok(Found::Nothing),
        Some(FileType::CharacterDevice) if root::is_whiteout(&dir, name)? => Ok(Found::Hidden),
        Some(_) => Ok(Found::Entry(dir, name.to_vec())),
    }
}

fn set_attributes(to: BorrowedFd<'_>, model: &Model) -> Result<(), Errno> {
    let stat = &model.stat;
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(stat.st_uid),
        rustix::fs::Gid::from_raw(stat.st_gid),
    );
    rustix::fs::fchown(to, Some(uid), Some(gid))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for (attribute, value) in &model.xattrs {
        rustix::fs::fsetxattr(to, attribute.as_slice(), value, XattrFlags::empty())?;
    }
    let time = rustix::fs::Timespec {
        tv_sec: stat.st_mtime as _,
        tv_nsec: stat.st_mtime_nsec as _,
    };
    rustix::fs::futimens(
        to,
        &Timestamps {
            last_access: time,
            last_modification: time,
        },
    )
}
