//! Docker's Engine API: the only crate that knows its JSON shapes.
//!
//! [`wire`] holds the shapes and their making from the engine's records; `inspect`, `--format` and, one day, the
//! HTTP server print them. Nothing here changes anything.

pub mod wire;
