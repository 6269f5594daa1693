//! Tar → files, each made beneath a handle of the target's root.
//!
//! The archive may be anybody's (`cp - CONTAINER:/dir`): names are looked up inside the root only, a name with
//! `..` is refused, and a link made by one entry is never followed out of the root by the next.

use super::View;
use crate::container::userns::UsernsRecord;
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Whose the copies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Root,
    /// As the archive says.
    Keep,
}

/// The same, and what its numbers are where the files are made.
#[derive(Debug, Clone, Copy)]
struct Whose {
    owner: Owner,
    ids: Option<UsernsRecord>,
}

/// Unpacks an archive into a directory.
pub fn unpack(to: &View, directory: &Path, owner: Owner, source: &mut dyn Read) -> Result<()> {
    let whose = Whose { owner, ids: to.ids };
    match to.ids {
        None => all(to, directory, whose, source),
        // On a mapped mount nobody makes files whom the mapping does not know, root of the host included.
        Some(ids) => sys::capability::with_fs_identity(ids.uid, ids.gid, || {
            all(to, directory, whose, source)
        })
        .map_err(Error::system("act as the container's root"))?,
    }
}

fn all(to: &View, directory: &Path, owner: Whose, source: &mut dyn Read) -> Result<()> {
    let mut archive = tar::Archive::new(source);
    let entries = archive
        .entries()
        .map_err(Error::file("read the archive for", directory))?;
    for entry in entries {
        let mut entry = entry.map_err(Error::file("read the archive for", directory))?;
        let path = entry
            .path()
            .map_err(Error::file("read the archive for", directory))?
            .into_owned();
        one(to, directory, &path, owner, &mut entry)
            .map_err(Error::file("copy", directory.join(&path)))?;
    }
    Ok(())
}

fn one(
    to: &View,
    directory: &Path,
    path: &Path,
    owner: Whose,
    entry: &mut tar::Entry<'_, &mut dyn Read>,
) -> io::Result<()> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the name leads out of the directory",
                ));
            }
        }
    }
    let (Some(above), Some(name)) = (clean.parent(), clean.file_name()) else {
        return Ok(());
    };
    let parent = to.open_below(directory, above)?;
    let parent = parent.as_fd();
    let mode = Mode::from_raw_mode(mode(to, owner, entry)?);
    match entry.header().entry_type() {
        tar::EntryType::Directory => make_directory(parent, Path::new(name))?,
        tar::EntryType::Symlink => {
            let target = entry.link_name()?.ok_or_else(no_target)?.into_owned();
            clear(parent, Path::new(name))?;
            rustix::fs::symlinkat(target, parent, name)?;
            return finish_link(parent, Path::new(name), owner, entry);
        }
        tar::EntryType::Link => return hard_link(to, directory, parent, Path::new(name), entry),
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
            clear(parent, Path::new(name))?;
            let mut file = File::from(create(parent, Path::new(name))?);
            io::copy(entry, &mut file)?;
        }
        kind @ (tar::EntryType::Char | tar::EntryType::Block | tar::EntryType::Fifo) => {
            clear(parent, Path::new(name))?;
            let kind = match kind {
                tar::EntryType::Char => FileType::CharacterDevice,
                tar::EntryType::Block => FileType::BlockDevice,
                _ => FileType::Fifo,
            };
            let header = entry.header();
            let device = rustix::fs::makedev(
                header.device_major()?.unwrap_or(0),
                header.device_minor()?.unwrap_or(0),
            );
            rustix::fs::mknodat(parent, name, kind, mode, device)?;
        }
        _ => return Ok(()),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    set_owner(made.as_fd(), owner, entry)?;
    // chmod after chown, which clears set-id bits.
    chmod(&made, mode)?;
    set_time(parent, Path::new(name), entry)
}

/// Without the set-id bits where another owner than the archive's would lend his rights: with them, a file of a container's user
/// would become a program that anybody on the host runs as root. A container may make nodes of devices it cannot open; on the
/// host they are the owner's alone.
fn mode(to: &View, owner: Whose, entry: &tar::Entry<'_, &mut dyn Read>) -> io::Result<u32> {
    let header = entry.header();
    let mode = header.mode()? & 0o7777;
    if owner.owner == Owner::Keep {
        return Ok(mode);
    }
    let lent = to.is_host() || (header.uid()?, header.gid()?) != (0, 0);
    Ok(match header.entry_type() {
        tar::EntryType::Directory => mode,
        tar::EntryType::Char | tar::EntryType::Block if to.is_host() => mode & 0o700,
        _ if lent => mode & 0o1777,
        _ => mode,
    })
}

fn no_target() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a link without a target")
}

fn make_directory(parent: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => {
            let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return Ok(());
            }
            Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "cannot overwrite non-directory with directory",
            ))
        }
        Err(e) => Err(e.into()),
    }
}

/// Takes away what stands in a file's place; a directory stays and is an error.
fn clear(parent: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "cannot overwrite directory with non-directory",
        )),
        Err(e) => Err(e.into()),
    }
}

fn create(parent: BorrowedFd<'_>, name: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(
        parent,
        name,
        flags,
        Mode::from_raw_mode(0o600),
    )?)
}

/// A hard link to an earlier entry of the same archive.
fn hard_link(
    to: &View,
    directory: &Path,
    parent: BorrowedFd<'_>,
    name: &Path,
    entry: &tar::Entry<'_, &mut dyn Read>,
) -> io::Result<()> {
    let target = entry.link_name()?.ok_or_else(no_target)?.into_owned();
    let outside = target.components().any(|c| c == Component::ParentDir);
    if outside {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the link leads out of the directory",
        ));
    }
    let target = target.strip_prefix("/").unwrap_or(&target);
    let (Some(above), Some(last)) = (target.parent(), target.file_name()) else {
        return Err(no_target());
    };
    let from = to.open_below(directory, above)?;
    clear(parent, name)?;
    Ok(rustix::fs::linkat(
        &from,
        last,
        parent,
        name,
        AtFlags::empty(),
    )?)
}

fn finish_link(
    parent: BorrowedFd<'_>,
    name: &Path,
    owner: Whose,
    entry: &tar::Entry<'_, &mut dyn Read>,
) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    set_owner(made.as_fd(), owner, entry)?;
    set_time(parent, name, entry)
}

fn set_owner(
    made: BorrowedFd<'_>,
    owner: Whose,
    entry: &tar::Entry<'_, &mut dyn Read>,
) -> io::Result<()> {
    let (uid, gid) = match owner.owner {
        Owner::Root => (0, 0),
        Owner::Keep => (id(entry.header().uid()?)?, id(entry.header().gid()?)?),
    };
    let (uid, gid) = match owner.ids {
        None => (uid, gid),
        Some(ids) => ids
            .outside(uid, gid)
            .ok_or_else(|| no_owner(u64::from(uid.max(gid))))?,
    };
    Ok(rustix::fs::chownat(
        made,
        "",
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        AtFlags::EMPTY_PATH,
    )?)
}

fn id(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| no_owner(number))
}

fn no_owner(number: u64) -> io::Error {
    let text = format!("no such owner: {number}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn chmod(made: &OwnedFd, mode: Mode) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // fchmod(2) does not take O_PATH descriptors; the magic link leads to exactly this file.
    Ok(rustix::fs::chmod(
        format!("/proc/self/fd/{}", made.as_raw_fd()),
        mode,
    )?)
}

fn set_time(
    parent: BorrowedFd<'_>,
    name: &Path,
    entry: &tar::Entry<'_, &mut dyn Read>,
) -> io::Result<()> {
    let seconds = i64::try_from(entry.header().mtime()?).unwrap_or(0);
    let stamp = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: stamp,
        last_modification: stamp,
    };
    Ok(rustix::fs::utimensat(
        parent,
        name,
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}
