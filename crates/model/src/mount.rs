//! What is mounted into a container (`-v`, `--mount`, `--tmpfs`, Compose `volumes`).

mod long;
mod recursion;
mod short;

pub use long::parse_mount;
pub use recursion::Recursion;
pub use short::{parse_tmpfs, parse_volume, volume_name};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub kind: MountKind,
    /// Absolute path in the container.
    pub target: String,
    pub read_only: bool,
}

/// A file of which the container gets a copy in memory, read-only, with an owner and a mode of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMount {
    /// Absolute path on the host.
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    /// As the container numbers its users.
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum MountKind {
    Bind {
        /// Absolute path on the host (the caller has resolved relative ones).
        source: String,
        /// Make the source as a directory when it does not exist (`-v` does, `--mount` does not).
        create_source: bool,
        propagation: Option<String>,
        #[serde(default)]
        recursion: Recursion,
    },
    Volume {
        /// `None`: anonymous.
        name: Option<String>,
        /// Do not copy the image's content on first use.
        no_copy: bool,
        subpath: Option<String>,
        driver: Option<String>,
        driver_opts: BTreeMap<String, String>,
        labels: BTreeMap<String, String>,
    },
    Tmpfs {
        size: Option<u64>,
        mode: Option<u32>,
        /// Further tmpfs(5) options as given (`noexec`, `uid=…`).
        options: Vec<String>,
    },
    /// An image's filesystem, read-only.
    Image {
        reference: String,
        subpath: Option<String>,
    },
}

impl MountKind {
    /// A volume without a name, which goes with its container.
    pub fn anonymous_volume() -> Self {
        Self::Volume {
            name: None,
            no_copy: false,
            subpath: None,
            driver: None,
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}
