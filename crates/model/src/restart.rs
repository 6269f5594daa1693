//! Restart policies (`--restart`, Compose `restart` and `deploy.restart_policy`).

use crate::ParseError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPolicy {
    pub condition: RestartCondition,
    /// `None` or 0 means without end.
    pub max_attempts: Option<u32>,
    /// A fixed delay between attempts (Swarm's `delay`); `None`: Docker's back-off from 100 ms, doubling.
    pub delay: Option<Duration>,
    /// Only attempts within so long count (Swarm's `window`); `None`: all do.
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

impl FromStr for RestartPolicy {
    type Err = ParseError;

    /// `no`, `always`, `unless-stopped`, `on-failure[:N]`; empty is `no`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |cause: &str| ParseError::new("restart policy", text, cause);
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => (name, Some(count)),
            None => (text, None),
        };
        let condition = match name {
            "" | "no" => RestartCondition::No,
            "always" => RestartCondition::Always,
            "unless-stopped" => RestartCondition::UnlessStopped,
            "on-failure" => RestartCondition::OnFailure,
            _ => {
                return Err(fail(
                    "unknown policy; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
                ));
            }
        };
        let max_attempts = match count {
            None => None,
            Some(_) if condition != RestartCondition::OnFailure => {
                return Err(fail(
                    "maximum retry count can only be used with 'on-failure'",
                ));
            }
            // Zero is no limit, as in Docker.
            Some(digits) => Some(digits.parse())
                .transpose()
                .map_err(|_| fail("maximum retry count must be an integer"))?
                .filter(|count| *count > 0),
        };
        Ok(Self {
            condition,
            max_attempts,
            ..Self::default()
        })
    }
}

impl fmt::Display for RestartCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure => "on-failure",
        })
    }
}

impl fmt::Display for RestartPolicy {
    /// The short form; delay and window have none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max_attempts {
            Some(count) if count > 0 && self.condition == RestartCondition::OnFailure => {
                write!(f, "{}:{count}", self.condition)
            }
            _ => self.condition.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_each_policy() {
        for text in [
            "no",
            "always",
            "unless-stopped",
            "on-failure",
            "on-failure:3",
        ] {
            assert_eq!(text.parse::<RestartPolicy>().unwrap().to_string(), text);
        }
        assert_eq!("".parse(), Ok(RestartPolicy::default()));
        assert_eq!(
            "on-failure:0".parse(),
            "on-failure".parse::<RestartPolicy>()
        );
        assert_eq!(
            "on-failure:3"
                .parse::<RestartPolicy>()
                .unwrap()
                .max_attempts,
            Some(3)
        );
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "sometimes",
            "always:3",
            "on-failure:",
            "on-failure:x",
            "on-failure:-1",
            "no:0",
            ":3",
        ] {
            assert!(text.parse::<RestartPolicy>().is_err(), "{text}");
        }
        assert_eq!(
            "sometimes"
                .parse::<RestartPolicy>()
                .unwrap_err()
                .to_string(),
            "invalid restart policy \"sometimes\": unknown policy; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        );
    }
}
