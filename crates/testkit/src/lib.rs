//! What scenarios are written with: a private [`Host`] for each, commands run on it ([`Call`]), what the kernel says about the
//! outcome ([`kernel`]), hand-made images ([`layout`]) of hand-made archives ([`archive`]), a terminal, a web client, a registry, and the [`runner`].
//!
//! A scenario drives the real binary, as its users do. It fails by panicking; `requires!` skips it, and skips are counted.
//! Helper programs (`ip`, `nft`, `nsenter`, `docker-registry`) are Debian's: they are the second opinion.

#![expect(
    clippy::disallowed_methods,
    reason = "tests run the binary and Debian's tools as a user would"
)]

pub mod archive;
pub mod call;
pub mod crane;
pub mod cut;
pub mod front;
pub mod git;
pub mod host;
pub mod http;
pub mod kernel;
pub mod layout;
pub mod registry;
pub mod runner;
pub mod token;
pub mod wait;

pub use archive::{Archive, Item};
pub use call::{Call, Output, Running};
pub use crane::Crane;
pub use front::{Front, Passing, Verdict};
pub use host::{Host, Project};
pub use http::Page;
pub use registry::{BrokenWay, Registry};
pub use runner::{Scenario, main};
pub use token::TokenService;
pub use wait::{eventually, eventually_within};

/// What a skipped scenario panics with.
#[derive(Debug)]
pub struct Skipped(pub String);

/// Skips the scenario, counted and with the reason, unless the condition holds.
#[macro_export]
macro_rules! requires {
    ($condition:expr, $why:expr) => {
        if !$condition {
            std::panic::panic_any($crate::Skipped($why.to_string()));
        }
    };
}

/// The scenarios of a module, each under its module's and its own name.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        pub(crate) const ALL: &[$crate::Scenario] = &[$($crate::Scenario {
            module: module_path!(),
            name: stringify!($name),
            run: $name,
        }),+];
    };
}
