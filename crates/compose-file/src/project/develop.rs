//! `develop`, typed. Source: Compose Develop Specification.

use super::Hook;

/// What `watch` does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Develop {
    pub watch: Vec<Watch>,
}

/// One rule of `develop.watch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Absolute path on the host.
    pub path: String,
    pub action: WatchAction,
    pub target: Option<String>,
    pub ignore: Vec<String>,
    pub include: Vec<String>,
    pub exec: Option<Hook>,
    pub initial_sync: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchAction {
    Rebuild,
    Restart,
    Sync,
    SyncRestart,
    SyncExec,
}
