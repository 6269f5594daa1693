//! `diff`: what a container has changed in its files, read from its own directory beside the layers below.
//!
//! Source: Docker CLI reference (`docker diff`), moby `pkg/archive/changes.go` for what is listed; kernel `overlayfs.rst` for
//! whiteouts and opaque directories.

use super::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// In Docker's letters: `A`, `C`, `D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Added,
    Changed,
    Deleted,
}

/// Everything that differs from the image, parents before what is in them.
pub type Changes = BTreeMap<PathBuf, Kind>;

pub fn diff(ctx: &Context, container: &ContainerRecord) -> Result<Changes> {
    let upper = ctx.layout.container(container.id.as_str()).join("upper");
    let top = directory(rustix::fs::CWD, upper.as_os_str())
        .map_err(|e| Error::file("open", &upper)(e.into()))?;
    let mut layers = container.image.files();
    layers.push(ctx.layout.mount_points());
    let below = runtime::image_tree(&layers, None)?;
    let mut walk = Walk {
        below,
        changes: Changes::new(),
    };
    walk.all(top)?;
    Ok(walk.changes)
}

struct Walk {
    /// The image's files, merged.
    below: OwnedFd,
    changes: Changes,
}

impl Walk {
    /// The levels are on a list: a tree may be deeper than the call stack allows.
    fn all(&mut self, top: OwnedFd) -> Result<()> {
        let mut todo = vec![(top, PathBuf::from("/"))];
        while let Some((dir, path)) = todo.pop() {
            let failed = |e: Errno| Error::file("read", &path)(e.into());
            for name in names(dir.as_fd()).map_err(failed)? {
                let path = path.join(OsStr::from_bytes(name.to_bytes()));
                let stat = rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|e| Error::file("look at", &path)(e.into()))?;
                if self.one(&path, &stat)? {
                    let below = directory(&dir, OsStr::from_bytes(name.to_bytes()))
                        .map_err(|e| Error::file("open", &path)(e.into()))?;
                    self.opaque(below.as_fd(), &path)?;
                    todo.push((below, path));
                }
            }
        }
        Ok(())
    }

    /// Enters one file; whether it is a directory to look into.
    fn one(&mut self, path: &Path, stat: &Stat) -> Result<bool> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let before = self.before(path)?;
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            if before.is_some() {
                self.enter(path, Kind::Deleted);
            }
            return Ok(false);
        }
        match before {
            None => self.enter(path, Kind::Added),
            Some(before) if !same_directory(&before, stat) => self.enter(path, Kind::Changed),
            Some(_) => {}
        }
        Ok(kind == FileType::Directory)
    }

    /// What an opaque directory hides of the image and has nothing in the place of was deleted.
    fn opaque(&mut self, dir: BorrowedFd<'_>, path: &Path) -> Result<()> {
        let at = format!("/proc/self/fd/{}", dir.as_raw_fd());
        let mut value = [0u8; 1];
        let attribute = "trusted.overlay.opaque";
        let opaque = rustix::fs::getxattr(at.as_str(), attribute, &mut value[..]);
        if !opaque.is_ok_and(|_| value == *b"y") {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let Ok(hidden) = sys::path::open_without_links(self.below.as_fd(), relative(path), flags)
        else {
            return Ok(());
        };
        let failed = |e: Errno| Error::file("read", path)(e.into());
        for name in names(hidden.as_fd()).map_err(failed)? {
            if rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                let path = path.join(OsStr::from_bytes(name.to_bytes()));
                self.enter(&path, Kind::Deleted);
            }
        }
        Ok(())
    }

    /// The same path in the image; a link on the way is never followed.
    fn before(&self, path: &Path) -> Result<Option<Stat>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        match sys::path::open_without_links(self.below.as_fd(), relative(path), flags) {
            Ok(found) => rustix::fs::statat(&found, "", AtFlags::EMPTY_PATH)
                .map(Some)
                .map_err(|e| Error::file("look at", path)(e.into())),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(Error::file("look at", path)(e)),
        }
    }

    /// A change is a change of all directories above, too.
    fn enter(&mut self, path: &Path, kind: Kind) {
        self.changes.insert(path.to_owned(), kind);
        for above in path.ancestors().skip(1).filter(|a| *a != Path::new("/")) {
            self.changes
                .entry(above.to_owned())
                .or_insert(Kind::Changed);
        }
    }
}

/// A directory that is only there because something below it changed.
fn same_directory(before: &Stat, now: &Stat) -> bool {
    let of = |stat: &Stat| {
        let is = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        (is, stat.st_mode, stat.st_mtime, stat.st_mtime_nsec)
    };
    of(before).0 && of(before) == of(now)
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
    )
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn directory(at: impl AsFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

fn names(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}
