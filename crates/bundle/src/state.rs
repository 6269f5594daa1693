//! `state`: what the specification lets be asked of a container.
//!
//! Source: runtime-spec `runtime.md` "State"; the further fields are runc's.

use crate::record::Record;
use std::collections::HashMap;
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// The state of one container at one moment.
#[derive(Debug, Clone)]
pub struct State {
    pub oci_version: String,
    pub id: String,
    pub status: Status,
    /// 0 for a container that has stopped.
    pub pid: i32,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// Nanoseconds since 1970.
    pub created: i128,
    pub owner: u32,
    pub annotations: HashMap<String, String>,
}

impl State {
    pub(crate) fn of(record: &Record, status: Status) -> Self {
        Self {
            oci_version: record.oci_version.clone(),
            id: record.id.clone(),
            status,
            pid: match status {
                Status::Stopped => 0,
                _ => record.pid,
            },
            bundle: record.bundle.clone(),
            rootfs: record.rootfs.clone(),
            created: record.created,
            owner: record.owner,
            annotations: record.annotations.clone(),
        }
    }
}
