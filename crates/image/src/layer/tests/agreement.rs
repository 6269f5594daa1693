//! One archive, two forms: what was unpacked into a directory, and what the layer's image says, must be the same files.

use crate::layer::root;
use crate::layer::unpack::{Error, Unpacked};
use crate::layer::wrapped::{self, Wrapped};
use crate::tarball::Limits;
use erofs::{Body, Content, NodeId, Tree};
use rustix::fs::{AtFlags, FileType};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Every path with what is there.
type View = BTreeMap<Vec<u8>, String>;

/// Makes the image of the archive and compares it with the directory that the archive was unpacked into.
pub(super) fn check(
    archive: &[u8],
    limits: Limits,
    layer: &Path,
    unpacked: &Result<Unpacked, Error>,
) {
    let file = tempfile::tempfile().unwrap();
    let wrapped = wrapped::wrap(archive, file.try_clone().unwrap(), limits);
    let (unpacked, mut wrapped) = match (unpacked, wrapped) {
        (Ok(unpacked), Ok(wrapped)) => (unpacked, wrapped),
        (Err(_), Err(_)) => return,
        (Ok(_), Err(e)) => panic!("unpacked, but its image is refused: {e:?}"),
        (Err(e), Ok(_)) => panic!("refused, but its image is made: {e:?}"),
    };
    assert_eq!(unpacked.size, wrapped.unpacked.size);
    assert_eq!(unpacked.implied, wrapped.unpacked.implied);
    assert_eq!(unpacked.links, wrapped.unpacked.links);
    let mut in_archive = vec![0; archive.len()];
    file.read_exact_at(&mut in_archive, erofs::HEAD as u64)
        .unwrap();
    assert!(
        in_archive == archive,
        "the archive lies in the image as it came"
    );
    let image = of_image(&wrapped, &file);
    let directory = of_directory(layer, &unpacked.implied);
    for (path, line) in &directory {
        assert_eq!(
            image.get(path),
            Some(line),
            "{}",
            String::from_utf8_lossy(path)
        );
    }
    assert_eq!(
        directory.keys().collect::<Vec<_>>(),
        image.keys().collect::<Vec<_>>()
    );
    wrapped.finish([1; 16]).unwrap();
}

fn of_image(wrapped: &Wrapped, file: &fs::File) -> View {
    let mut lines = Vec::new();
    let mut names: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut todo = vec![(Vec::new(), Tree::ROOT)];
    while let Some((path, id)) = todo.pop() {
        let node = wrapped.tree.node(id);
        let what = match &node.body {
            Body::Directory(children) => {
                for (name, child) in children.iter().rev() {
                    todo.push((join(&path, name), *child));
                }
                "directory".to_owned()
            }
            Body::File(content) => format!("file {:?}", lossy(&bytes(content, file))),
            Body::Symlink(target) => format!("link to {:?}", lossy(target)),
            Body::CharDevice { major, minor } => format!("c {major}:{minor}"),
            Body::BlockDevice { major, minor } => format!("b {major}:{minor}"),
            Body::Fifo => "fifo".to_owned(),
        };
        let a = &node.attributes;
        let mtime = match wrapped.unpacked.implied.contains(&path) || path.is_empty() {
            true => (0, 0),
            false => a.mtime,
        };
        let xattrs: Vec<_> = a
            .xattrs
            .iter()
            .map(|(n, v)| (lossy(n), v.clone()))
            .collect();
        let line = words(&what, u32::from(a.mode), (a.uid, a.gid), mtime, &xattrs);
        *names.entry(id).or_default() += 1;
        lines.push((path, id, line));
    }
    let counted = |(path, id, line): (Vec<u8>, NodeId, String)| (path, grouped(line, names[&id]));
    lines.into_iter().map(counted).collect()
}

/// A file, and how many names it has.
fn grouped(line: String, names: usize) -> String {
    match names {
        1 => line,
        _ => format!("{line} with {names} names"),
    }
}

fn bytes(content: &Content, file: &fs::File) -> Vec<u8> {
    let read = |offset, size: u64| {
        let mut bytes = vec![0; size as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match file
                .read_at(&mut bytes[filled..], offset + filled as u64)
                .unwrap()
            {
                0 => break, // a hole at the end of the file
                got => filled += got,
            }
        }
        bytes
    };
    match content {
        Content::Flat { offset, size } => read(*offset, *size),
        Content::Sparse { size, chunks } => {
            let piece = erofs::BLOCK << chunks.doublings;
            let mut all = Vec::new();
            for offset in &chunks.offsets {
                match offset {
                    Some(offset) => all.extend(read(*offset, piece)),
                    None => all.resize(all.len() + piece as usize, 0),
                }
            }
            all.truncate(*size as usize);
            all
        }
    }
}

fn of_directory(layer: &Path, implied: &[Vec<u8>]) -> View {
    let mut view = View::new();
    let top = crate::layer::store::open_dir(layer).unwrap();
    let mut todo = vec![(Vec::new(), top)];
    while let Some((path, directory)) = todo.pop() {
        let stat = rustix::fs::fstat(&directory).unwrap();
        let mtime = match implied.contains(&path) || path.is_empty() {
            true => (0, 0),
            false => (stat.st_mtime, stat.st_mtime_nsec as u32),
        };
        let xattrs = attributes(directory.as_fd(), b".");
        let owner = (stat.st_uid, stat.st_gid);
        let line = words("directory", stat.st_mode & 0o7777, owner, mtime, &xattrs);
        view.insert(path.clone(), line);
        let mut names: Vec<Vec<u8>> = rustix::fs::Dir::read_from(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_bytes().to_vec())
            .filter(|name| name != b"." && name != b"..")
            .collect();
        names.sort();
        for name in names {
            let path = join(&path, &name);
            let stat =
                rustix::fs::statat(&directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).unwrap();
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                todo.push((path, root::open_dir_rw(&directory, &name).unwrap()));
                continue;
            }
            let full = layer.join(std::ffi::OsStr::from_bytes(&path));
            let device = || {
                format!(
                    "{}:{}",
                    rustix::fs::major(stat.st_rdev),
                    rustix::fs::minor(stat.st_rdev)
                )
            };
            let what = match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => format!("file {:?}", lossy(&fs::read(&full).unwrap())),
                FileType::Symlink => {
                    format!(
                        "link to {:?}",
                        lossy(fs::read_link(&full).unwrap().as_os_str().as_bytes())
                    )
                }
                FileType::CharacterDevice => format!("c {}", device()),
                FileType::BlockDevice => format!("b {}", device()),
                _ => "fifo".to_owned(),
            };
            let xattrs = attributes(directory.as_fd(), &name);
            let (owner, mtime) = (
                (stat.st_uid, stat.st_gid),
                (stat.st_mtime, stat.st_mtime_nsec as u32),
            );
            let line = words(&what, stat.st_mode & 0o7777, owner, mtime, &xattrs);
            view.insert(path, grouped(line, stat.st_nlink as usize));
        }
    }
    view
}

fn attributes(directory: std::os::fd::BorrowedFd<'_>, name: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = root::read_xattrs(directory, name)
        .unwrap()
        .into_iter()
        .map(|(name, value)| (lossy(&name), value))
        .collect();
    if root::is_opaque(directory, name) {
        found.push((root::OPAQUE.to_owned(), b"y".to_vec()));
    }
    found.sort();
    found
}

fn words(
    what: &str,
    mode: u32,
    (uid, gid): (u32, u32),
    mtime: (i64, u32),
    xattrs: &[(String, Vec<u8>)],
) -> String {
    // A whiteout has no attributes that anybody could see, and its time is when it was made.
    match what {
        "c 0:0" => what.to_owned(),
        _ => format!("{what} {mode:o} {uid}:{gid} {mtime:?} {xattrs:?}"),
    }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    match path.is_empty() {
        true => name.to_vec(),
        false => [path, name].join(&b'/'),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
