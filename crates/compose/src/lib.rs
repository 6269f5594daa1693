//! `Project` + what exists → a plan → its execution.
//!
//! | module | from → to |
//! |---|---|
//! | [`spec`] | a service of the file → a container's specification (pure) |
//! | [`observe`] | labels on the host → [`observe::Observed`] |
//! | [`plan`] | project, specifications, observation → steps with causes (pure) |
//! | [`provider`] | services that a program of the user's brings up |
//! | `templated` | configs and secrets that are templates → their contents for one service |
//! | `stored` | external configs and secrets → where the engine keeps them |
//! | [`bundle`] | a project with its images as one file, and back |
//! | [`images`], [`build`] | services → images that are here |
//! | [`execute`] | steps → deeds, in parallel; decides nothing |
//! | [`watch`] | changed files of the host → files, commands and restarts in containers |
//! | [`pre_start`] | its steps, for `start` and `run` |
//! | [`up`], [`oneoff`] | the whole way, for the commands |
//! | [`swarm`] | projects as Swarm's stacks, services and tasks, and this host as its node |
//!
//! State is what labels say, never a database. Nothing here prints; progress goes to a [`progress::Progress`].

pub mod build;
pub mod bundle;
pub mod by_hand;
mod change;
pub mod condition;
#[cfg(test)]
mod documented;
pub mod execute;
pub mod files;
pub mod generation;
pub mod images;
pub mod job;
pub mod labels;
mod models;
pub mod names;
pub mod observe;
pub mod oneoff;
pub mod placement;
pub mod plan;
pub mod pre_start;
pub mod preflight;
pub mod progress;
pub mod provider;
pub mod publish;
pub mod remote;
pub mod rollback;
pub mod spec;
mod stored;
pub mod swarm;
mod templated;
pub mod up;
pub mod watch;

pub(crate) use engine::error::chain;
