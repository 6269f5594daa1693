//! Dockerfile text → typed instructions → stage graph → steps with cache keys → layers → an image in the store.
//!
//! The first three are pure and tested as text. [`build`] is the way in; what it tells while it works goes to a
//! [`Progress`], and nothing is printed here.
//!
//! | step | module |
//! |---|---|
//! | text to instructions | [`dockerfile`], [`expand`] |
//! | stages, what they need | [`graph`], [`scope`] |
//! | instruction to configuration and action | [`stage`] |
//! | which files, their digest, copying them | [`ignore`], [`files`] |
//! | running it all | `solve`, [`cache`] |
//! | the cache of other data roots | [`exchange`] |

pub mod cache;
mod change;
pub mod dockerfile;
pub mod error;
pub mod exchange;
pub mod expand;
pub mod files;
pub mod graph;
pub mod ignore;
mod inputs;
mod metadata;
pub mod options;
pub mod output;
mod overlay;
pub mod pattern;
pub mod progress;
mod remote;
pub mod scope;
mod solve;
pub mod ssh;
pub mod stage;
#[cfg(test)]
mod stage_tests;
mod workspace;

pub use change::change;
pub use error::{Cause, Error, Excerpt};
pub use exchange::options::{CacheFrom, CacheMode, CachePlace, CacheTo};
pub use options::{ContextSource, DockerfileSource, NamedContext, Options, Secret, SecretSource};
pub use progress::{Event, Progress, Silent, Step, Stream};
pub use remote::Remote;
pub use solve::{Built, build, check};
pub use ssh::Ssh;
pub use workspace::sweep;
