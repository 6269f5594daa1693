//! Where files are copied from: a build context, a stage, an image. A handle of its root, and what hides there.

use super::Error;
use super::owner::Owner;
use crate::ignore::{Ignore, Verdict};
use rustix::fs::OFlags;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Whether files keep the owners they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Of a stage or an image.
    Kept,
    /// Of a context: everything is root's.
    Root,
}

/// A root to copy from.
#[derive(Debug)]
pub struct Source {
    pub root: OwnedFd,
    pub ignore: Ignore,
    pub owners: Owners,
    /// For messages: `the build context /srv/app`.
    pub place: String,
}

impl Source {
    /// What the source says about a path; `path` is relative to the root.
    pub fn verdict(&self, path: &Path) -> Verdict<'_> {
        if self.ignore.is_empty() || path.as_os_str().is_empty() {
            return Verdict::Kept;
        }
        self.ignore.verdict(&path.to_string_lossy())
    }

    /// Whether a directory is to be entered: it is kept, or something in it may be.
    pub fn enters(&self, path: &Path) -> bool {
        self.verdict(path) == Verdict::Kept || self.ignore.may_keep_below(&path.to_string_lossy())
    }

    /// Opens (`O_PATH`) what a path names, links followed within the root.
    pub fn open(&self, path: &Path) -> std::io::Result<OwnedFd> {
        sys::path::open_in_root(self.root.as_fd(), path, OFlags::PATH)
    }

    /// Where a handle really lies, relative to the root: the path without links.
    pub fn real_path(&self, fd: BorrowedFd<'_>) -> Result<PathBuf, Error> {
        let link = |fd: BorrowedFd<'_>| {
            let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
            std::fs::read_link(&path).map_err(Error::io("resolve", path))
        };
        let (root, path) = (link(self.root.as_fd())?, link(fd)?);
        let outside = || {
            std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "moved while the build was reading it",
            )
        };
        let inside = path
            .strip_prefix(&root)
            .map_err(|_| Error::io("find", &path)(outside()))?;
        Ok(inside.to_owned())
    }

    /// The owner a copy of a file gets when nobody says otherwise.
    pub fn owner(&self, stat: &rustix::fs::Stat) -> Owner {
        match self.owners {
            Owners::Kept => Owner {
                uid: stat.st_uid,
                gid: stat.st_gid,
            },
            Owners::Root => Owner::default(),
        }
    }

    /// The error for a path that is not there, or hidden.
    pub(crate) fn missing(&self, wanted: &str, path: &Path) -> Error {
        let (wanted, place) = (
            format!("/{}", wanted.trim_start_matches('/')),
            self.place.clone(),
        );
        match self.verdict(path) {
            Verdict::Excluded { pattern, line } => {
                let (file, pattern) = (self.ignore.file.clone(), pattern.to_owned());
                Error::Excluded {
                    wanted,
                    place,
                    file,
                    line,
                    pattern,
                }
            }
            Verdict::Kept => Error::NotFound { wanted, place },
        }
    }
}

/// The names in a directory, sorted by their bytes.
pub(crate) fn names(dir: BorrowedFd<'_>, path: &Path) -> Result<Vec<std::ffi::OsString>, Error> {
    let read = |step: rustix::io::Errno| Error::errno("list", path)(step);
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(std::ffi::OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort();
    Ok(names)
}
