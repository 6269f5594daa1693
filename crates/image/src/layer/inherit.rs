//! What a layer's archive left to the layers below: the attributes of directories it only implied, and
//! the targets of hard links it did not bring along. An overlay would show root's 0755 and nothing.

use crate::layer::root::{self, as_path, components};
use crate::layer::unpack::Unpacked;
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

/// Completes the layer in `diff` from `lower`, the layers below, highest first.
pub(crate) fn complete(
    diff: BorrowedFd<'_>,
    unpacked: &Unpacked,
    lower: &[OwnedFd],
) -> Result<(), Error> {
    for path in &unpacked.implied {
        let failed = |e: Errno| Error::Copy {
            path: as_path(path).into(),
            source: e.into(),
        };
        if let Some((dir, name)) = find_in_all(lower, path).map_err(failed)? {
            inherit_attributes(dir.as_fd(), &name, diff, path).map_err(failed)?;
        }
    }
    for (path, target) in &unpacked.links {
        let failed = |e: Errno| Error::Copy {
            path: as_path(path).into(),
            source: e.into(),
        };
        match find_in_all(lower, target).map_err(failed)? {
            Some((dir, name)) => copy_file(dir.as_fd(), &name, diff, path).map_err(failed)?,
            None => {
                return Err(Error::DanglingLink {
                    path: as_path(path).into(),
                    target: as_path(target).into(),
                });
            }
        }
    }
    Ok(())
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

fn inherit_attributes(
    from: BorrowedFd<'_>,
    name: &[u8],
    diff: BorrowedFd<'_>,
    path: &[u8],
) -> Result<(), Errno> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    let to = root::open_dir_rw(diff, path)?;
    copy_attributes(from, name, &stat, to.as_fd())
}

fn copy_attributes(
    from: BorrowedFd<'_>,
    name: &[u8],
    stat: &rustix::fs::Stat,
    to: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(stat.st_uid),
        rustix::fs::Gid::from_raw(stat.st_gid),
    );
    rustix::fs::fchown(to, Some(uid), Some(gid))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for (attribute, value) in root::read_xattrs(from, name)? {
        rustix::fs::fsetxattr(to, attribute.as_slice(), &value, XattrFlags::empty())?;
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

fn copy_file(
    from: BorrowedFd<'_>,
    name: &[u8],
    diff: BorrowedFd<'_>,
    path: &[u8],
) -> Result<(), Errno> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::NOTSUP);
    }
    let source = rustix::fs::openat(
        from,
        name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let parts = components(path).unwrap_or_default();
    let Some((last, parents)) = parts.split_last() else {
        return Err(Errno::INVAL);
    };
    let dir = root::open_dir(diff, &parents.join(&b'/'))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = rustix::fs::openat(&dir, *last, flags, Mode::from_raw_mode(0o600))?;
    let (mut reader, mut writer) = (File::from(source), File::from(target));
    io::copy(&mut reader, &mut writer)
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    copy_attributes(from, name, &stat, writer.as_fd())
}
