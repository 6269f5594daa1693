//! From a reference to layers on disk: the content store, image directories, the registry client,
//! unpacking of untrusted archives, layer chains, save and load, collection. Knows no containers.
//!
//! [`Store`] is the way in. A name is looked for in the store, then in the image directories, then at its
//! registry and that one's mirrors; the host's policy decides whether it is taken (`signature`), what comes in is verified before it gets a name, and becomes visible in one step.
//! Locks, outermost first: `image-collect` (shared by all who bring in or use, exclusive for collection),
//! `layer-<chain>`, `blob-<digest>`, `image-index`.

pub mod account;
mod announce;
pub mod application;
pub mod archive;
mod archives;
pub mod artifact;
pub mod bundle;
pub mod check;
mod chunk;
pub mod collect;
pub mod commit;
pub mod content;
mod copy;
pub mod deposit;
mod documents;
pub mod error;
mod fetch;
pub mod layer;
pub mod list;
pub mod manifest_list;
pub mod migrate;
mod pipeline;
pub mod progress;
pub mod pull;
pub mod push;
mod receive;
pub mod registry;
mod remote;
pub mod remove;
pub mod room;
pub mod signature;
pub mod store;
mod table;
pub mod tarball;
mod trash;
mod typed;
mod undo;
pub mod web;

pub use account::{SearchResult, login, logout, search};
pub use bundle::BundleError;
pub use bundle::load::{Loaded, Received};
pub use bundle::save::Along;
pub use check::{Checked, Depth, Fault, How, Mended, Names, Remembered};
pub use collect::{Keep, Unreferenced};
pub use commit::Layer;
pub use deposit::{Deposit, Depot};
pub use error::{Error, NotFound, Place};
pub use layer::Form;
pub use list::HistoryLine;
pub use migrate::Migrated;
pub use progress::{LayerEvent, Progress, Silent, Status};
pub use pull::{PullPolicy, Pulled};
pub use push::Pushed;
pub use registry::{Error as RegistryError, RegistryOptions};
pub use remove::{InUse, RemoveOptions, Removed};
pub use store::{Hold, Image, Store, StoreOptions};
