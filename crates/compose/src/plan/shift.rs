//! The steps of a rolling update besides making, starting, stopping and removing: what is waited for, and who gets new
//! connections meanwhile.

use serde_json::{Value, json};
use std::time::Duration;

/// One thing to do with a replica that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shift {
    /// Wait until it runs, or is healthy where something checks its health. That it ends or is unhealthy fails. Until it listens
    /// on these TCP ports is waited a while, and no longer: nobody has said that it must.
    Ready {
        container: String,
        listens: Vec<u16>,
    },
    /// Watch for so long that it goes on running and is not unhealthy.
    Watch { container: String, period: Duration },
    /// Published ports lead new connections to the other replicas.
    Withdraw { container: String },
    /// The opposite, for one that stays after all.
    Readmit { container: String },
    /// Wait until no connection leads to it any more, but not longer than this.
    Drain {
        container: String,
        at_most: Duration,
    },
    /// Wait before the next batch.
    Delay { period: Duration },
}

impl Shift {
    /// The container's name; empty for a delay.
    pub fn container(&self) -> &str {
        match self {
            Self::Ready { container, .. }
            | Self::Watch { container, .. }
            | Self::Withdraw { container }
            | Self::Readmit { container }
            | Self::Drain { container, .. } => container,
            Self::Delay { .. } => "",
        }
    }

    /// The operation's name in a printed plan.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Ready { .. } => "AwaitReady",
            Self::Watch { .. } => "WatchContainer",
            Self::Withdraw { .. } => "WithdrawContainer",
            Self::Readmit { .. } => "ReadmitContainer",
            Self::Drain { .. } => "DrainContainer",
            Self::Delay { .. } => "Delay",
        }
    }

    /// What stands behind the operation in a printed plan.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Watch { container, period } => {
                format!("{container} for {}", model::duration::format(*period))
            }
            Self::Drain { container, at_most } => {
                format!(
                    "{container} for at most {}",
                    model::duration::format(*at_most)
                )
            }
            Self::Delay { period } => model::duration::format(*period),
            other => other.container().to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Ready { container, listens } => {
                json!({"container": container, "listens": listens})
            }
            Self::Watch { container, period } => {
                json!({"container": container, "seconds": period.as_secs_f64()})
            }
            Self::Drain { container, at_most } => {
                json!({"container": container, "atMostSeconds": at_most.as_secs_f64()})
            }
            Self::Delay { period } => json!({"seconds": period.as_secs_f64()}),
            other => json!({"container": other.container()}),
        }
    }

    /// It takes no work, only time.
    pub(crate) fn waits(&self) -> bool {
        !matches!(self, Self::Withdraw { .. } | Self::Readmit { .. })
    }
}
