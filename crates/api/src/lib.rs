//! Docker's Engine API: the only crate that knows its JSON shapes.
//!
//! [`wire`] holds the shapes of what is told and their making from the engine's records; `inspect`, `--format` and the server print
//! them. [`ask`] reads what clients ask for into the model's words, and is pure. [`describe`] says who we are. [`server`] is HTTP.

pub mod ask;
pub mod describe;
pub mod server;
pub mod wire;
