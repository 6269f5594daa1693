//! A commit's tree as files beneath a handle. Every directory is made anew and opened without following links, every file is made
//! anew: whatever the tree says, nothing outside of the handle is touched.

use crate::error::Error;
use crate::object::{self, Entry, Id, Kind, Mode};
use crate::pack::Pack;
use rustix::fs::{AtFlags, OFlags, Timespec, Timestamps};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Files and directories of one checkout.
const MAX_FILES: usize = 5_000_000;
/// Directories in one another; each is a descriptor.
const MAX_DEPTH: usize = 200;
/// Bytes of all files: a tree may name one object many times.
const MAX_BYTES: u64 = 128 << 30;
/// A link's target.
const MAX_LINK: usize = 4095;

/// What was written, by path.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) files: Vec<(PathBuf, Mode, Id, u64)>,
    /// Empty directories, each for a commit of another repository.
    pub(crate) submodules: Vec<(PathBuf, Id)>,
}

/// Writes a tree; files and directories have the time of the commit, so that the same commit makes the same layer.
pub(crate) fn write(
    pack: &Pack,
    tree: &Id,
    seconds: i64,
    into: BorrowedFd<'_>,
) -> Result<Written, Error> {
    let mut checkout = Checkout {
        pack,
        time: Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        },
        written: Written::default(),
        made: 0,
        bytes: 0,
    };
    checkout.tree(tree, into, Path::new(""), 0)?;
    Ok(checkout.written)
}

/// A file without a name in a directory.
pub(crate) fn scratch(directory: BorrowedFd<'_>) -> Result<File, Error> {
    const NAME: &str = ".dockless-pack";
    let failed = |errno: rustix::io::Errno| Error::file("make", NAME)(errno.into());
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, NAME, flags, 0o600.into()).map_err(failed)?;
    rustix::fs::unlinkat(directory, NAME, AtFlags::empty()).map_err(failed)?;
    Ok(file.into())
}

struct Checkout<'p> {
    pack: &'p Pack,
    time: Timespec,
    written: Written,
    made: usize,
    bytes: u64,
}

impl Checkout<'_> {
    fn tree(
        &mut self,
        id: &Id,
        directory: BorrowedFd<'_>,
        path: &Path,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooLarge(
                "its directories are nested more than 200 deep",
            ));
        }
        for entry in object::tree(id, &self.pack.read(id, Kind::Tree)?)? {
            self.made += 1;
            if self.made > MAX_FILES {
                return Err(Error::TooLarge("it has more than 5 million files"));
            }
            let name = OsStr::from_bytes(&entry.name);
            let whole = path.join(name);
            match entry.mode {
                Mode::Tree => {
                    let made = directory_at(directory, name, &whole)?;
                    self.tree(&entry.id, made.as_fd(), &whole, depth + 1)?;
                    self.set_time(directory, name, &whole)?;
                }
                Mode::File | Mode::Executable => self.file(&entry, directory, &whole)?,
                Mode::Link => self.link(&entry, directory, &whole)?,
                Mode::Submodule => {
                    directory_at(directory, name, &whole)?;
                    self.written.submodules.push((whole, entry.id));
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, entry: &Entry, directory: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
        let name = OsStr::from_bytes(&entry.name);
        let mode = match entry.mode {
            Mode::Executable => 0o755,
            _ => 0o644,
        };
        let failed = |errno: rustix::io::Errno| Error::file("make", path)(errno.into());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(directory, name, flags | OFlags::CLOEXEC, 0o600.into());
        let mut file = File::from(file.map_err(failed)?);
        let size = self.pack.copy(&entry.id, &mut file)?;
        self.bytes += size;
        if self.bytes > MAX_BYTES {
            return Err(Error::TooLarge("its files have more than 128 GiB"));
        }
        rustix::fs::fchmod(&file, mode.into()).map_err(failed)?;
        self.set_time(directory, name, path)?;
        let known = (path.to_owned(), entry.mode, entry.id.clone(), size);
        self.written.files.push(known);
        Ok(())
    }

    fn link(&mut self, entry: &Entry, directory: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
        let name = OsStr::from_bytes(&entry.name);
        let target = self.pack.read(&entry.id, Kind::Blob)?;
        if target.is_empty() || target.len() > MAX_LINK || target.contains(&0) {
            return Err(Error::Object {
                id: entry.id.to_string(),
                what: "it is a symbolic link without a usable target",
            });
        }
        rustix::fs::symlinkat(&target[..], directory, name)
            .map_err(|errno| Error::file("make the link", path)(errno.into()))?;
        self.set_time(directory, name, path)?;
        let size = target.len() as u64;
        let known = (path.to_owned(), entry.mode, entry.id.clone(), size);
        self.written.files.push(known);
        Ok(())
    }

    fn set_time(&self, directory: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), Error> {
        let times = Timestamps {
            last_access: self.time,
            last_modification: self.time,
        };
        rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Error::file("set the time of", path)(errno.into()))
    }
}

/// Makes a directory, which must be new, and opens it.
pub(crate) fn directory_at(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
) -> Result<OwnedFd, Error> {
    let failed = |errno: rustix::io::Errno| Error::file("make", path)(errno.into());
    rustix::fs::mkdirat(parent, name, 0o755.into()).map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made =
        rustix::fs::openat(parent, name, flags, rustix::fs::Mode::empty()).map_err(failed)?;
    // Whatever umask the caller has.
    rustix::fs::fchmod(&made, 0o755.into()).map_err(failed)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Hash, Hasher};
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use std::io::Write;

    /// A pack of whole objects; their names in order.
    fn pack(objects: &[(Kind, Vec<u8>)]) -> (Pack, Vec<Id>) {
        let mut bytes = [
            &b"PACK\0\0\0\x02"[..],
            &(objects.len() as u32).to_be_bytes(),
        ]
        .concat();
        let mut ids = Vec::new();
        for (kind, content) in objects {
            let number = match kind {
                Kind::Commit => 1,
                Kind::Tree => 2,
                Kind::Blob => 3,
                Kind::Tag => 4,
            };
            assert!(content.len() < 1 << 11);
            bytes.push(0x80 | number << 4 | (content.len() & 15) as u8);
            bytes.push((content.len() >> 4) as u8);
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(content).unwrap();
            bytes.extend(encoder.finish().unwrap());
            ids.push(id(*kind, content));
        }
        let mut hasher = Hash::Sha1.hasher();
        hasher.update(&bytes);
        bytes.extend_from_slice(hasher.finish().bytes());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (Pack::open(file, Hash::Sha1).unwrap(), ids)
    }

    fn id(kind: Kind, content: &[u8]) -> Id {
        let mut hasher = Hasher::of(Hash::Sha1, kind, content.len() as u64);
        hasher.update(content);
        hasher.finish()
    }

    fn entry(mode: &str, name: &str, id: &Id) -> Vec<u8> {
        [mode.as_bytes(), b" ", name.as_bytes(), b"\0", id.bytes()].concat()
    }

    fn open(path: &Path) -> OwnedFd {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap()
    }

    #[test]
    fn a_tree_with_one_name_twice_cannot_write_through_a_link() {
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().as_os_str().as_bytes().to_vec();
        let link = (Kind::Blob, target);
        let file = (Kind::Blob, b"written\n".to_vec());
        let inner = (Kind::Tree, entry("100644", "file", &id(file.0, &file.1)));
        let link_entry = entry("120000", "a", &id(link.0, &link.1));
        for second in [
            entry("40000", "a", &id(inner.0, &inner.1)),
            entry("100644", "a", &id(file.0, &file.1)),
            entry("160000", "a", &id(file.0, &file.1)),
        ] {
            let root = (Kind::Tree, [link_entry.clone(), second].concat());
            let (pack, ids) = pack(&[link.clone(), file.clone(), inner.clone(), root]);
            let into = tempfile::tempdir().unwrap();
            let made = write(&pack, &ids[3], 0, open(into.path()).as_fd());
            assert!(matches!(made, Err(Error::File { .. })), "{made:?}");
            assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn trees_without_end_are_refused() {
        // Each of a hundred and more trees is in the next.
        let mut objects = vec![(Kind::Tree, entry("100644", "f", &id(Kind::Blob, b"")))];
        objects.insert(0, (Kind::Blob, Vec::new()));
        for _ in 0..MAX_DEPTH + 2 {
            let (kind, content) = objects.last().unwrap();
            let next = entry("40000", "d", &id(*kind, content));
            objects.push((Kind::Tree, next));
        }
        let (pack, ids) = pack(&objects);
        let into = tempfile::tempdir().unwrap();
        let made = write(&pack, ids.last().unwrap(), 0, open(into.path()).as_fd());
        assert!(matches!(made, Err(Error::TooLarge(_))), "{made:?}");
        // What the pack does not have is told by its name.
        let lost = write(&pack, &Id::of(&[7; 20]), 0, open(into.path()).as_fd());
        assert!(matches!(lost, Err(Error::MissingObject { .. })), "{lost:?}");
    }
}
