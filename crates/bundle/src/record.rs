//! What is remembered of a container: its directory below the root.
//!
//! ```text
//! <root>/            0700
//!   <id>/            0700, made first and flocked: it reserves the id, and a verb that changes the container holds its lock
//!     state.json     this record, written when the container's root is built; before that if hooks may ask for it
//!     config.json    the specification it was made from, for exec and for its hooks
//!     start          the socket of runtime::gate, there until the container is started
//!     notify/        shown to the container when its starter wants to hear that it is ready
//! ```
//! The record says who the container is. How it is, the kernel says: whether the process with this start time lives, whether its group
//! is frozen, whether the gate is there.

use crate::error::Result;
use runtime::cgroup::Place;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;

pub(crate) const FILE: &str = "state.json";
pub(crate) const CONFIG: &str = "config.json";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub oci_version: String,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// Nanoseconds since 1970.
    pub created: i128,
    /// The user who made it.
    pub owner: u32,
    pub annotations: HashMap<String, String>,
    pub(crate) stage: Stage,
    pub pid: i32,
    /// Clock ticks after boot: the pid is believed only with it.
    pub start_time: u64,
    pub(crate) cgroup: Group,
    pub(crate) has_hooks: bool,
    /// `linux.intelRdt`.
    pub(crate) has_class: bool,
    /// With a pid namespace of its own, the first process takes all others along.
    pub(crate) own_pid_namespace: bool,
    /// The command's keyring is the creator's.
    pub(crate) keeps_keyring: bool,
}

/// How far its making has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// Only its state may be asked for, and only as long as its maker holds the lock.
    Creating,
    Made,
}

/// Who keeps the control groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    #[default]
    Cgroupfs,
    Systemd,
}

/// Where the control group is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// `linux.cgroupsPath`.
    pub(crate) path: Option<PathBuf>,
    pub(crate) manager: Manager,
}

impl Group {
    pub(crate) fn place(&self, id: &str) -> Result<Place> {
        let path = self.path.as_deref();
        Ok(match self.manager {
            Manager::Cgroupfs => Place::of_spec(path, id)?,
            Manager::Systemd => Place::of_systemd(path, id)?,
        })
    }
}
