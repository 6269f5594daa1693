//! Dockerfile text → typed instructions → stage graph → steps with cache keys → layers.
//!
//! The first three are pure and tested as text.

pub mod dockerfile;
pub mod expand;
pub mod graph;
pub mod ignore;
mod metadata;
pub mod pattern;
pub mod scope;
pub mod stage;
#[cfg(test)]
mod stage_tests;
