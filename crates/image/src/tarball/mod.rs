//! Reading and writing tar streams: framing only. What an entry does to a directory is `layer`'s matter.

pub(crate) mod compression;
pub mod reader;
pub(crate) mod writer;

pub use reader::Limits;
pub(crate) use reader::{Entry, Kind, Reader};
pub(crate) use writer::Writer;
