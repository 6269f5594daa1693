//! Look-ups beneath a directory that somebody else fills: nothing escapes it, nothing follows the kernel's magic links.
//!
//! A look-up starts at a handle of the root, never at a joined path. Making directories walks component by component with
//! `O_NOFOLLOW`, resolving links itself, so that a directory swapped for a link in between is never followed out.
//! Source: openat2(2), path_resolution(7); the attacks are those of CVE-2019-16884, CVE-2021-30465, CVE-2024-21626.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

/// The kernel's own limit on links in one look-up.
const MAX_LINKS: usize = 40;

/// What is made when the last component does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Directory,
    File,
}

/// Opens `path` as a process with `root` as its root directory would, without following magic links.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    openat2(
        root,
        path,
        flags,
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Opens `path` beneath `root`, refusing any symbolic link on the way.
pub fn open_without_links(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    openat2(
        root,
        path,
        flags,
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

fn openat2(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // EAGAIN: a rename raced with a ".." of ours and the kernel could not be sure.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => continue,
            other => return Ok(other?),
        }
    }
}

/// Opens (`O_PATH`) what `path` names in the root, making it and its parents when missing. Links stay within the root, those
/// to nothing included: their target is made.
pub fn make_in_root(
    root: BorrowedFd<'_>,
    path: &Path,
    missing: Missing,
    mode: u32,
) -> io::Result<OwnedFd> {
    match open_in_root(root, path, OFlags::PATH) {
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
        other => return other,
    }
    match make_last(root, path, missing, mode)? {
        Some(made) => Ok(made),
        None => Walk::new(root)?.run(path, missing, mode),
    }
}

/// The usual case: only the last name is missing. `None` when it is not that: a parent is missing too, the name is there
/// after all (a link to nothing), or the path ends in no name.
fn make_last(
    root: BorrowedFd<'_>,
    path: &Path,
    missing: Missing,
    mode: u32,
) -> io::Result<Option<OwnedFd>> {
    let plain = path
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::RootDir));
    let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), plain) else {
        return Ok(None);
    };
    let parent = match open_in_root(root, parent, OFlags::PATH | OFlags::DIRECTORY) {
        Ok(parent) => parent,
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    match make_name(parent.as_fd(), name, missing, mode) {
        Ok(made) => Ok(Some(made)),
        Err(rustix::io::Errno::EXIST) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Makes one name, which must be new, and opens it.
fn make_name(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    missing: Missing,
    mode: u32,
) -> rustix::io::Result<OwnedFd> {
    let open = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match missing {
        Missing::Directory => {
            rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode))?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | open;
            rustix::fs::openat(parent, name, flags, Mode::empty())
        }
        Missing::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | open;
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(mode & 0o666))
        }
    }
}

/// A walk from the root downwards; the stack of parents makes `..` safe against renames.
struct Walk {
    stack: Vec<OwnedFd>,
    links: usize,
}

impl Walk {
    fn new(root: BorrowedFd<'_>) -> io::Result<Self> {
        let root = rustix::fs::openat(
            root,
            ".",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self {
            stack: vec![root],
            links: 0,
        })
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.stack[self.stack.len() - 1].as_fd()
    }

    fn run(mut self, path: &Path, missing: Missing, mode: u32) -> io::Result<OwnedFd> {
        let mut rest = components(path);
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                // At the root, ".." is the root itself.
                if self.stack.len() > 1 {
                    self.stack.pop();
                }
                continue;
            }
            let make = if rest.is_empty() {
                missing
            } else {
                Missing::Directory
            };
            let next = self.step(&name, make, mode)?;
            if FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode) != FileType::Symlink {
                self.stack.push(next);
                continue;
            }
            self.links += 1;
            if self.links > MAX_LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            let target = rustix::fs::readlinkat(&next, "", Vec::new())?.into_bytes();
            let target = OsString::from_vec(target);
            if target.as_bytes().first() == Some(&b'/') {
                self.stack.truncate(1);
            }
            for part in components(Path::new(&target)).into_iter().rev() {
                rest.push_front(part);
            }
        }
        self.stack
            .pop()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    /// Opens one name without following it, making it if it is not there.
    fn step(&self, name: &OsStr, make: Missing, mode: u32) -> io::Result<OwnedFd> {
        let open = || {
            rustix::fs::openat(
                self.here(),
                name,
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )
        };
        match open() {
            Err(rustix::io::Errno::NOENT) => {}
            other => return Ok(other?),
        }
        match make_name(self.here(), name, make, mode) {
            Err(rustix::io::Errno::EXIST) => Ok(open()?),
            other => Ok(other?),
        }
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

/// Whether the name exists beneath the root (following links within it).
pub fn exists(root: BorrowedFd<'_>, path: &Path) -> bool {
    open_in_root(root, path, OFlags::PATH).is_ok()
}

/// Reads a regular file beneath the root, up to `limit` bytes. Pipes and devices, which could hang or lie, are refused.
pub fn read_file(root: BorrowedFd<'_>, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let fd = open_in_root(
        root,
        path,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
    )?;
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a regular file",
        ));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    crate::file::read_regular_up_to(&fd, limit)
}

/// A file system of the kernel, told by its magic number: a fake made of plain files never passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    Proc,
    Sysfs,
    Devpts,
    Cgroup1,
    Cgroup2,
    Tmpfs,
    Nsfs,
    Overlay,
    Xfs,
}

impl Magic {
    fn number(self) -> i64 {
        match self {
            Self::Proc => 0x9fa0,
            Self::Sysfs => 0x6265_6572,
            Self::Devpts => 0x1cd1,
            Self::Cgroup1 => 0x27_e0eb,
            Self::Cgroup2 => 0x6367_7270,
            Self::Tmpfs => 0x0102_1994,
            Self::Nsfs => 0x6e73_6673,
            Self::Overlay => 0x794c_7630,
            Self::Xfs => 0x5846_5342,
        }
    }
}

/// Whether the handle lies on that kind of file system.
pub fn is_on(fd: impl AsFd, magic: Magic) -> io::Result<bool> {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the width of f_type differs between architectures"
    )]
    Ok(rustix::fs::fstatfs(fd)?.f_type as i64 == magic.number())
}

/// The same for a path; `false` when it does not exist.
pub fn path_is_on(path: &Path, magic: Magic) -> bool {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the width of f_type differs between architectures"
    )]
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as i64 == magic.number())
}

/// The procfs at /proc, as a handle that is certainly its root: whatever is mounted over a part of it or put in its place, a
/// write that starts here and stays on this mount ([`write_proc`]) goes to the kernel (CVE-2025-52881).
pub fn open_proc() -> io::Result<OwnedFd> {
    /// PROC_ROOT_INO of linux/proc_fs.h.
    const ROOT_INODE: u64 = 1;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
    if is_on(&proc, Magic::Proc)? && rustix::fs::fstat(&proc)?.st_ino == ROOT_INODE {
        return Ok(proc);
    }
    Err(io::Error::from_raw_os_error(libc::EXDEV))
}

/// Writes a setting below a procfs root: beneath it, on that mount, without links, and where the path says (`..` would make
/// `sys/net/../../sysrq-trigger` of a setting's name).
pub fn write_proc(proc: BorrowedFd<'_>, path: &Path, value: &[u8]) -> io::Result<()> {
    if !is_on(proc, Magic::Proc)? || path.components().any(|part| part == Component::ParentDir) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let fd = rustix::fs::openat2(
        proc,
        path,
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )?;
    let written = rustix::io::write(&fd, value)?;
    if written == value.len() {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::WriteZero))
    }
}

/// Whether the directory has no entries.
pub fn is_empty_directory(directory: BorrowedFd<'_>) -> io::Result<bool> {
    let fd = rustix::fs::openat(
        directory,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    for entry in rustix::fs::Dir::new(fd)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two handles are the same file.
pub fn same_file(a: impl AsFd, b: impl AsFd) -> io::Result<bool> {
    let (a, b) = (rustix::fs::fstat(a)?, rustix::fs::fstat(b)?);
    Ok(a.st_dev == b.st_dev && a.st_ino == b.st_ino)
}

/// Makes a symbolic link unless the name exists.
pub fn ensure_link(directory: BorrowedFd<'_>, name: &str, target: &str) -> io::Result<()> {
    match rustix::fs::symlinkat(target, directory, name) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Owner and mode of a handle, `O_PATH` ones too.
pub fn set_owner_and_mode(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    uid: u32,
    gid: u32,
    mode: u32,
) -> io::Result<()> {
    use rustix::fs::{Gid, Uid};
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(
        directory,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    Ok(rustix::fs::chmodat(
        directory,
        name,
        Mode::from_raw_mode(mode),
        AtFlags::empty(),
    )?)
}

#[cfg(test)]
mod tests;
