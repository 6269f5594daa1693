//! `save`, `load`, `import`: images as one file.
//!
//! What is written is an OCI layout and a docker-archive at once, as Docker writes it since version 25:
//! ```text
//! oci-layout, index.json, blobs/sha256/…    read by everything that knows OCI
//! manifest.json, repositories               read by older Docker; Config and Layers are paths of blobs
//! ```
//! What is read is either, compressed or not, as a stream: every file goes into the content store under
//! the digest it turns out to have, and only then is looked at.

pub mod import;
pub mod load;
pub mod save;

use serde::{Deserialize, Serialize};
use std::io;

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    #[error(transparent)]
    Tar(#[from] crate::tarball::reader::Error),
    #[error("the archive holds no image: neither index.json nor manifest.json")]
    NoImage,
    #[error("the archive's {file} is damaged")]
    Parse {
        file: &'static str,
        source: serde_json::Error,
    },
    #[error("the archive's {file} names {path}, which the archive does not hold")]
    Missing { file: &'static str, path: String },
}

/// An entry of `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerEntry {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) layers: Vec<String>,
}
