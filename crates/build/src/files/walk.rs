//! Every entry of a selection in a fixed order, and the digest of what a copy of it would be.
//!
//! The digest covers names, kinds, modes, owners, contents, link targets and the extended attributes that are
//! copied; never times: a fresh checkout of the same files is the same content.

use super::Error;
use super::owner::Owner;
use super::select::Selected;
use super::source::{Source, names};
use crate::ignore::{Ignore, Verdict};
use oci::Digest;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Deeper trees are an error: each level holds a descriptor.
const DEPTH: usize = 512;

/// One entry of a tree, handed out parents first.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The directory it stands in, and its name there; the name is `.` for the selected directory itself.
    pub dir: BorrowedFd<'a>,
    pub name: &'a OsStr,
    /// Relative to what was selected; empty for the selected thing itself.
    pub path: &'a Path,
    pub stat: rustix::fs::Stat,
    pub kind: FileType,
    pub owner: Owner,
}

impl Entry<'_> {
    pub fn open(&self) -> Result<std::fs::File, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.dir, self.name, flags, Mode::empty());
        Ok(fd.map_err(Error::errno("open", self.path))?.into())
    }

    pub fn link_target(&self) -> Result<std::ffi::CString, Error> {
        rustix::fs::readlinkat(self.dir, self.name, Vec::new())
            .map_err(Error::errno("read link", self.path))
    }

    /// The extended attributes that go along: file capabilities and `user.*`.
    pub fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let path = Path::new("/proc/self/fd")
            .join(self.dir.as_raw_fd().to_string())
            .join(self.name);
        let mut list = vec![0u8; 65_536];
        let Ok(length) = rustix::fs::llistxattr(&path, &mut list[..]) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for name in list[..length].split(|byte| *byte == 0) {
            if name != b"security.capability" && !name.starts_with(b"user.") {
                continue;
            }
            let mut value = vec![0u8; 65_536];
            if let Ok(size) = rustix::fs::lgetxattr(&path, name, &mut value[..]) {
                value.truncate(size);
                found.push((name.to_vec(), value));
            }
        }
        found.sort();
        found
    }
}

/// `--exclude` of one COPY, matched below the source directory, or against a file's own name.
pub fn excludes(patterns: &[String]) -> Result<Ignore, Error> {
    let mut text = String::new();
    for pattern in patterns {
        crate::pattern::Pattern::new(pattern)?;
        text.push_str(pattern);
        text.push('\n');
    }
    Ignore::parse("--exclude", &text).map_err(|error| Error::Pattern(error.cause))
}

/// Calls `visit` for everything below one selection.
pub fn walk(
    source: &Source,
    selected: &Selected,
    exclude: &Ignore,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let parent = selected.real.parent().unwrap_or(Path::new(""));
    let name = selected.real.file_name().unwrap_or(OsStr::new("."));
    if !selected.is_directory && exclude.excludes(&name.to_string_lossy()) {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    // The path holds no links: any there now were put there meanwhile.
    let dir = sys::path::open_without_links(source.root.as_fd(), parent, flags)
        .map_err(Error::io("open", parent))?;
    let mut walk = Walk {
        source,
        exclude,
        real: selected.real.clone(),
        visit,
        depth: 0,
    };
    walk.entry(dir.as_fd(), name, Path::new(""))
}

struct Walk<'a> {
    source: &'a Source,
    exclude: &'a Ignore,
    /// The selection's own path in the root: what the ignore file's rules speak of.
    real: PathBuf,
    visit: &'a mut dyn FnMut(&Entry<'_>) -> Result<(), Error>,
    depth: usize,
}

impl Walk<'_> {
    fn entry(&mut self, dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), Error> {
        let shown = || self.real.join(path);
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Error::errno("look at", shown()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let owner = self.source.owner(&stat);
        (self.visit)(&Entry {
            dir,
            name,
            path,
            stat,
            kind,
            owner,
        })?;
        if kind == FileType::Directory {
            return self.children(dir, name, path);
        }
        Ok(())
    }

    fn children(&mut self, dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), Error> {
        let whole = self.real.join(path);
        self.depth += 1;
        if self.depth > DEPTH {
            let error = std::io::Error::other("directories are nested too deeply");
            return Err(Error::io("enter", whole)(error));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below: OwnedFd = rustix::fs::openat(dir, name, flags, Mode::empty())
            .map_err(Error::errno("open", &whole))?;
        for child in names(below.as_fd(), &whole)? {
            let (child_path, child_real) = (path.join(&child), whole.join(&child));
            if self.exclude.excludes(&child_path.to_string_lossy())
                || !self.wanted(below.as_fd(), &child, &child_real)
            {
                continue;
            }
            self.entry(below.as_fd(), &child, &child_path)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Not hidden, or a directory with something in it that is not; sockets are nothing to copy.
    fn wanted(&self, dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> bool {
        let kind = || {
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some(FileType::from_raw_mode(stat.st_mode))
        };
        match self.source.verdict(path) {
            Verdict::Kept => kind() != Some(FileType::Socket),
            Verdict::Excluded { .. } => {
                self.source.enters(path)
                    && kind() == Some(FileType::Directory)
                    && self.holds_wanted(dir, name, path)
            }
        }
    }

    /// Whether a hidden directory has something in it that is not hidden.
    fn holds_wanted(&self, dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> bool {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(below) = rustix::fs::openat(dir, name, flags, Mode::empty()) else {
            return false;
        };
        let children = names(below.as_fd(), path).unwrap_or_default();
        let mut wanted = children
            .iter()
            .map(|child| self.wanted(below.as_fd(), child, &path.join(child)));
        path.components().count() < DEPTH && wanted.any(|wanted| wanted)
    }
}

/// The digest of everything the selections hold, as it would be copied.
pub fn digest(source: &Source, selected: &[Selected], exclude: &Ignore) -> Result<Digest, Error> {
    let mut hasher = oci::digest::Algorithm::Sha256.hasher();
    let mut buffer = vec![0; 128 << 10];
    for one in selected {
        // The name counts where it becomes the copy's name: that of a file, and the parents kept.
        let name = if one.is_directory {
            OsStr::new("")
        } else {
            one.named.file_name().unwrap_or_default()
        };
        field(&mut hasher, one.kept.as_os_str().as_bytes());
        field(&mut hasher, name.as_bytes());
        walk(source, one, exclude, &mut |entry| {
            add(&mut hasher, entry, &mut buffer)
        })?;
    }
    Ok(hasher.finish())
}

fn add(hasher: &mut oci::Hasher, entry: &Entry<'_>, buffer: &mut [u8]) -> Result<(), Error> {
    let root = entry.path.as_os_str().is_empty() && entry.kind == FileType::Directory;
    field(hasher, entry.path.as_os_str().as_bytes());
    if root {
        // The selected directory itself is not copied, only what it holds.
        return Ok(());
    }
    field(
        hasher,
        format!(
            "{:o} {} {}",
            entry.stat.st_mode, entry.owner.uid, entry.owner.gid
        )
        .as_bytes(),
    );
    for (name, value) in entry.xattrs() {
        field(hasher, &name);
        field(hasher, &value);
    }
    match entry.kind {
        FileType::RegularFile => {
            let mut file = entry.open()?;
            field(hasher, format!("{}", entry.stat.st_size).as_bytes());
            loop {
                let got = file.read(buffer).map_err(Error::io("read", entry.path))?;
                if got == 0 {
                    return Ok(());
                }
                hasher.update(&buffer[..got]);
            }
        }
        FileType::Symlink => field(hasher, entry.link_target()?.as_bytes()),
        FileType::CharacterDevice | FileType::BlockDevice => {
            field(hasher, format!("{}", entry.stat.st_rdev).as_bytes());
        }
        _ => {}
    }
    Ok(())
}

/// Length first, so that no two lists of fields run together to the same bytes.
fn field(hasher: &mut oci::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
