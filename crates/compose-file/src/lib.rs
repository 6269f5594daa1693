//! From a Compose file's text to a typed [`Project`], in named phases.
//!
//! find → parse → interpolate → check → canonical form → extends → include → merge → decode → normalise →
//! validate. Each phase is a module and a pure function; environment and files come in as arguments
//! ([`Options`], [`Files`]), so this crate opens no file, prints nothing and reads no variable. Every message
//! is a [`Diagnostic`] with file, line, column and the way out. Source: Compose Specification; where it is
//! silent, compose-go.

mod assemble;
mod canonical;
mod decode;
pub mod diagnostic;
pub mod document;
mod emit;
pub mod env_file;
mod environment;
mod files;
mod hash;
mod interpolate;
mod load;
mod lookup;
mod merge;
mod normalise;
mod options;
mod parse;
mod paths;
mod profiles;
pub mod project;
pub mod publish;
mod resolve;
mod scalar;
mod schema;
pub mod template;
#[cfg(test)]
mod testing;
mod tree;
mod validate;

pub use diagnostic::{Diagnostic, Severity};
pub use emit::{EmitError, config_json, json, to_json, to_value, to_yaml, yaml};
pub use files::{Fetched, Files, MemoryFiles};
pub use hash::{config_hash, fixed_hash, hash};
pub use load::{load, load_tree, variables};
pub use options::{LoadError, Loaded, Options};
pub use project::{Project, Service};
pub use resolve::assigned_in;
pub use schema::{Outline, outline};
