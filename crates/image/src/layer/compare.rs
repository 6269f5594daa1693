//! Whether a layer on disk is what its archive says: it is made anew beside it, and the two are compared.
//!
//! Times of directories are not compared (those that no entry describes have the time they were made), and of overlayfs' own
//! attributes only whether a directory is opaque.

use crate::archive::read_up_to;
use crate::layer::root::{self, as_path};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The first thing in which two files differ, or that there is none.
pub(crate) fn files(a: &Path, b: &Path) -> io::Result<Option<String>> {
    let differ = !same_content(&mut File::open(a)?, &mut File::open(b)?)?;
    Ok(differ.then(|| "its file differs from its archive".to_owned()))
}

/// The first thing in which a directory differs from what it should be.
pub(crate) fn trees(actual: OwnedFd, wanted: OwnedFd) -> io::Result<Option<String>> {
    let mut todo = vec![(Vec::new(), actual, wanted)];
    while let Some((path, actual, wanted)) = todo.pop() {
        let (have, want) = (names(actual.as_fd())?, names(wanted.as_fd())?);
        for name in have.union(&want) {
            let full = [path.as_slice(), b"/", name].concat();
            let shown = as_path(&full).display();
            match (have.contains(name), want.contains(name)) {
                (true, false) => return Ok(Some(format!("{shown} does not belong there"))),
                (false, true) => return Ok(Some(format!("{shown} is missing"))),
                _ => {}
            }
            if let Some(what) = entries(actual.as_fd(), wanted.as_fd(), name)? {
                return Ok(Some(format!("{shown}: {what} differs")));
            }
            if root::kind_at(&wanted, name)? == Some(FileType::Directory) {
                todo.push((full, open(&actual, name)?, open(&wanted, name)?));
            }
        }
    }
    Ok(None)
}

fn open(dir: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// Sockets are in no archive.
fn names(dir: BorrowedFd<'_>) -> Result<BTreeSet<Vec<u8>>, Errno> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let socket = root::kind_at(dir, name)? == Some(FileType::Socket);
        if !matches!(name, b"." | b"..") && !socket {
            names.insert(name.to_vec());
        }
    }
    Ok(names)
}

fn entries(
    actual: BorrowedFd<'_>,
    wanted: BorrowedFd<'_>,
    name: &[u8],
) -> io::Result<Option<&'static str>> {
    let stat = |dir| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let (a, b) = (stat(actual)?, stat(wanted)?);
    if let Some(what) = attributes(&a, &b) {
        return Ok(Some(what));
    }
    if root::read_xattrs(actual, name)? != root::read_xattrs(wanted, name)? {
        return Ok(Some("an extended attribute"));
    }
    let differ = match FileType::from_raw_mode(a.st_mode) {
        FileType::Directory if root::is_opaque(actual, name) != root::is_opaque(wanted, name) => {
            Some("what it hides")
        }
        FileType::Symlink => {
            let target = |dir| rustix::fs::readlinkat(dir, name, Vec::new());
            (target(actual)? != target(wanted)?).then_some("its target")
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = |dir| rustix::fs::openat(dir, name, flags, Mode::empty()).map(File::from);
            let same = same_content(&mut open(actual)?, &mut open(wanted)?)?;
            (!same).then_some("its content")
        }
        _ => None,
    };
    Ok(differ)
}

fn attributes(a: &Stat, b: &Stat) -> Option<&'static str> {
    let kind = FileType::from_raw_mode(a.st_mode);
    let is_dir = kind == FileType::Directory;
    let device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
    let whiteout = kind == FileType::CharacterDevice && a.st_rdev == 0 && b.st_rdev == 0;
    if kind != FileType::from_raw_mode(b.st_mode) {
        return Some("its kind");
    }
    // A whiteout is a name and no more.
    if whiteout {
        return None;
    }
    if a.st_mode != b.st_mode && kind != FileType::Symlink {
        return Some("its mode");
    }
    if (a.st_uid, a.st_gid) != (b.st_uid, b.st_gid) {
        return Some("its owner");
    }
    if !is_dir && a.st_size != b.st_size {
        return Some("its size");
    }
    if !is_dir && (a.st_mtime, a.st_mtime_nsec) != (b.st_mtime, b.st_mtime_nsec) {
        return Some("its time");
    }
    (device && a.st_rdev != b.st_rdev).then_some("its device")
}

fn same_content(a: &mut File, b: &mut File) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; 128 << 10], vec![0; 128 << 10]);
    loop {
        let (got, other) = (read_up_to(a, &mut left)?, read_up_to(b, &mut right)?);
        if left[..got] != right[..other] {
            return Ok(false);
        }
        if got == 0 {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::store::open_dir;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree(dir: &Path) {
        std::fs::create_dir_all(dir.join("a")).unwrap();
        std::fs::write(dir.join("a/file"), "text").unwrap();
        symlink("file", dir.join("a/link")).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let file = File::options()
            .write(true)
            .open(dir.join("a/file"))
            .unwrap();
        file.set_modified(time).unwrap();
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stamp = rustix::fs::Timespec {
            tv_sec: 5,
            tv_nsec: 0,
        };
        let times = rustix::fs::Timestamps {
            last_access: stamp,
            last_modification: stamp,
        };
        rustix::fs::utimensat(rustix::fs::CWD, dir.join("a/link"), &times, flags).unwrap();
    }

    /// What is told of a tree that was changed in one way.
    fn told(change: impl FnOnce(&Path)) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        tree(&a);
        tree(&b);
        change(&a);
        trees(open_dir(&a).unwrap(), open_dir(&b).unwrap()).unwrap()
    }

    #[test]
    fn every_change_is_found_and_named() {
        assert_eq!(told(|_| {}), None);
        let written = told(|dir| {
            let file = dir.join("a/file");
            let time = file.metadata().unwrap().modified().unwrap();
            std::fs::write(&file, "tex!").unwrap();
            let file = File::options().write(true).open(&file).unwrap();
            file.set_modified(time).unwrap();
        });
        assert_eq!(written.unwrap(), "/a/file: its content differs");
        let gone = told(|dir| std::fs::remove_file(dir.join("a/link")).unwrap());
        assert_eq!(gone.unwrap(), "/a/link is missing");
        let more = told(|dir| std::fs::write(dir.join("b"), "").unwrap());
        assert_eq!(more.unwrap(), "/b does not belong there");
        let mode = told(|dir| {
            let mode = std::fs::Permissions::from_mode(0o4755);
            std::fs::set_permissions(dir.join("a/file"), mode).unwrap();
        });
        assert_eq!(mode.unwrap(), "/a/file: its mode differs");
    }
}
