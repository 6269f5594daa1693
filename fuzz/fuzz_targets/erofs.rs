//! Any tree is an image that the kernel mounts and shows as it was said, or an error. Run it as root.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/erofs/tests/kernel/view.rs"]
mod view;

use erofs::{Attributes, Body, Chunks, Content, HEAD, Node, NodeId, Tree};
use std::collections::BTreeMap;

const DATA: u64 = 64 << 10;

/// Decisions, one after the other, out of the input; zeros behind its end.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|at| if at < 4 { self.byte() } else { 0 }))
    }

    /// A few bytes of the input, or many of one.
    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = usize::try_from(self.number() % (most + 1)).unwrap_or(0);
        match self.byte() % 4 {
            0 => vec![self.byte(); length],
            _ => (0..length.min(16)).map(|_| self.byte()).collect(),
        }
    }

    fn attributes(&mut self, kind: u8) -> Attributes {
        let mut xattrs = BTreeMap::new();
        for _ in 0..self.byte() % 4 {
            let prefix: &[u8] = match (self.byte() % 3, kind) {
                (0, 0..=2) => b"user.", // xattr(7): files and directories alone have them
                (1, _) => b"security.",
                _ => b"trusted.",
            };
            xattrs.insert([prefix, &self.bytes(260)].concat(), self.bytes(9000));
        }
        Attributes {
            mode: self.number() as u16 & 0o7777,
            uid: self.number() as u32 & 0x7fff_ffff,
            gid: self.number() as u32 & 0x7fff_ffff,
            mtime: (self.number() as i64 - (1 << 31), self.number() as u32 % 1_000_000_000),
            xattrs,
        }
    }

    fn content(&mut self) -> Content {
        let (block, size) = (self.number() % 64, self.number() % (DATA / 2));
        if self.byte() % 3 != 0 {
            return Content::Flat { offset: HEAD as u64 + block * 512, size };
        }
        let doublings = 3 + self.byte() % 2;
        let piece = erofs::BLOCK << doublings;
        let place = |choices: &mut Self| (choices.byte() % 2 == 0).then(|| HEAD as u64 + choices.number() % 48 * 512);
        let offsets = (0..size.div_ceil(piece)).map(|_| place(self)).collect();
        Content::Sparse { size, chunks: Chunks { doublings, offsets } }
    }

    fn node(&mut self) -> Node {
        let kind = self.byte() % 8;
        let body = match kind {
            0 => Body::Directory(BTreeMap::new()),
            1 | 2 => Body::File(self.content()),
            3 | 4 => Body::Symlink(self.bytes(4100).into()),
            5 => Body::CharDevice { major: self.number() as u32 & 0xfff, minor: self.number() as u32 & 0xf_ffff },
            6 => Body::BlockDevice { major: self.number() as u32 & 0xfff, minor: self.number() as u32 & 0xf_ffff },
            _ => Body::Fifo,
        };
        Node { attributes: self.attributes(kind), body }
    }
}

fn tree(choices: &mut Choices<'_>) -> Tree {
    let mut tree = Tree::new(choices.attributes(0));
    let mut directories = vec![Tree::ROOT];
    let mut nodes: Vec<NodeId> = Vec::new();
    while !choices.0.is_empty() && nodes.len() < 500 {
        let at = directories[choices.byte() as usize % directories.len()];
        let name = choices.bytes(260);
        match choices.byte() % 8 {
            0 if !nodes.is_empty() => {
                let id = nodes[choices.number() as usize % nodes.len()];
                if !tree.is_directory(id) {
                    tree.link(at, &name, id);
                }
            }
            1 => tree.remove(at, &name),
            _ => {
                let id = tree.insert(at, &name, choices.node());
                nodes.push(id);
                if tree.is_directory(id) {
                    directories.push(id);
                }
            }
        }
    }
    tree
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let tree = tree(&mut Choices(data));
    let content: Vec<u8> = (0..DATA).map(|at| (at * 7 + at / 251) as u8).collect();
    if erofs::encode(&tree, HEAD as u64 + DATA, [1; 16]).is_err() {
        return;
    }
    let Ok(dir) = tempfile::tempdir_in("/var/tmp") else { return };
    let root = view::mount(&tree, &content, &dir.path().join("image.erofs"));
    let (said, shown) = (view::said(&tree, &content), view::shown(&root));
    assert_eq!(said, shown);
});
