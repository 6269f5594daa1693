//! The formats of OCI. Of images: references, digests, descriptors, indexes, manifests, image configurations
//! and platforms, as plain structs with public fields. Of containers: `config.json`, read by `spec` into the
//! types of `oci-spec`.
//!
//! Parsing and printing only: no I/O, no regular expressions, no network. Documents are digested as the
//! bytes they came in, so whoever keeps a document keeps its bytes too; the structs keep fields they do
//! not know (`other`) and use ordered maps, so that a document written again differs only where it was
//! changed. Source: OCI image-spec 1.1, Docker image manifest v2 schema 2, distribution/reference, OCI
//! runtime-spec 1.3.

pub mod config;
pub mod digest;
pub mod manifest;
pub mod media_type;
pub mod platform;
pub mod reference;
pub mod spec;

pub use config::{ContainerConfig, HealthConfig, History, ImageConfig, RootFs};
pub use digest::{Digest, Hasher, chain_ids};
pub use manifest::{Descriptor, Document, Index, Manifest};
pub use media_type::MediaType;
pub use platform::Platform;
pub use reference::Reference;
