//! The superblock. Source: `struct erofs_super_block`.

use crate::{BLOCK_BITS, HEAD};

const OFFSET: usize = 1024;
const MAGIC: u32 = 0xE0F5_E1E2;
/// Times of inodes are modification times.
const COMPAT_MTIME: u32 = 0x2;
const INCOMPAT_CHUNKED_FILE: u32 = 0x4;

/// What the head says of the rest.
pub(crate) struct Superblock {
    /// How many inodes there are.
    pub(crate) inodes: u64,
    /// Blocks of the whole image, and the first one of the metadata.
    pub(crate) blocks: u32,
    pub(crate) metadata: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) has_chunks: bool,
}

impl Superblock {
    pub(crate) fn encode(&self) -> Box<[u8; HEAD]> {
        let mut head = Box::new([0; HEAD]);
        let mut put = |at: usize, bytes: &[u8]| {
            head[OFFSET + at..OFFSET + at + bytes.len()].copy_from_slice(bytes);
        };
        put(0, &MAGIC.to_le_bytes());
        put(8, &COMPAT_MTIME.to_le_bytes());
        put(12, &[BLOCK_BITS]);
        // Bytes 14 and 15, the number of the root's inode: 0, it is the first.
        put(16, &self.inodes.to_le_bytes());
        put(36, &self.blocks.to_le_bytes());
        put(40, &self.metadata.to_le_bytes());
        put(48, &self.uuid);
        if self.has_chunks {
            put(80, &INCOMPAT_CHUNKED_FILE.to_le_bytes());
        }
        head
    }
}
