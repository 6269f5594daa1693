//! One file of the host kept the same in a container, as `compose watch` does.
//!
//! As every copy it reaches the container through a handle of its root: no link there leads out of it.

use super::{Kind, Options, View, transfer};
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use sys::path::{Missing, make_in_root};

/// Makes the target what the source is now: a copy of the file or link, a directory, or nothing. Directories on the way are made;
/// what lies in a directory is the caller's to name.
pub fn sync(to: &View, source: &Path, target: &Path) -> Result<()> {
    let host = View::host()?;
    let failed = |e| Error::file("synchronise", target)(e);
    let Some(found) = host.stat(source, false)? else {
        return as_their_root(to, || remove(to, target)).map_err(failed);
    };
    if found.kind == Kind::Directory {
        return as_their_root(to, || make_directory(to, target)).map_err(failed);
    }
    let parent = target.parent().unwrap_or(Path::new("/"));
    as_their_root(to, || make_directory(to, parent)).map_err(failed)?;
    if to
        .stat(target, false)?
        .is_some_and(|s| s.kind == Kind::Directory)
    {
        as_their_root(to, || remove(to, target)).map_err(failed)?;
    }
    let (source, target) = (source.to_string_lossy(), target.to_string_lossy());
    transfer(&host, &source, to, &target, Options::default())
}

/// On a mapped mount nobody makes files whom the mapping does not know, root of the host included.
fn as_their_root(to: &View, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match to.ids {
        None => act(),
        Some(ids) => sys::capability::with_fs_identity(ids.uid, ids.gid, act)?,
    }
}

fn make_directory(to: &View, path: &Path) -> io::Result<()> {
    let (root, rest) = to.locate(path);
    if rest.components().all(|c| c.as_os_str() == "/") {
        return Ok(());
    }
    make_in_root(root, rest, Missing::Directory, 0o755).map(drop)
}

/// One that is not there is gone already.
fn remove(to: &View, path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let parent = match to.open(parent, OFlags::PATH | OFlags::DIRECTORY) {
        Ok(parent) => parent,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    remove_at(parent.as_fd(), Path::new(name))
}

fn remove_at(parent: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let entry = entry.file_name().to_bytes();
        if entry != b"." && entry != b".." {
            use std::os::unix::ffi::OsStrExt;
            let entry = std::ffi::OsStr::from_bytes(entry);
            remove_at(directory.as_fd(), Path::new(entry))?;
        }
    }
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}
