//! Layers on disk, in one of two forms: a directory of files, or one file that is an EROFS image around the layer's archive.
//!
//! ```text
//! layers/<chain-id hex>/        visible by one rename, immutable afterwards
//!   diff/                       the layer's own files, as overlayfs wants them: a whiteout is a character
//!                               device 0:0, an opaque directory has trusted.overlay.opaque=y
//!   layer.erofs                 in place of it: the archive, with what makes it a file system ([`wrapped`])
//!   layer.json                  [`Record`]
//! layers/.tmp-<pid>-<serial>/   in the making; held by flock(2) on the directory, garbage otherwise
//! ```
//! Callers of [`LayerStore`] see chain ids, records and what to give to overlayfs ([`sys::layer`]).

pub(crate) mod attributes;
pub(crate) mod compare;
mod fill;
pub(crate) mod form;
pub(crate) mod index;
pub mod inherit;
pub(crate) mod pack;
pub(crate) mod request;
pub(crate) mod root;
pub(crate) mod staging;
pub(crate) mod store;
pub(crate) mod unpack;
pub(crate) mod wrapped;

pub use form::Form;
pub use pack::{Error as PackError, Manner};
pub use store::{Error as StoreError, LayerStore, Record, present};
pub use unpack::Error as UnpackError;

#[cfg(test)]
mod tests;
