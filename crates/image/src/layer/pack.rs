//! Writing a layer's directory as an archive: the way back of `unpack`. Whiteout devices become `.wh.`
//! files, the opaque attribute becomes `.wh..wh..opq`. Names are sorted, so that one tree has one archive.
//! Source: OCI image-spec `layer.md`; kernel `overlayfs.rst`.

use crate::layer::root::{self, as_path};
use crate::tarball::{Entry, Kind, Writer};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Why a directory could not be written as an archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {step} {} of the layer", path.display())]
    Read {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    #[error("{} of the layer depends on the layers below ({attribute}): mount overlays with redirect_dir=off,metacopy=off", path.display())]
    Depends {
        path: PathBuf,
        attribute: &'static str,
    },
    #[error("{} of the layer changed while it was read", path.display())]
    Changed { path: PathBuf },
}

/// How a directory is read.
#[derive(Clone, Copy)]
pub struct Manner<'a> {
    /// User and group to write for those on disk.
    pub owners: &'a dyn Fn(u32, u32) -> (u32, u32),
    /// Somebody may be writing there: a file that gets shorter is filled up, and one that goes is left out.
    pub live: bool,
}

impl Manner<'_> {
    /// Owners as they are, of a directory nobody changes.
    pub const STILL: Manner<'static> = Manner {
        owners: &|uid, gid| (uid, gid),
        live: false,
    };
}

impl std::fmt::Debug for Manner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manner")
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

/// Writes all below `root`, and `root` itself as `./`; returns the bytes of file content.
pub(crate) fn pack(
    root: BorrowedFd<'_>,
    manner: Manner<'_>,
    out: impl Write,
) -> Result<u64, Error> {
    let mut packer = Packer {
        writer: Writer::new(out),
        manner,
        links: HashMap::new(),
        size: 0,
        buffer: vec![0; 256 << 10],
    };
    let stat = rustix::fs::fstat(root).map_err(|e| failed("look at", b".", e))?;
    packer.directory_entry(root, b".", b"", &stat)?;
    let top = root::open_dir_rw(root, b"").map_err(|e| failed("open", b".", e))?;
    packer.walk(top)?;
    packer.writer.finish().map_err(Error::Write)?;
    Ok(packer.size)
}

struct Packer<'a, W> {
    writer: Writer<W>,
    manner: Manner<'a>,
    /// The first path of every inode that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    size: u64,
    buffer: Vec<u8>,
}

/// A directory being walked: its handle, its path, the names still to do (last first).
struct Level {
    dir: OwnedFd,
    path: Vec<u8>,
    names: Vec<Vec<u8>>,
}

impl<W: Write> Packer<'_, W> {
    /// Depth first, the levels on a list: a tree may be deeper than the call stack allows.
    fn walk(&mut self, top: OwnedFd) -> Result<(), Error> {
        let first = names(top.as_fd(), b"")?;
        let mut levels = vec![Level {
            dir: top,
            path: Vec::new(),
            names: first,
        }];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            let path = join(&level.path, &name);
            if let Some(dir) = self.one(level.dir.as_fd(), &name, &path)? {
                let names = names(dir.as_fd(), &path)?;
                levels.push(Level { dir, path, names });
            }
        }
        Ok(())
    }

    /// Writes one entry; a directory is returned, to be walked.
    fn one(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<OwnedFd>, Error> {
        let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) if self.manner.live => return Ok(None),
            Err(e) => return Err(failed("look at", path, e)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        // Before the look at hard links: overlayfs makes all whiteouts links to one inode.
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            let (parent, _) = split(path);
            let marker = join(parent, &[b".wh.", name].concat());
            self.write(&entry(marker, Kind::File, &plain_mode(&stat)))?;
            return Ok(None);
        }
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let handle = rustix::fs::openat(dir, name, flags, Mode::empty())
                .map_err(|e| failed("open", path, e))?;
            self.directory_entry(dir, name, path, &stat)?;
            return Ok(Some(handle));
        }
        if kind == FileType::Socket {
            return Ok(None); // has no meaning without its process; Docker leaves them out too
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                let mut link = self.entry(path.to_vec(), Kind::HardLink, &stat);
                link.link = first.clone();
                self.write(&link)?;
                return Ok(None);
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
        self.leaf(dir, name, path, kind, &stat)?;
        Ok(None)
    }

    fn directory_entry(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), Error> {
        check_dependence(dir, name, path)?;
        let shown = if path.is_empty() {
            b"./".to_vec()
        } else {
            [path, b"/"].concat()
        };
        let mut directory = self.entry(shown, Kind::Directory, stat);
        directory.xattrs =
            root::read_xattrs(dir, name).map_err(|e| failed("read attributes of", path, e))?;
        self.write(&directory)?;
        if root::is_opaque(dir, name) {
            self.write(&entry(
                join(path, b".wh..wh..opq"),
                Kind::File,
                &plain_mode(stat),
            ))?;
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        kind: FileType,
        stat: &Stat,
    ) -> Result<(), Error> {
        let mut leaf = self.entry(path.to_vec(), Kind::File, stat);
        leaf.xattrs =
            root::read_xattrs(dir, name).map_err(|e| failed("read attributes of", path, e))?;
        match kind {
            FileType::RegularFile => return self.file(dir, name, path, leaf, stat),
            FileType::Symlink => {
                leaf.kind = Kind::Symlink;
                let target = rustix::fs::readlinkat(dir, name, Vec::new());
                leaf.link = target
                    .map_err(|e| failed("read link", path, e))?
                    .into_bytes();
            }
            FileType::Fifo => leaf.kind = Kind::Fifo,
            FileType::CharacterDevice | FileType::BlockDevice => {
                leaf.kind = if kind == FileType::BlockDevice {
                    Kind::BlockDevice
                } else {
                    Kind::CharDevice
                };
                leaf.device = (
                    rustix::fs::major(stat.st_rdev),
                    rustix::fs::minor(stat.st_rdev),
                );
            }
            _ => return Ok(()),
        }
        self.write(&leaf)
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        mut leaf: Entry,
        stat: &Stat,
    ) -> Result<(), Error> {
        check_dependence(dir, name, path)?;
        leaf.size = u64::try_from(stat.st_size).unwrap_or(0);
        self.write(&leaf)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(dir, name, flags, Mode::empty())
            .map_err(|e| failed("open", path, e))?;
        let mut file = File::from(file).take(leaf.size);
        let mut left = leaf.size;
        while left > 0 {
            let got = file.read(&mut self.buffer).map_err(|source| Error::Read {
                step: "read",
                path: as_path(path).into(),
                source,
            })?;
            if got == 0 && !self.manner.live {
                return Err(Error::Changed {
                    path: as_path(path).into(),
                });
            }
            if got == 0 {
                let zeros = [0; 4096];
                let more = zeros
                    .len()
                    .min(usize::try_from(left).unwrap_or(zeros.len()));
                self.writer.data(&zeros[..more]).map_err(Error::Write)?;
                left -= more as u64;
                continue;
            }
            self.writer
                .data(&self.buffer[..got])
                .map_err(Error::Write)?;
            left -= got as u64;
        }
        self.size += leaf.size;
        self.writer.pad(leaf.size).map_err(Error::Write)
    }

    fn write(&mut self, entry: &Entry) -> Result<(), Error> {
        self.writer.entry(entry).map_err(Error::Write)
    }

    fn entry(&self, path: Vec<u8>, kind: Kind, stat: &Stat) -> Entry {
        let (uid, gid) = (self.manner.owners)(stat.st_uid, stat.st_gid);
        Entry {
            uid,
            gid,
            ..entry(path, kind, stat)
        }
    }
}

/// A redirected or metadata-only copy means nothing without the layers below.
fn check_dependence(dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<(), Error> {
    for attribute in ["trusted.overlay.redirect", "trusted.overlay.metacopy"] {
        let at = root::proc_path(dir, name);
        if rustix::fs::lgetxattr(at.as_slice(), attribute, &mut [0u8; 1024][..]).is_ok() {
            return Err(Error::Depends {
                path: as_path(path).into(),
                attribute,
            });
        }
    }
    Ok(())
}

/// The names in a directory, in reverse order (the walk takes them from the end).
fn names(dir: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let list = Dir::read_from(dir).map_err(|e| failed("list", path, e))?;
    let mut names = Vec::new();
    for item in list {
        let name = item
            .map_err(|e| failed("list", path, e))?
            .file_name()
            .to_bytes()
            .to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

fn entry(path: Vec<u8>, kind: Kind, stat: &Stat) -> Entry {
    Entry {
        path,
        link: Vec::new(),
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (
            stat.st_mtime,
            u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        ),
        device: (0, 0),
        size: 0,
        sparse: None,
        xattrs: Vec::new(),
    }
}

/// Markers are plain files of root's, whatever stands behind them.
fn plain_mode(stat: &Stat) -> Stat {
    let mut plain = *stat;
    (
        plain.st_mode,
        plain.st_uid,
        plain.st_gid,
        plain.st_mtime,
        plain.st_mtime_nsec,
    ) = (0o600, 0, 0, 0, 0);
    plain
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() {
        name.to_vec()
    } else {
        [parent, b"/", name].concat()
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

fn failed(step: &'static str, path: &[u8], source: Errno) -> Error {
    Error::Read {
        step,
        path: as_path(path).into(),
        source: source.into(),
    }
}
