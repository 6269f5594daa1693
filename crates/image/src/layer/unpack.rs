//! Applying one layer's archive to one directory, in the form overlayfs wants. The archive is hostile.
//!
//! Order and duplicates mean what they mean to Docker: a later entry replaces an earlier one, a directory
//! over a directory only changes its attributes, a whiteout hides what layers *below* have, never what this
//! layer brings. Directory times are set last, since filling a directory changes them.
//! Source: OCI image-spec `layer.md`; kernel `overlayfs.rst`; Docker `pkg/archive/diff.go`.

use crate::layer::attributes::{self, Ground, Late};
use crate::layer::fill::{self, Filler, Made};
use crate::layer::request::{Place, Request};
use crate::layer::root::{self, OPAQUE, as_path, components};
use crate::tarball::{self, Entry, Kind, Limits, Reader};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Why an archive could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Archive(#[from] tarball::reader::Error),
    #[error("the archive's entry {path:?} leads outside the layer")]
    Breakout { path: PathBuf },
    #[error("the archive's whiteout {} names nothing", path.display())]
    Whiteout { path: PathBuf },
    #[error("cannot {step} the layer's image")]
    Image {
        step: &'static str,
        source: io::Error,
    },
    #[error("the layer cannot be written as an image")]
    Encode(#[from] erofs::Error),
    #[error("cannot {step} {} of the layer", path.display())]
    Apply {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// What became of an archive.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    /// Bytes of file content.
    pub(crate) size: u64,
    /// Directories that no entry described: they take after the layers below.
    pub(crate) implied: Vec<Vec<u8>>,
    /// Hard links (path, target) whose target this layer does not have: a layer below must.
    pub(crate) links: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Unpacked {
    /// Whether nothing is left to the layers below.
    pub(crate) fn is_complete(&self) -> bool {
        self.links.is_empty() && self.implied.is_empty()
    }
}

/// Unpacks the (uncompressed) archive into `target`, and reads the stream to its end.
pub(crate) fn unpack(
    stream: impl BufRead,
    target: BorrowedFd<'_>,
    ground: Ground,
    limits: Limits,
) -> Result<Unpacked, Error> {
    let mut reader = Reader::new(stream, limits);
    std::thread::scope(|scope| {
        let filler = Filler::start(scope, ground);
        let mut unpacker = Unpacker {
            root: target,
            parent: None,
            directories: BTreeMap::new(),
            implied: BTreeMap::new(),
            ground,
            filler: &filler,
            done: Unpacked::default(),
        };
        let applied = unpacker.apply_all(&mut reader);
        let Unpacker {
            directories,
            implied,
            mut done,
            ..
        } = unpacker;
        // First, whatever became of the rest: it is nearer to what went wrong.
        filler.finish()?;
        applied?;
        set_late(target, &directories)?;
        done.implied = implied.into_keys().collect();
        Ok(done)
    })
}

struct Unpacker<'a> {
    root: BorrowedFd<'a>,
    /// The directory the last entry was in: archives list a directory's files one after the other.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Of directories, what is set at the end.
    directories: BTreeMap<Vec<u8>, Late>,
    implied: BTreeMap<Vec<u8>, ()>,
    ground: Ground,
    filler: &'a Filler<'a>,
    done: Unpacked,
}

impl Unpacker<'_> {
    fn apply_all<R: BufRead>(&mut self, reader: &mut Reader<R>) -> Result<(), Error> {
        while let Some(entry) = reader.next()? {
            self.apply(&entry, reader)?;
        }
        Ok(())
    }

    fn apply<R: BufRead>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<(), Error> {
        match Request::of(entry)? {
            Request::Nothing => Ok(()),
            Request::Root => self.apply_root(entry),
            Request::Opaque { directory } => {
                self.enter(&components(&directory).unwrap_or_default())?;
                self.set_opaque(&directory)
            }
            Request::Whiteout(place) => self.whiteout(&place),
            Request::Make(place) => {
                let (parent_path, path) = (place.parent(), place.path());
                let parent = self.enter(&place.parents)?;
                let made = self.make(entry, reader, parent.as_fd(), place.name, &path);
                self.parent = Some((parent_path, parent));
                made
            }
        }
    }

    /// `./`: the attributes of the layer's own root.
    fn apply_root(&mut self, entry: &Entry) -> Result<(), Error> {
        let fd = root::open_dir_rw(self.root, b"").map_err(|e| failed("open", b".", e))?;
        attributes::set_on_fd(fd.as_fd(), entry, b".", Ground::FOREIGN)?;
        self.put_off(b"", entry);
        Ok(())
    }

    /// The handle of the directory an entry stands in, made where it is missing.
    fn enter(&mut self, parents: &[&[u8]]) -> Result<OwnedFd, Error> {
        let path = parents.join(&b'/');
        match self.parent.take() {
            Some((known, fd)) if known == path => return Ok(fd),
            _ => {}
        }
        match root::open_dir(self.root, &path) {
            Ok(fd) => return Ok(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::LOOP) => {
                return Err(Error::Breakout {
                    path: as_path(&path).into(),
                });
            }
            Err(e) => return Err(failed("open", &path, e)),
        }
        let mut dir = root::open_dir(self.root, b"").map_err(|e| failed("open", b".", e))?;
        for depth in 1..=parents.len() {
            let so_far = parents[..depth].join(&b'/');
            dir = self.enter_one(dir, parents[depth - 1], &so_far)?;
        }
        Ok(dir)
    }

    fn enter_one(&mut self, dir: OwnedFd, name: &[u8], path: &[u8]) -> Result<OwnedFd, Error> {
        match root::open_dir(self.root, path) {
            Ok(fd) => return Ok(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(e) => return Err(failed("open", path, e)),
        }
        // A dangling link or a file in the way gives way, as it does when an entry of that name comes.
        let hid_lower = self.clear(dir.as_fd(), name, path)?;
        let mode = Mode::from_raw_mode(0o755);
        rustix::fs::mkdirat(&dir, name, mode).map_err(|e| failed("make directory", path, e))?;
        if !self.ground.has_mode(mode.as_raw_mode()) {
            rustix::fs::chmodat(&dir, name, mode, AtFlags::empty())
                .map_err(|e| failed("set the mode of", path, e))?;
        }
        let fd = root::open_dir(&dir, name).map_err(|e| failed("open", path, e))?;
        if hid_lower {
            self.set_opaque(path)?;
        }
        self.implied.insert(path.to_vec(), ());
        Ok(fd)
    }

    /// Removes what is in the way; true when it was a whiteout, whose effect a directory must carry on.
    fn clear(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<bool, Error> {
        let whiteout = match root::is_whiteout(dir, name) {
            Ok(whiteout) => whiteout,
            Err(Errno::NOENT) => return Ok(false),
            Err(e) => return Err(failed("look at", path, e)),
        };
        self.parent = None; // the handle kept may be of a directory that goes now
        root::remove_all(dir, name).map_err(|e| failed("replace", path, e))?;
        root::forget(&mut self.directories, path);
        root::forget(&mut self.implied, path);
        Ok(whiteout)
    }

    fn make<R: BufRead>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<R>,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Error> {
        match entry.kind {
            Kind::Directory => return self.make_directory(entry, dir, name, path),
            Kind::File => return self.make_file(entry, reader, dir, name, path),
            Kind::HardLink => return self.make_link(entry, dir, name, path),
            _ => {}
        }
        let mode = Mode::from_raw_mode(entry.mode);
        let step = match entry.kind {
            Kind::Symlink => "make link",
            Kind::Fifo => "make fifo",
            _ => "make device",
        };
        self.retrying(step, dir, name, path, || match entry.kind {
            Kind::Symlink => rustix::fs::symlinkat(entry.link.as_slice(), dir, name),
            Kind::Fifo => rustix::fs::mknodat(dir, name, FileType::Fifo, mode, 0),
            kind => {
                let (major, minor) = entry.device;
                let device = rustix::fs::makedev(major, minor);
                let file_type = if kind == Kind::CharDevice {
                    FileType::CharacterDevice
                } else {
                    FileType::BlockDevice
                };
                rustix::fs::mknodat(dir, name, file_type, mode, device)
            }
        })?;
        attributes::set_at(dir, name, entry, path, self.ground)
    }

    /// Makes something at `name`; what is there already is removed first.
    fn retrying<T>(
        &mut self,
        step: &'static str,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Error> {
        match make() {
            Err(Errno::EXIST) => {
                self.clear(dir, name, path)?;
                make().map_err(|e| failed(step, path, e))
            }
            other => other.map_err(|e| failed(step, path, e)),
        }
    }

    fn make_directory(
        &mut self,
        entry: &Entry,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Error> {
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let mut hid_lower = false;
        let mut ground = self.ground;
        match rustix::fs::mkdirat(dir, name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                ground = Ground::FOREIGN;
                if root::kind_at(dir, name).map_err(|e| failed("look at", path, e))?
                    != Some(FileType::Directory)
                {
                    hid_lower = self.clear(dir, name, path)?;
                    rustix::fs::mkdirat(dir, name, mode)
                        .map_err(|e| failed("make directory", path, e))?;
                }
            }
            Err(e) => return Err(failed("make directory", path, e)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, name, flags, Mode::empty())
            .map_err(|e| failed("open", path, e))?;
        attributes::set_on_fd(fd.as_fd(), entry, path, ground)?;
        if hid_lower {
            self.set_opaque(path)?;
        }
        self.implied.remove(path);
        self.put_off(path, entry);
        Ok(())
    }

    fn put_off(&mut self, path: &[u8], entry: &Entry) {
        let before = self.directories.remove(path);
        let late = Late::of(entry, before);
        self.directories.insert(path.to_vec(), late);
    }

    fn make_file<R: BufRead>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<R>,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Error> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let fd = self.retrying("make file", dir, name, path, || {
            rustix::fs::openat(dir, name, flags, mode)
        })?;
        self.done.size += entry.size;
        if entry.sparse.is_none() && entry.size <= fill::SMALL {
            let bytes = reader.whole()?;
            return self.filler.give(Made {
                fd,
                bytes,
                entry: entry.clone(),
                path: path.to_vec(),
            });
        }
        match &entry.sparse {
            None => self.copy(reader, fd.as_fd(), entry.size, path)?,
            Some(map) => {
                for (offset, length) in map {
                    rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(*offset))
                        .map_err(|e| failed("seek in", path, e))?;
                    self.copy(reader, fd.as_fd(), *length, path)?;
                }
                rustix::fs::ftruncate(&fd, entry.size).map_err(|e| failed("extend", path, e))?;
            }
        }
        fill::describe(&fd, entry, path, self.ground)
    }

    fn copy<R: BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        fd: BorrowedFd<'_>,
        length: u64,
        path: &[u8],
    ) -> Result<(), Error> {
        let mut left = length;
        while left > 0 {
            let bytes = reader.data(left)?;
            if bytes.is_empty() {
                return Err(tarball::reader::Error::Truncated.into());
            }
            match rustix::io::write(fd, bytes) {
                Ok(written) => {
                    reader.take_data(written);
                    left -= written as u64;
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(failed("write", path, e)),
            }
        }
        Ok(())
    }

    fn make_link(
        &mut self,
        entry: &Entry,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Error> {
        let breakout = || Error::Breakout {
            path: as_path(&entry.link).into(),
        };
        let target = components(&entry.link).ok_or_else(breakout)?;
        let (target_name, target_parents) = target.split_last().ok_or_else(breakout)?;
        let target_path = target.join(&b'/');
        if target_path == path {
            return Ok(());
        }
        let target_dir = match root::open_dir(self.root, &target_parents.join(&b'/')) {
            Ok(fd) => Some(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            Err(e) => return Err(failed("open", &target_path, e)),
        };
        let present = match &target_dir {
            Some(fd) => {
                root::kind_at(fd, target_name).map_err(|e| failed("look at", &target_path, e))?
            }
            None => None,
        };
        let (Some(target_dir), Some(kind)) = (target_dir, present) else {
            self.clear(dir, name, path)?;
            self.done.links.push((path.to_vec(), target_path));
            return Ok(());
        };
        if kind == FileType::Directory {
            return Err(failed("link to a directory at", path, Errno::PERM));
        }
        self.retrying("make hard link", dir, name, path, || {
            rustix::fs::linkat(&target_dir, *target_name, dir, name, AtFlags::empty())
        })
    }

    fn whiteout(&mut self, place: &Place<'_>) -> Result<(), Error> {
        let path = place.path();
        let dir = self.enter(&place.parents)?;
        let there = root::kind_at(&dir, place.name).map_err(|e| failed("look at", &path, e))?;
        match there {
            None => {
                let kind = FileType::CharacterDevice;
                rustix::fs::mknodat(&dir, place.name, kind, Mode::empty(), 0)
                    .map_err(|e| failed("make whiteout", &path, e))?;
            }
            // What this layer brings itself stays, and hides the lower one anyway; a directory would merge.
            Some(FileType::Directory) => self.set_opaque(&path)?,
            Some(_) => {}
        }
        self.parent = Some((place.parent(), dir));
        Ok(())
    }

    fn set_opaque(&mut self, path: &[u8]) -> Result<(), Error> {
        let fd = root::open_dir_rw(self.root, path).map_err(|e| failed("open", path, e))?;
        rustix::fs::fsetxattr(&fd, OPAQUE, b"y", XattrFlags::empty())
            .map_err(|e| failed("make opaque", path, e))
    }
}

/// What waits until all is made in a directory.
fn set_late(root: BorrowedFd<'_>, directories: &BTreeMap<Vec<u8>, Late>) -> Result<(), Error> {
    for (path, late) in directories {
        // Gone or replaced by a later entry: nothing to set.
        if let Ok(fd) = root::open_dir_rw(root, path) {
            late.set(fd.as_fd(), path)?;
        }
    }
    Ok(())
}

pub(super) fn failed(step: &'static str, path: &[u8], source: Errno) -> Error {
    Error::Apply {
        step,
        path: as_path(path).into(),
        source: source.into(),
    }
}
