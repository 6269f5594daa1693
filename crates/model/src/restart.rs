//! Restart policies (`--restart`, Compose `restart` and `deploy.restart_policy`).

use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPolicy {
    pub condition: RestartCondition,
    /// Only for `on-failure`: `None` or 0 means without end.
    pub max_attempts: Option<u32>,
    /// A fixed delay between attempts (Swarm's `delay`); `None`: Docker's back-off from 100 ms, doubling.
    pub delay: Option<Duration>,
    /// How long a run must last to count as a success (Swarm's `window`); `None`: 10 s.
    pub window: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    #[default]
    No,
    Always,
    UnlessStopped,
    OnFailure,
}
