//! Containers made from OCI bundles: what `create`, `start`, `kill`, `delete` and their siblings do.
//!
//! The noun is a directory below a root (`--root`), one for each container: see [`record`]. One file per verb. Processes, mounts and
//! control groups are `runtime`'s; arguments, texts and JSON shapes are the command line's: nothing here prints.
//! Source: OCI runtime-spec `runtime.md` ("Lifecycle", "Operations").

pub mod config;
mod container;
pub mod create;
pub mod delete;
mod error;
pub mod exec;
mod groups;
mod hooks;
pub mod kill;
mod notify;
pub mod pause;
pub mod processes;
mod rdt;
pub mod record;
pub mod root;
pub mod start;
pub mod state;
pub mod template;
pub mod update;

pub use config::Bundle;
pub use container::Container;
pub use error::{Error, Result};
pub use notify::Readiness;
pub use record::Manager;
pub use root::{Id, Root};
pub use state::{State, Status};

/// The version of the runtime specification that is followed.
pub const SPEC_VERSION: &str = runtime::features::OCI_VERSION_MAX;
