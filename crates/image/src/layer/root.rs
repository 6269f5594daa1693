//! Handles beneath the directory of one layer: every look-up is resolved by the kernel with the layer as
//! root, so that no path, link or `..` in an archive leads outside. Source: openat2(2), xattr(7).

use crate::tarball::Xattr;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// overlayfs hides what the layers below have in a directory with this attribute.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

/// `a/./b//c/` → `["a", "b", "c"]`, `..` taken back lexically; `None` when it would leave the root.
pub(crate) fn components(path: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts)
}

/// Takes a path, and all below it, out of what is known by path: another thing has its name now.
pub(crate) fn forget<V>(known: &mut BTreeMap<Vec<u8>, V>, path: &[u8]) {
    known.remove(path);
    let below = [path, b"/"].concat();
    while let Some((next, _)) = known.range(below.clone()..).next()
        && next.starts_with(&below)
    {
        let next = next.clone();
        known.remove(&next);
    }
}

pub(crate) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Opens a directory below `root`, whose symlinks are resolved as if `root` were `/`.
pub(crate) fn open_dir(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(root, path, flags)
}

/// Opens a directory so that it can be listed and its attributes set.
pub(crate) fn open_dir_rw(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    openat2(
        root,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
    )
}

fn openat2(root: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    loop {
        // EAGAIN: a rename somewhere on the system raced the look-up; openat2(2) says to try again.
        match rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// What stands at `name` in `dir`, symlinks not followed.
pub(crate) fn kind_at(dir: impl AsFd, name: &[u8]) -> Result<Option<FileType>, Errno> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether overlayfs takes the thing at `name` for a whiteout.
pub(crate) fn is_whiteout(dir: impl AsFd, name: &[u8]) -> Result<bool, Errno> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0)
}

/// Removes `name` in `dir`, with everything in it, following no link and crossing no mount by name.
pub(crate) fn remove_all(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    loop {
        match remove_once(dir, name) {
            // Somebody else removes it too (several images that go at once share the trash): each turn finds less.
            Err(Errno::NOENT) => {}
            other => return other,
        }
    }
}

fn remove_once(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    empty_dir(top)?;
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}

/// Empties a tree with one open directory per level kept on a list, not on the call stack: a hostile
/// archive may nest thousands deep.
fn empty_dir(top: OwnedFd) -> Result<(), Errno> {
    let mut open: Vec<(OwnedFd, Vec<u8>)> = vec![(top, Vec::new())];
    while let Some((fd, name)) = open.last() {
        match first_directory(fd.as_fd())? {
            Some(child) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let next = rustix::fs::openat(fd, child.as_slice(), flags, Mode::empty())?;
                open.push((next, child));
            }
            None => {
                let name = name.clone();
                open.pop();
                if let Some((parent, _)) = open.last() {
                    rustix::fs::unlinkat(parent, name.as_slice(), AtFlags::REMOVEDIR)?;
                }
            }
        }
    }
    Ok(())
}

/// Removes all that is no directory; the first directory that cannot be removed at once is returned.
fn first_directory(dir: BorrowedFd<'_>) -> Result<Option<Vec<u8>>, Errno> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => {
                match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
                    Ok(()) => {}
                    Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_vec())),
                    Err(e) => return Err(e),
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// A path that names `name` in `dir` to calls that take no directory handle (the `l*xattr` family). The
/// last component is not followed by them, and the rest is the kernel's own link to our handle.
pub(crate) fn proc_path(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut text = String::with_capacity(24);
    let _ = write!(text, "/proc/self/fd/{}/", dir.as_raw_fd());
    let mut path = text.into_bytes();
    path.extend_from_slice(name);
    path
}

/// The attributes an image may carry. `trusted.overlay.*` steers overlayfs itself (redirects, metadata
/// copies) and `user.overlay.*` does so in user namespaces: an archive gets no say in either.
pub(crate) fn xattr_allowed(name: &[u8]) -> bool {
    name == b"security.capability"
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
        || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

/// The attributes of the thing at `name` that belong into an archive, sorted.
pub(crate) fn read_xattrs(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<Xattr>, Errno> {
    let path = proc_path(dir, name);
    let mut names = [0u8; 8192];
    let length = match rustix::fs::llistxattr(path.as_slice(), &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for attribute in names[..length]
        .split(|b| *b == 0)
        .filter(|n| xattr_allowed(n))
    {
        let mut value = vec![0u8; 65536];
        let size = rustix::fs::lgetxattr(path.as_slice(), attribute, &mut value[..])?;
        value.truncate(size);
        found.push((attribute.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// Whether overlayfs takes the directory for opaque.
pub(crate) fn is_opaque(dir: BorrowedFd<'_>, name: &[u8]) -> bool {
    let mut value = [0u8; 8];
    let path = proc_path(dir, name);
    matches!(rustix::fs::lgetxattr(path.as_slice(), OPAQUE, &mut value[..]), Ok(size) if &value[..size] == b"y")
}
