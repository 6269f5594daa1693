//! How the containers of a service are replaced some at a time, and what happens when that fails.
//!
//! The steps of a roll are steps of the plan; here is what they have in common. Source: SwarmKit
//! `manager/orchestrator/update/updater.go`, Compose Deploy Specification `update_config`.

use crate::spec::ServiceSpec;
use compose_file::project::{FailureAction, UpdateConfig, UpdateOrder};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// Swarm's: how long a new container is watched.
const MONITOR: Duration = Duration::from_secs(5);

/// Which roll of the plan a step belongs to.
pub type RollId = usize;

/// One service that is rolled from one version to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Roll {
    pub service: String,
    /// How many containers are replaced.
    pub slots: usize,
    pub rules: Rules,
    /// So many replacements may fail.
    pub tolerated: usize,
    pub reaction: Reaction,
}

/// What is done when more replacements fail than are tolerated.
#[derive(Debug, Clone, PartialEq)]
pub enum Reaction {
    /// Go on with the others.
    Continue,
    /// Begin no further step of this roll; what is done stays.
    Pause,
    /// The same, then put the service back to what it was.
    Rollback(Box<Earlier>),
}

/// What a service was before the roll.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    pub spec: ServiceSpec,
    pub image_id: String,
}

/// `update_config` or `rollback_config` with Swarm's defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// 0: all at once.
    pub parallelism: usize,
    pub delay: Duration,
    pub order: UpdateOrder,
    pub monitor: Duration,
    pub max_failure_ratio: f64,
    pub failure_action: FailureAction,
}

impl Rules {
    pub fn of(config: &UpdateConfig) -> Self {
        Self {
            parallelism: config.parallelism.unwrap_or(1) as usize,
            delay: config.delay.unwrap_or_default(),
            order: config.order.unwrap_or(UpdateOrder::StopFirst),
            monitor: config.monitor.unwrap_or(MONITOR),
            max_failure_ratio: config.max_failure_ratio.unwrap_or(0.0),
            failure_action: config.failure_action.unwrap_or(FailureAction::Pause),
        }
    }

    /// Where a service says nothing about going back: at once, and as it goes forward.
    pub fn going_back(update: Option<&UpdateConfig>) -> Self {
        Self {
            parallelism: 0,
            delay: Duration::ZERO,
            order: update
                .and_then(|config| config.order)
                .unwrap_or(UpdateOrder::StopFirst),
            monitor: Duration::ZERO,
            max_failure_ratio: 0.0,
            failure_action: FailureAction::Pause,
        }
    }

    /// How many of so many replacements may fail before something is done about it.
    pub fn tolerated(&self, slots: usize) -> usize {
        // `failures / slots > ratio` is what acts. A ratio of 0.3 of 10 is 3, whatever binary fractions make of it.
        let most = (self.max_failure_ratio.clamp(0.0, 1.0) * slots as f64) + 1e-9;
        most.floor() as usize
    }

    pub fn batch(&self, slots: usize) -> usize {
        match self.parallelism {
            0 => slots.max(1),
            some => some,
        }
    }
}

impl Reaction {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Pause => "pause",
            Self::Rollback(_) => "rollback",
        }
    }
}

pub(crate) fn order_word(order: UpdateOrder) -> &'static str {
    match order {
        UpdateOrder::StartFirst => "start-first",
        UpdateOrder::StopFirst => "stop-first",
    }
}

impl fmt::Display for Roll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let batch = self.rules.batch(self.slots).min(self.slots);
        write!(
            f,
            "Service {}  Rolling update of {}, {batch} at a time, {}; when more than {} of them fail: {}",
            self.service,
            self.slots,
            order_word(self.rules.order),
            self.tolerated,
            self.reaction.word()
        )
    }
}

impl Roll {
    pub(crate) fn json(&self) -> Value {
        json!({
            "service": self.service,
            "containers": self.slots,
            "parallelism": self.rules.batch(self.slots).min(self.slots),
            "delaySeconds": self.rules.delay.as_secs_f64(),
            "order": order_word(self.rules.order),
            "monitorSeconds": self.rules.monitor.as_secs_f64(),
            "toleratedFailures": self.tolerated,
            "failureAction": self.reaction.word(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swarms_defaults_and_its_arithmetic_of_failures() {
        let rules = Rules::of(&UpdateConfig::default());
        assert_eq!((rules.parallelism, rules.monitor), (1, MONITOR));
        assert_eq!(rules.order, UpdateOrder::StopFirst);
        assert_eq!(rules.failure_action, FailureAction::Pause);
        assert_eq!(rules.tolerated(10), 0);
        let some = |ratio| Rules {
            max_failure_ratio: ratio,
            ..rules
        };
        assert_eq!(some(0.3).tolerated(10), 3);
        assert_eq!(some(0.34).tolerated(3), 1);
        assert_eq!(some(0.33).tolerated(3), 0);
        assert_eq!(some(7.0).tolerated(3), 3);
        assert_eq!(some(f64::NAN).tolerated(3), 0);
        let all = Rules {
            parallelism: 0,
            ..rules
        };
        assert_eq!((all.batch(5), all.batch(0), rules.batch(5)), (5, 1, 1));
    }
}
