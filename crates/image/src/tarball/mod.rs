//! Reading and writing tar streams: framing only. What an entry does to a directory is `layer`'s matter.

pub(crate) mod compression;
mod pax;
pub mod reader;
mod sparse;
pub(crate) mod writer;

pub use compression::Packing;
pub use reader::Limits;
pub(crate) use reader::{Entry, Kind, Reader};
pub(crate) use writer::Writer;

/// An extended attribute: name and value.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);
/// Pieces of a sparse file: offset and length, in order.
pub(crate) type SparseMap = Vec<(u64, u64)>;
