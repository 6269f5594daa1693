//! Docker's nouns and verbs: containers, volumes, networks, logs, events, prune.
//!
//! The one place where `image`, `runtime` and `network` meet. One file per verb; every verb is a free
//! function over a [`Context`]. The processes that outlive a command (the monitors) are started here by
//! executing the binary again, and are spoken to by [`protocol`].

pub mod boot;
pub mod cdi;
pub mod channel;
pub mod check;
pub mod config;
pub mod container;
pub mod context;
pub mod copy;
pub mod detach_keys;
pub mod error;
pub mod events;
#[cfg(test)]
mod fixture;
pub mod image_mount;
pub mod images;
pub mod info;
pub mod jobs;
pub mod logs;
pub mod name_service;
pub mod networks;
pub mod protocol;
pub mod prune;
pub mod prune_images;
mod registries;
pub mod sandbox;
pub mod search;
pub mod spec;
pub mod stored;
pub mod sweep;
pub mod timestamp;
pub mod trash;
pub mod usage;
pub mod volume;
pub mod watch;

pub use context::Context;
pub use error::{Error, Result};
pub use timestamp::Timestamp;

/// Random bytes from the kernel.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        // getrandom(2) cannot fail once the pool is initialised, and gives up to 256 bytes in one piece.
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
                .unwrap_or(0);
    }
    bytes
}

/// A new id for a container or volume.
pub fn random_id() -> model::Id {
    model::Id::from_random(random_bytes())
}
