//! Layers on disk, in their first form: one directory per layer.
//!
//! ```text
//! layers/<chain-id hex>/        visible by one rename, immutable afterwards
//!   diff/                       the layer's own files, as overlayfs wants them: a whiteout is a character
//!                               device 0:0, an opaque directory has trusted.overlay.opaque=y
//!   layer.json                  [`Record`]
//! layers/.tmp-<pid>-<serial>/   in the making; held by flock(2) on the directory, garbage otherwise
//! ```
//! [`LayerStore`] is the seam at which a store of EROFS images can stand beside this one: callers see
//! chain ids, records and what to give to overlayfs as `lowerdir+`.

mod attributes;
pub(crate) mod index;
pub mod inherit;
pub(crate) mod pack;
pub(crate) mod request;
pub(crate) mod root;
pub(crate) mod store;
pub(crate) mod unpack;
pub(crate) mod wrapped;

pub use pack::{Error as PackError, Manner};
pub use store::{Error as StoreError, LayerStore, Record};
pub use unpack::Error as UnpackError;

#[cfg(test)]
mod tests;
