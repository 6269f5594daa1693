//! The copying itself: into a root that is a merged view of the layers so far.
//!
//! Source: Dockerfile reference "COPY" (where files land); BuildKit `fsutil/copy` (attributes: a directory that is
//! there takes over the attributes of one that is copied onto it, the destination itself does not).

use super::Error;
use super::chmod::Chmod;
use super::owner::Owner;
use super::select::Selected;
use super::source::Source;
use super::walk::{Entry, walk};
use crate::ignore::Ignore;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What `--chown` and `--chmod` say.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    pub owner: Option<Owner>,
    pub chmod: Option<Chmod>,
}

/// Copies into one root.
#[derive(Debug)]
pub struct Copier<'a> {
    pub root: BorrowedFd<'a>,
    pub attributes: Attributes,
    /// First copies of files that have several names, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<'a> Copier<'a> {
    pub fn new(root: BorrowedFd<'a>, attributes: Attributes) -> Self {
        Self {
            root,
            attributes,
            links: HashMap::new(),
        }
    }

    /// Copies one selection to `destination` (absolute; with a slash at the end it is a directory).
    pub fn copy(
        &mut self,
        source: &Source,
        selected: &Selected,
        exclude: &Ignore,
        destination: &str,
    ) -> Result<(), Error> {
        let (base, name) = self.target(selected, destination)?;
        let mut copied = Vec::new();
        walk(source, selected, exclude, &mut |entry| {
            let relative = match &name {
                // A file, under its new name.
                Some(name) => Path::new(name).to_owned(),
                None => entry.path.to_owned(),
            };
            if relative.as_os_str().is_empty() {
                return Ok(());
            }
            let whole = base.join(&relative);
            self.entry(entry, &whole)?;
            if entry.kind == FileType::Directory {
                copied.push((whole, entry.stat));
            }
            Ok(())
        })?;
        // Last, since filling a directory changes its time.
        for (path, stat) in copied.iter().rev() {
            let dir = self.open_dir(path)?;
            set_times(dir.as_fd(), stat).map_err(Error::errno("set the times of", path))?;
        }
        Ok(())
    }

    /// Writes a file whose content the Dockerfile itself has.
    pub fn write(&mut self, name: &str, content: &str, destination: &str) -> Result<(), Error> {
        let (dir, name) = self.file_target(OsStr::new(name), destination)?;
        let parent = self.open_dir(&dir)?;
        let whole = dir.join(&name);
        self.make_way(parent.as_fd(), &name, &whole, &whole)?;
        let file = create(parent.as_fd(), &name).map_err(Error::errno("make", &whole))?;
        write_all(&file, content.as_bytes()).map_err(Error::io("write", &whole))?;
        let owner = self.attributes.owner.unwrap_or_default();
        let mode = self
            .attributes
            .chmod
            .as_ref()
            .map_or(0o644, |chmod| chmod.apply(0o644, false));
        set_owner_and_mode(file.as_fd(), owner, mode)
            .map_err(Error::errno("set the owner of", &whole))
    }

    /// Makes a directory and the parents it lacks; the new ones belong to `owner`.
    pub fn make_directories(&self, path: &Path, owner: Owner) -> Result<(), Error> {
        let mut so_far = PathBuf::new();
        for part in path.components() {
            so_far.push(part);
            let relative = beneath(&so_far);
            if sys::path::exists(self.root, relative) {
                continue;
            }
            let made =
                sys::path::make_in_root(self.root, relative, sys::path::Missing::Directory, 0o755);
            let fd = made.map_err(Error::io("make directory", &so_far))?;
            let dir = rustix::fs::openat(
                &fd,
                ".",
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            );
            let dir = dir.map_err(Error::errno("open", &so_far))?;
            set_owner_and_mode(dir.as_fd(), owner, 0o755)
                .map_err(Error::errno("set the owner of", &so_far))?;
        }
        self.open_dir(path).map(drop)
    }

    /// Where a selection goes: a directory, and for a file its name there.
    fn target(
        &self,
        selected: &Selected,
        destination: &str,
    ) -> Result<(PathBuf, Option<std::ffi::OsString>), Error> {
        let mut destination = destination.to_owned();
        if !selected.kept.as_os_str().is_empty() {
            destination = format!(
                "{}/{}/",
                destination.trim_end_matches('/'),
                selected.kept.display()
            );
        }
        if selected.is_directory {
            let dir = PathBuf::from(&destination);
            self.make_directories(&dir, self.attributes.owner.unwrap_or_default())?;
            return Ok((dir, None));
        }
        let (dir, name) =
            self.file_target(selected.named.file_name().unwrap_or_default(), &destination)?;
        Ok((dir, Some(name)))
    }

    /// A file's directory (made) and name: below the destination if that is a directory, else the destination.
    fn file_target(
        &self,
        name: &OsStr,
        destination: &str,
    ) -> Result<(PathBuf, std::ffi::OsString), Error> {
        let path = Path::new(destination);
        let directory = destination.ends_with('/') || self.is_directory(path);
        let (dir, name) = match (directory, path.parent(), path.file_name()) {
            (false, Some(parent), Some(last)) => (parent, last),
            _ => (path, name),
        };
        self.make_directories(dir, self.attributes.owner.unwrap_or_default())?;
        Ok((dir.to_owned(), name.to_owned()))
    }

    fn is_directory(&self, path: &Path) -> bool {
        sys::path::open_in_root(self.root, beneath(path), OFlags::PATH | OFlags::DIRECTORY).is_ok()
    }

    fn open_dir(&self, path: &Path) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        sys::path::open_in_root(self.root, beneath(path), flags)
            .map_err(Error::io("open directory", path))
    }

    fn entry(&mut self, entry: &Entry<'_>, whole: &Path) -> Result<(), Error> {
        let (Some(parent), Some(name)) = (whole.parent(), whole.file_name()) else {
            return Ok(());
        };
        let dir = self.open_dir(parent)?;
        if entry.kind == FileType::Directory {
            return self.directory(entry, dir.as_fd(), name, whole);
        }
        self.make_way(dir.as_fd(), name, entry.path, whole)?;
        if entry.stat.st_nlink > 1 && self.linked(entry, dir.as_fd(), name, whole)? {
            return Ok(());
        }
        match entry.kind {
            FileType::RegularFile => return self.file(entry, dir.as_fd(), name, whole),
            FileType::Symlink => {
                let target = entry.link_target()?;
                rustix::fs::symlinkat(&target, dir.as_fd(), name)
                    .map_err(Error::errno("make link", whole))?;
            }
            kind => {
                let mode = Mode::from_raw_mode(entry.stat.st_mode & 0o7777);
                rustix::fs::mknodat(&dir, name, kind, mode, entry.stat.st_rdev)
                    .map_err(Error::errno("make", whole))?;
            }
        }
        let owner = self.attributes.owner.unwrap_or(entry.owner);
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&dir, name, Some(uid), Some(gid), flags)
            .map_err(Error::errno("set the owner of", whole))?;
        rustix::fs::utimensat(&dir, name, &times(&entry.stat), flags)
            .map_err(Error::errno("set the times of", whole))
    }

    fn directory(
        &self,
        entry: &Entry<'_>,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        whole: &Path,
    ) -> Result<(), Error> {
        match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) if self.is_directory(whole) => {}
            Err(Errno::EXIST) => {
                let cause = "a directory cannot replace what is no directory";
                return Err(Error::Conflict {
                    from: entry.path.into(),
                    to: whole.into(),
                    cause,
                });
            }
            Err(e) => return Err(Error::errno("make directory", whole)(e)),
        }
        let made = self.open_dir(whole)?;
        self.set_attributes(entry, made.as_fd())
            .map_err(Error::errno("set the owner of", whole))
    }

    fn file(
        &self,
        entry: &Entry<'_>,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        whole: &Path,
    ) -> Result<(), Error> {
        let mut from = entry.open()?;
        let mut to = create(dir, name).map_err(Error::errno("make", whole))?;
        // Uses copy_file_range(2), and with it reflinks where the file system has them.
        std::io::copy(&mut from, &mut to).map_err(Error::io("copy to", whole))?;
        self.set_attributes(entry, to.as_fd())
            .map_err(Error::errno("set the owner of", whole))?;
        set_times(to.as_fd(), &entry.stat).map_err(Error::errno("set the times of", whole))
    }

    /// The owner first: chown(2) clears set-id bits and capabilities.
    fn set_attributes(&self, entry: &Entry<'_>, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let mode = entry.stat.st_mode & 0o7777;
        let directory = entry.kind == FileType::Directory;
        let mode = self
            .attributes
            .chmod
            .as_ref()
            .map_or(mode, |chmod| chmod.apply(mode, directory));
        let owner = self.attributes.owner.unwrap_or(entry.owner);
        if directory || owner != Owner::default() {
            set_owner_and_mode(fd, owner, mode)?;
        } else {
            // A new file is root's already.
            rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))?;
        }
        for (name, value) in entry.xattrs() {
            match rustix::fs::fsetxattr(fd, name.as_slice(), &value, XattrFlags::empty()) {
                Ok(()) | Err(Errno::OPNOTSUPP) => {} // as Docker: the file system cannot
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Links to the copy made earlier of the same file.
    fn linked(
        &mut self,
        entry: &Entry<'_>,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        whole: &Path,
    ) -> Result<bool, Error> {
        let inode = (entry.stat.st_dev, entry.stat.st_ino);
        let Some(first) = self.links.get(&inode) else {
            self.links.insert(inode, whole.to_owned());
            return Ok(false);
        };
        let (Some(parent), Some(first_name)) = (first.parent(), first.file_name()) else {
            return Ok(false);
        };
        let first_dir = self.open_dir(parent)?;
        let linked = rustix::fs::linkat(&first_dir, first_name, dir, name, AtFlags::empty());
        Ok(linked.is_ok())
    }

    /// Removes what has the name now; a directory is not given up for a file.
    fn make_way(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        from: &Path,
        whole: &Path,
    ) -> Result<(), Error> {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) => {
                // Later names of that file must not be linked to what comes in its place.
                self.links.retain(|_, first| first != whole);
                Ok(())
            }
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => {
                let cause = "a directory is there";
                Err(Error::Conflict {
                    from: from.into(),
                    to: whole.into(),
                    cause,
                })
            }
            Err(e) => Err(Error::errno("replace", whole)(e)),
        }
    }
}

fn beneath(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn create(dir: BorrowedFd<'_>, name: &OsStr) -> Result<std::fs::File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?.into())
}

fn write_all(mut file: &std::fs::File, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    file.write_all(bytes)
}

fn set_owner_and_mode(fd: BorrowedFd<'_>, owner: Owner, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchown(
        fd,
        Some(Uid::from_raw(owner.uid)),
        Some(Gid::from_raw(owner.gid)),
    )?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.st_mtime as _,
        tv_nsec: stat.st_mtime_nsec as _,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn set_times(fd: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    rustix::fs::futimens(fd, &times(stat))
}
