//! From a tree to the bytes of its metadata. Source: `struct erofs_inode_extended`.

use crate::layout::{INODE, Layout, Placed, SLOT, names};
use crate::superblock::Superblock;
use crate::tree::{Body, Chunks, Content, Node, Tree};
use crate::{BLOCK, Error, HEAD, directory, xattr};

/// How an inode says where its data is.
const FLAT: u16 = 0;
const INLINE: u16 = 2;
const CHUNKS: u16 = 4;
/// The address of a hole.
const HOLE: u32 = u32::MAX;

/// An image without its data.
#[derive(Debug)]
pub struct Encoded {
    /// What stands at the start of the image.
    pub head: Box<[u8; HEAD]>,
    /// What stands behind the data.
    pub metadata: Vec<u8>,
}

/// Writes the metadata that shall stand at byte `at` of the image, a multiple of [`BLOCK`] behind all data. `uuid` tells the image from
/// others: without one, or with that of another layer, an overlay forgets a file's number when it copies the file up.
pub fn encode(tree: &Tree, at: u64, uuid: [u8; 16]) -> Result<Encoded, Error> {
    let base = block(at)?;
    let layout = Layout::of(tree)?;
    let bytes = |end: u64| usize::try_from(end).map_err(|_| Error::Size);
    let mut out = Vec::with_capacity(bytes(layout.end)?);
    out.resize(bytes(layout.inodes_end)?, 0);
    let mut writer = Writer {
        tree,
        base,
        out,
        has_chunks: false,
        layout,
    };
    for number in 0..writer.layout.placed.len() {
        writer.inode(number)?;
    }
    for number in 0..writer.layout.placed.len() {
        writer.blocks(number);
    }
    let superblock = Superblock {
        inodes: writer.layout.placed.len() as u64,
        blocks: block(at + writer.layout.end)?,
        metadata: base,
        uuid,
        has_chunks: writer.has_chunks,
    };
    Ok(Encoded {
        head: superblock.encode(),
        metadata: writer.out,
    })
}

/// The number of the block at a byte.
fn block(at: u64) -> Result<u32, Error> {
    if !at.is_multiple_of(BLOCK) {
        return Err(Error::Unaligned(at));
    }
    u32::try_from(at / BLOCK)
        .ok()
        .filter(|b| *b != HOLE)
        .ok_or(Error::Size)
}

struct Writer<'a> {
    tree: &'a Tree,
    layout: Layout,
    /// The block at which the metadata begins.
    base: u32,
    out: Vec<u8>,
    has_chunks: bool,
}

impl Writer<'_> {
    fn inode(&mut self, number: usize) -> Result<(), Error> {
        let placed = &self.layout.placed[number];
        let node = self.tree.node(placed.id);
        let (way, place) = self.data(placed, node)?;
        let size = match &node.body {
            Body::Directory(_) => placed.size,
            Body::File(content) => content.size(),
            Body::Symlink(target) => target.len() as u64,
            _ => 0,
        };
        let attributes = &node.attributes;
        let xattrs = xattr::count(placed.xattrs.len()).unwrap_or(0);
        let mut inode = Vec::with_capacity(INODE as usize + placed.xattrs.len());
        inode.extend_from_slice(&(1 | way << 1).to_le_bytes()); // 1: the long form
        inode.extend_from_slice(&xattrs.to_le_bytes());
        inode.extend_from_slice(&(kind_bits(&node.body) | attributes.mode & 0o7777).to_le_bytes());
        inode.extend_from_slice(&[0; 2]);
        inode.extend_from_slice(&size.to_le_bytes());
        inode.extend_from_slice(&place.to_le_bytes());
        inode.extend_from_slice(&(number as u32 + 1).to_le_bytes());
        inode.extend_from_slice(&attributes.uid.to_le_bytes());
        inode.extend_from_slice(&attributes.gid.to_le_bytes());
        inode.extend_from_slice(&attributes.mtime.0.to_le_bytes());
        inode.extend_from_slice(&attributes.mtime.1.to_le_bytes());
        inode.extend_from_slice(&placed.links.to_le_bytes());
        inode.resize(INODE as usize, 0);
        inode.extend_from_slice(&placed.xattrs);
        self.has_chunks |= way == CHUNKS;
        match &node.body {
            Body::Symlink(target) if placed.inline => inode.extend_from_slice(target),
            Body::File(Content::Sparse { chunks, .. }) => addresses(chunks, &mut inode)?,
            _ => {}
        }
        let at = usize::try_from(placed.at).map_err(|_| Error::Size)?;
        self.out[at..at + inode.len()].copy_from_slice(&inode);
        Ok(())
    }

    /// How the data is found, and the number that finds it.
    fn data(&self, placed: &Placed, node: &Node) -> Result<(u16, u32), Error> {
        Ok(match &node.body {
            Body::File(Content::Flat { size: 0, .. }) | Body::Fifo => (FLAT, 0),
            Body::File(Content::Flat { offset, size }) => {
                block((offset + size).next_multiple_of(BLOCK))?;
                (FLAT, block(*offset)?)
            }
            Body::File(Content::Sparse { chunks, .. }) => (CHUNKS, u32::from(chunks.doublings)),
            Body::CharDevice { major, minor } | Body::BlockDevice { major, minor } => {
                (FLAT, device(*major, *minor))
            }
            Body::Symlink(_) if placed.inline => (INLINE, 0),
            Body::Symlink(_) | Body::Directory(_) => {
                let start = u64::from(self.base) * BLOCK + placed.blocks;
                (FLAT, block(start)?)
            }
        })
    }

    fn blocks(&mut self, number: usize) {
        let placed = &self.layout.placed[number];
        match &self.tree.node(placed.id).body {
            Body::Directory(_) => {
                let (own, parent) = (placed.at / SLOT, self.layout.number(placed.parent));
                let names = names(self.tree, placed.id);
                let entries: Vec<directory::Entry<'_>> = names
                    .into_iter()
                    .map(|(name, child)| match child {
                        Some(id) => (
                            name,
                            self.layout.number(id),
                            kind_number(&self.tree.node(id).body),
                        ),
                        None if name == b"." => (name, own, DIRECTORY),
                        None => (name, parent, DIRECTORY),
                    })
                    .collect();
                directory::encode(&entries, &mut self.out);
            }
            Body::Symlink(target) if !placed.inline => {
                self.out.extend_from_slice(target);
                let end = self.out.len().next_multiple_of(BLOCK as usize);
                self.out.resize(end, 0);
            }
            _ => {}
        }
    }
}

fn addresses(chunks: &Chunks, out: &mut Vec<u8>) -> Result<(), Error> {
    for offset in &chunks.offsets {
        let address = match offset {
            Some(offset) => block(*offset)?,
            None => HOLE,
        };
        out.extend_from_slice(&address.to_le_bytes());
    }
    Ok(())
}

/// A device number as the kernel keeps it on disk (`new_encode_dev`).
fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The kind of file in a mode: inode(7).
fn kind_bits(body: &Body) -> u16 {
    match body {
        Body::Directory(_) => 0o040_000,
        Body::File(_) => 0o100_000,
        Body::Symlink(_) => 0o120_000,
        Body::CharDevice { .. } => 0o020_000,
        Body::BlockDevice { .. } => 0o060_000,
        Body::Fifo => 0o010_000,
    }
}

const DIRECTORY: u8 = 2;

/// The kind of file in a directory's entry.
fn kind_number(body: &Body) -> u8 {
    match body {
        Body::File(_) => 1,
        Body::Directory(_) => DIRECTORY,
        Body::CharDevice { .. } => 3,
        Body::BlockDevice { .. } => 4,
        Body::Fifo => 5,
        Body::Symlink(_) => 7,
    }
}
