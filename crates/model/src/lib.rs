//! What a user asks for, in Docker's words: container and network settings, mounts, ports, policies,
//! and their short forms (`8080:80/udp`, `./src:/app:ro`, `512m`, `on-failure:3`).
//!
//! No I/O happens here. A short form is parsed here once; `cli`, `compose-file` and `api` all call it.

pub mod access;
pub mod container;
pub mod csv;
pub mod device;
pub mod duration;
pub mod error;
pub mod filter;
pub mod health;
pub mod id;
pub mod limits;
pub mod log;
pub mod mount;
pub mod network;
pub mod port;
#[cfg(test)]
mod properties;
pub mod restart;
pub mod runs;
pub mod schedule;
pub mod size;
pub mod unpublish;
pub mod userns;

pub use container::ContainerSpec;
pub use error::ParseError;
pub use id::Id;
