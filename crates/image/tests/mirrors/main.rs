//! Mirrors of any registry, from the files other engines are configured by: who is asked in which order, and what happens when one is
//! down, lacks something, lies or breaks off; what is sent to one; and which images are taken only with a signature.
#![allow(clippy::disallowed_methods)] // the common module starts programs

#[path = "../common/mod.rs"]
mod common;

mod beside;
mod broken;
mod hostile;
mod order;
mod particular;
mod pushing;
mod setup;
mod signatures;
