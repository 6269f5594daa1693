//! The kernel, typed: one module per mechanism, no policy. Nothing here knows what a container is.
//!
//! This is the only crate in which `unsafe` is allowed; each block argues why it is sound.
#![allow(unsafe_code)]

pub mod lock;
