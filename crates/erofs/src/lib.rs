//! An EROFS image around data that lies elsewhere in the same file: a layer's tar stream stays as it came, and what is written here
//! is only where each file's bytes are.
//!
//! ```text
//! 0      the head: a superblock at byte 1024, the rest zeros              [`HEAD`] bytes
//! HEAD   the data, in blocks of [`BLOCK`] bytes; tar aligns what it holds to just that
//! at     the metadata: inodes with their attributes, then the blocks of directories and of long links
//! ```
//! A [`Tree`] is made first, in memory; [`encode()`] turns it into the head and the metadata. Nothing here opens a file.
//! Source: kernel `filesystems/erofs.rst` and the on-disk structures of `fs/erofs/erofs_fs.h`.

mod directory;
mod encode;
mod layout;
mod superblock;
mod tree;
mod xattr;

pub use encode::{Encoded, encode};
pub use tree::{Attributes, Body, Chunks, Content, LookupError, Node, NodeId, Tree};

/// Bytes of a block: tar's own, so that no file in a tar stream has to be moved.
pub const BLOCK: u64 = 1 << BLOCK_BITS;
/// Bytes before the data.
pub const HEAD: usize = 4096;
/// The longest name in a directory.
pub const NAME_MAX: usize = 255;
/// The longest target of a symbolic link: the kernel reads one as a page with a zero at its end.
pub const LINK_MAX: usize = 4095;

const BLOCK_BITS: u8 = 9;

/// Why a tree cannot be written as an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("{0:?} is no name of a file, or has more than {NAME_MAX} bytes")]
    Name(String),
    #[error(
        "the target of the symbolic link {0:?} has none or more than {LINK_MAX} bytes, or a zero among them"
    )]
    Link(String),
    #[error("the extended attribute {0} is not one that an image can hold")]
    Attribute(String),
    #[error("the extended attributes of {0:?} are larger than an image can hold")]
    Attributes(String),
    #[error("the image would have more than 2 TiB")]
    Size,
    #[error("data at byte {0} does not begin at a block of {BLOCK} bytes")]
    Unaligned(u64),
}
