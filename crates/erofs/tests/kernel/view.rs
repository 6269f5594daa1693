//! What a tree says and what the kernel shows, in the same words: a line for each path.

use erofs::{Body, Content, HEAD, NodeId, Tree, encode};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use sys::mount::{Flags, FsContext};

/// Path to description.
pub(crate) type View = BTreeMap<Vec<u8>, String>;

/// Writes an image with this data between head and metadata, and mounts it; nothing where the kernel cannot.
pub(crate) fn mount(tree: &Tree, data: &[u8], at: &Path) -> OwnedFd {
    write(tree, data, at);
    mounted(at).unwrap()
}

pub(crate) fn write(tree: &Tree, data: &[u8], at: &Path) {
    let end = (HEAD + data.len()) as u64;
    let start = end.next_multiple_of(erofs::BLOCK);
    let image = encode(tree, start, [1; 16]).unwrap();
    let mut file = File::create(at).unwrap();
    file.write_all(&*image.head).unwrap();
    file.write_all(data).unwrap();
    file.write_all_at(&image.metadata, start).unwrap();
}

pub(crate) fn mounted(at: &Path) -> std::io::Result<OwnedFd> {
    let context = FsContext::open("erofs")?;
    context.set("source", at)?;
    context.create(Flags::MOUNT_ATTR_RDONLY)
}

/// What the tree says.
pub(crate) fn said(tree: &Tree, data: &[u8]) -> View {
    let mut view = View::new();
    let mut numbers = Vec::new();
    let mut todo = vec![(Vec::new(), Tree::ROOT)];
    while let Some((path, id)) = todo.pop() {
        view.insert(path.clone(), described(tree, id, data, &mut numbers));
        if let Body::Directory(children) = &tree.node(id).body {
            for (name, child) in children {
                todo.push(([path.as_slice(), name].join(&b'/'), *child));
            }
        }
    }
    view
}

fn described(tree: &Tree, id: NodeId, data: &[u8], _numbers: &mut Vec<NodeId>) -> String {
    let node = tree.node(id);
    let a = &node.attributes;
    let what = match &node.body {
        Body::Directory(_) => "directory".to_owned(),
        Body::File(content) => format!("file {}", summary(&bytes(content, data))),
        Body::Symlink(target) => format!("link to {}", String::from_utf8_lossy(target)),
        Body::CharDevice { major, minor } => format!("c {major}:{minor}"),
        Body::BlockDevice { major, minor } => format!("b {major}:{minor}"),
        Body::Fifo => "fifo".to_owned(),
    };
    let attributes: Vec<_> = a.xattrs.iter().map(|(n, v)| attribute(n, v)).collect();
    let (mode, mtime) = (a.mode, a.mtime);
    format!(
        "{what} {mode:o} {}:{} {mtime:?} {attributes:?}",
        a.uid, a.gid
    )
}

fn attribute(name: &[u8], value: &[u8]) -> String {
    format!("{}={}", String::from_utf8_lossy(name), summary(value))
}

/// Content in few words: enough to notice any difference.
fn summary(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{} bytes {sum:x}", bytes.len())
}

fn bytes(content: &Content, data: &[u8]) -> Vec<u8> {
    let at = |offset: u64| &data[offset as usize - HEAD..];
    match content {
        Content::Flat { size: 0, .. } => Vec::new(),
        Content::Flat { offset, size } => at(*offset)[..*size as usize].to_vec(),
        Content::Sparse { size, chunks } => {
            let piece = (erofs::BLOCK as usize) << chunks.doublings;
            let mut all = Vec::new();
            for offset in &chunks.offsets {
                match offset {
                    Some(offset) => all.extend_from_slice(&at(*offset)[..piece]),
                    None => all.resize(all.len() + piece, 0),
                }
            }
            all.truncate(*size as usize);
            all
        }
    }
}

/// What the kernel shows.
pub(crate) fn shown(root: &OwnedFd) -> View {
    let mut view = View::new();
    let mut todo = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        let at = match path.is_empty() {
            true => b".".to_vec(),
            false => path[1..].to_vec(),
        };
        view.insert(path.clone(), looked_at(root, &at));
        let stat = rustix::fs::statat(root, at.as_slice(), AtFlags::SYMLINK_NOFOLLOW).unwrap();
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(root, at.as_slice(), flags, Mode::empty()).unwrap();
        for entry in Dir::read_from(directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                todo.push([path.as_slice(), name].join(&b'/'));
            }
        }
    }
    view
}

fn looked_at(root: &OwnedFd, path: &[u8]) -> String {
    let stat = rustix::fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    let device = || {
        format!(
            "{}:{}",
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev)
        )
    };
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => "directory".to_owned(),
        FileType::RegularFile => format!("file {}", summary(&read(root, path))),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(root, path, Vec::new()).unwrap();
            format!("link to {}", target.to_string_lossy())
        }
        FileType::CharacterDevice => format!("c {}", device()),
        FileType::BlockDevice => format!("b {}", device()),
        FileType::Fifo => "fifo".to_owned(),
        other => format!("{other:?}"),
    };
    let mode = stat.st_mode & 0o7777;
    let mtime = (stat.st_mtime, stat.st_mtime_nsec as u32);
    format!(
        "{what} {mode:o} {}:{} {mtime:?} {:?}",
        stat.st_uid,
        stat.st_gid,
        attributes(root, path)
    )
}

fn read(root: &OwnedFd, path: &[u8]) -> Vec<u8> {
    let file =
        rustix::fs::openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let mut all = Vec::new();
    File::from(file).read_to_end(&mut all).unwrap();
    all
}

fn attributes(root: &OwnedFd, path: &[u8]) -> Vec<String> {
    let parent = match path.iter().rposition(|b| *b == b'/') {
        Some(at) => &path[..at],
        None => b".",
    };
    let name = path.rsplit(|b| *b == b'/').next().unwrap();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat(root, parent, flags, Mode::empty()).unwrap();
    let mut at = format!("/proc/self/fd/{}/", parent.as_fd().as_raw_fd()).into_bytes();
    at.extend_from_slice(name);
    let mut names = vec![0u8; 1 << 16];
    let length = rustix::fs::llistxattr(at.as_slice(), &mut names[..]).unwrap();
    let mut found: Vec<_> = names[..length]
        .split(|b| *b == 0)
        .filter(|n| !n.is_empty())
        .collect();
    found.sort_unstable();
    let value = |name: &&[u8]| {
        let mut value = vec![0u8; 1 << 16];
        let size = rustix::fs::lgetxattr(at.as_slice(), *name, &mut value[..]).unwrap();
        attribute(name, &value[..size])
    };
    found.iter().map(value).collect()
}

/// The inode number and how many names it has.
pub(crate) fn identity(root: &OwnedFd, path: &str) -> (u64, u64) {
    let stat = rustix::fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    (stat.st_ino, stat.st_nlink)
}

/// What stands in a directory of the host.
pub(crate) fn names(path: &Path) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, path, flags, Mode::empty()).unwrap();
    let mut names: Vec<_> = Dir::read_from(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "." && name != "..")
        .collect();
    names.sort();
    names
}
