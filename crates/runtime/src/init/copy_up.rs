//! What a new volume is born with: the content the image has at its target.
//!
//! Both sides are walked by handles without following links, so that neither an image nor a volume leads the copy elsewhere.
//! Owners, modes, times, links, devices and extended attributes are kept; hard links within one directory tree become files.
//! Source: Docker volumes documentation, "Populate a volume using a container".

use crate::error::{InitError, OrInit};
use crate::request::CopyUp;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timestamps, Uid, XattrFlags};
use rustix::time::Timespec;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// `handed`: the volumes' directories, one for each of the list, when only the caller could open them.
pub(crate) fn run(
    root: BorrowedFd<'_>,
    list: &[CopyUp],
    handed: &[OwnedFd],
) -> Result<(), InitError> {
    for (index, item) in list.iter().enumerate() {
        let error = |cause| InitError::CopyUp {
            target: item.target.display().to_string(),
            cause,
        };
        copy_one(root, item, handed.get(index)).because(error)?;
    }
    Ok(())
}

fn copy_one(root: BorrowedFd<'_>, item: &CopyUp, handed: Option<&OwnedFd>) -> io::Result<()> {
    let source =
        match sys::path::open_in_root(root, &item.target, OFlags::RDONLY | OFlags::DIRECTORY) {
            // The image has nothing there, or a file: nothing to be born with.
            Err(e) if matches!(e.raw_os_error(), Some(2 | 20)) => return Ok(()),
            other => other?,
        };
    let volume = match handed {
        Some(tree) => rustix::fs::openat(tree, ".", DIRECTORY, Mode::empty())?,
        None => rustix::fs::open(&item.volume, DIRECTORY, Mode::empty())?,
    };
    if !sys::path::is_empty_directory(volume.as_fd())? {
        return Ok(());
    }
    copy_directory(source.as_fd(), volume.as_fd())
}

/// Copies entries, then the directory's own attributes: its times last, since every entry made changes them.
fn copy_directory(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let names = entries(source)?;
    for name in &names {
        copy_entry(source, target, name)?;
    }
    let stat = rustix::fs::fstat(source)?;
    copy_xattrs(source, target)?;
    rustix::fs::fchown(
        target,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    rustix::fs::fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(rustix::fs::futimens(target, &times(&stat))?)
}

/// `tmpcopyup`: what the tmpfs is about to cover. Owner and mode are the directory's too, unless the mount names a mode.
pub(super) fn into_tmpfs(
    covered: BorrowedFd<'_>,
    tmpfs: BorrowedFd<'_>,
    has_mode: bool,
) -> io::Result<()> {
    let source = rustix::fs::openat(covered, ".", DIRECTORY, Mode::empty())?;
    let target = rustix::fs::openat(tmpfs, ".", DIRECTORY, Mode::empty())?;
    let given = rustix::fs::fstat(&target)?;
    copy_directory(source.as_fd(), target.as_fd())?;
    if has_mode {
        rustix::fs::fchmod(&target, Mode::from_raw_mode(given.st_mode & 0o7777))?;
    }
    Ok(())
}

fn entries(directory: BorrowedFd<'_>) -> io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn copy_entry(source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            rustix::fs::mkdirat(target, name, Mode::from_raw_mode(0o700))?;
            let from = rustix::fs::openat(source, name, DIRECTORY, Mode::empty())?;
            let to = rustix::fs::openat(target, name, DIRECTORY, Mode::empty())?;
            copy_directory(from.as_fd(), to.as_fd())
        }
        FileType::RegularFile => copy_file(source, target, name, &stat),
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(source, name, Vec::new())?;
            rustix::fs::symlinkat(link, target, name)?;
            own_by_name(target, name, &stat)
        }
        kind => {
            rustix::fs::mknodat(
                target,
                name,
                kind,
                Mode::from_raw_mode(stat.st_mode & 0o7777),
                stat.st_rdev,
            )?;
            own_by_name(target, name, &stat)
        }
    }
}

fn own_by_name(target: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(
        target,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    Ok(rustix::fs::utimensat(
        target,
        name,
        &times(stat),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

fn copy_file(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    name: &CStr,
    stat: &Stat,
) -> io::Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let from = rustix::fs::openat(source, name, read, Mode::empty())?;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(target, name, write, Mode::from_raw_mode(0o600))?;
    copy_bytes(&from, &to)?;
    copy_xattrs(from.as_fd(), to.as_fd())?;
    // The owner first: changing it takes the set-user-id bit away again.
    rustix::fs::fchown(
        &to,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(rustix::fs::futimens(&to, &times(stat))?)
}

/// In the kernel where it can (shared extents on btrfs and xfs), by hand between file systems where it cannot.
fn copy_bytes(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    loop {
        match rustix::fs::copy_file_range(from, None, to, None, 1 << 30) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(
                rustix::io::Errno::XDEV
                | rustix::io::Errno::NOSYS
                | rustix::io::Errno::INVAL
                | rustix::io::Errno::OPNOTSUPP,
            ) => break,
            Err(e) => return Err(e.into()),
        }
    }
    let (mut from, mut to) = (
        std::fs::File::from(from.try_clone()?),
        std::fs::File::from(to.try_clone()?),
    );
    io::copy(&mut from, &mut to).map(drop)
}

/// All but those of the overlay itself; a target without support for one keeps the rest.
fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0u8; 64 * 1024];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        other => other?,
    };
    let mut value = vec![0u8; 64 * 1024];
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty() && !name.starts_with(b"trusted.overlay."))
    {
        let size = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        match rustix::fs::fsetxattr(to, name, &value[..size], XattrFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::PERM) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the width of these fields differs between architectures"
)]
fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime as _,
            tv_nsec: stat.st_atime_nsec as _,
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime as _,
            tv_nsec: stat.st_mtime_nsec as _,
        },
    }
}
