//! Files → tar, read through handles of the source's root.
//!
//! Source: tar(5).

use super::View;
use crate::container::userns::UsernsRecord;
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Writes a file or a whole directory as a tar in which it is called `name` (empty: `.`).
pub fn pack(
    from: &View,
    source: &Path,
    name: &str,
    follow: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let mut builder = tar::Builder::new(out);
    let last = if follow {
        OFlags::empty()
    } else {
        OFlags::NOFOLLOW
    };
    let top = from
        .open(source, OFlags::PATH | last)
        .map_err(Error::file("open", source))?;
    let name = if name.is_empty() { "." } else { name };
    let mut todo = Vec::new();
    take(&mut builder, &mut todo, top, PathBuf::from(name), from.ids)?;
    // Deepest last: a directory stands before its entries.
    while let Some(next) = todo.pop() {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&*next.directory, &next.name, flags, Mode::empty()) {
            Ok(handle) => take(&mut builder, &mut todo, handle, next.path, from.ids)?,
            // Gone since it was listed.
            Err(rustix::io::Errno::NOENT) => {}
            Err(e) => return Err(Error::file("copy", &next.path)(e.into())),
        }
    }
    builder.finish().map_err(Error::file("copy", source))
}

/// An entry of a directory that was listed; opened when its turn comes, so that a directory of a million files does not take as
/// many descriptors.
struct Listed {
    directory: Rc<OwnedFd>,
    name: CString,
    path: PathBuf,
}

/// Writes one file, and remembers what is in it if it is a directory.
fn take(
    builder: &mut tar::Builder<&mut dyn Write>,
    todo: &mut Vec<Listed>,
    handle: OwnedFd,
    path: PathBuf,
    ids: Option<UsernsRecord>,
) -> Result<()> {
    let failed = |e: std::io::Error| Error::file("copy", &path)(e);
    let stat =
        rustix::fs::statat(&handle, "", AtFlags::EMPTY_PATH).map_err(|e| failed(e.into()))?;
    let owner = match ids {
        Some(ids) => ids.inside(stat.st_uid, stat.st_gid),
        None => (stat.st_uid, stat.st_gid),
    };
    append(builder, &handle, &path, &stat, owner).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        todo.extend(children(handle, &path).map_err(failed)?);
    }
    Ok(())
}

fn children(directory: OwnedFd, path: &Path) -> std::io::Result<Vec<Listed>> {
    let readable = reopen(&directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let directory = Rc::new(directory);
    let mut entries = Vec::new();
    for entry in Dir::read_from(&readable)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            entries.push(Listed {
                directory: Rc::clone(&directory),
                name: name.to_owned(),
                path: path.join(std::ffi::OsStr::from_bytes(name.to_bytes())),
            });
        }
    }
    Ok(entries)
}

/// The same file through a descriptor that can be read: exactly this one, whatever its name leads to by now.
fn reopen(handle: &OwnedFd, flags: OFlags) -> std::io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    Ok(rustix::fs::open(
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

fn append(
    builder: &mut tar::Builder<&mut dyn Write>,
    handle: &OwnedFd,
    path: &Path,
    stat: &Stat,
    (uid, gid): (u32, u32),
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(u64::from(uid));
    header.set_gid(u64::from(gid));
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let file = File::from(reopen(handle, OFlags::RDONLY | OFlags::NONBLOCK)?);
            let size = file.metadata()?.len();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(size);
            // A file that shrinks meanwhile is filled up, one that grows is cut: the archive stays whole.
            let steady = std::io::Read::take(std::io::Read::chain(file, std::io::repeat(0)), size);
            builder.append_data(&mut header, path, steady)
        }
        FileType::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, path, std::io::empty())
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(handle.as_fd(), "", Vec::new())?;
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(
                &mut header,
                path,
                std::ffi::OsStr::from_bytes(target.to_bytes()),
            )
        }
        kind @ (FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo) => {
            header.set_entry_type(match kind {
                FileType::CharacterDevice => tar::EntryType::Char,
                FileType::BlockDevice => tar::EntryType::Block,
                _ => tar::EntryType::Fifo,
            });
            header.set_device_major(rustix::fs::major(stat.st_rdev))?;
            header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
            builder.append_data(&mut header, path, std::io::empty())
        }
        // A socket is nothing without its process.
        _ => Ok(()),
    }
}
