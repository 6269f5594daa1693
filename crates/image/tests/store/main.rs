//! The store without a network: names, removal, layers, archives, garbage.
#![allow(clippy::disallowed_methods)] // the common module starts programs

#[path = "../common/mod.rs"]
mod common;

mod archives;
mod damage;
mod layers;
mod names;
mod removal;
mod setup;
