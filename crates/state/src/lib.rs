//! The data root: where everything lies ([`Layout`]), durable JSON records ([`record`]) and the
//! look-up of objects by name, id or unique id prefix ([`lookup`]).
//!
//! Knows paths and bytes, not what the records mean.

pub mod layout;
pub mod lookup;
pub mod record;
pub mod temporary;

pub use layout::Layout;
pub use record::{Durability, Error};
