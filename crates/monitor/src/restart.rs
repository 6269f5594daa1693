//! The restart policy: a pure decision.
//!
//! Source: Docker CLI reference (`--restart`), moby `restartmanager`; Swarm's `restart_policy` for delay,
//! max_attempts and window.

use model::restart::{RestartCondition, RestartPolicy};
use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A run of this length counts as a success, unless the policy's window says otherwise.
const SUCCESS_AFTER: Duration = Duration::from_secs(10);

/// What is remembered between runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// Restarts since the container last ran for long enough.
    in_a_row: u32,
    last_delay: Option<Duration>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) exit_code: u8,
    pub(crate) lasted: Duration,
    pub(crate) stopped_by_user: bool,
}

/// How long to wait before the next run; `None`: it stays down.
pub(crate) fn decide(
    policy: &RestartPolicy,
    attempts: &mut Attempts,
    ended: Ended,
) -> Option<Duration> {
    if ended.lasted >= policy.window.unwrap_or(SUCCESS_AFTER) {
        *attempts = Attempts::default();
    }
    let wanted = match policy.condition {
        RestartCondition::No => false,
        RestartCondition::Always | RestartCondition::UnlessStopped => true,
        RestartCondition::OnFailure => ended.exit_code != 0,
    };
    if !wanted || ended.stopped_by_user {
        return None;
    }
    if policy
        .max_attempts
        .is_some_and(|max| max > 0 && attempts.in_a_row >= max)
    {
        return None;
    }
    let doubled = attempts
        .last_delay
        .map_or(FIRST_DELAY, |d| (d * 2).min(LONGEST_DELAY));
    let delay = policy.delay.unwrap_or(doubled);
    attempts.in_a_row += 1;
    attempts.last_delay = Some(delay);
    Some(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Ended {
        Ended {
            exit_code: 1,
            lasted: Duration::ZERO,
            stopped_by_user: false,
        }
    }

    fn policy(condition: RestartCondition) -> RestartPolicy {
        RestartPolicy {
            condition,
            ..Default::default()
        }
    }

    #[test]
    fn the_delay_doubles_up_to_a_minute_and_starts_over_after_a_long_run() {
        let policy = policy(RestartCondition::Always);
        let mut attempts = Attempts::default();
        let delays: Vec<u128> = (0..12)
            .map(|_| {
                decide(&policy, &mut attempts, failed())
                    .unwrap()
                    .as_millis()
            })
            .collect();
        assert_eq!(delays[..4], [100, 200, 400, 800]);
        assert_eq!(delays[11], 60_000);
        let long = Ended {
            lasted: Duration::from_secs(11),
            ..failed()
        };
        assert_eq!(decide(&policy, &mut attempts, long), Some(FIRST_DELAY));
    }

    #[test]
    fn on_failure_stops_after_its_attempts_and_leaves_successes_down() {
        let policy = RestartPolicy {
            max_attempts: Some(2),
            ..policy(RestartCondition::OnFailure)
        };
        let mut attempts = Attempts::default();
        assert!(decide(&policy, &mut attempts, failed()).is_some());
        assert!(decide(&policy, &mut attempts, failed()).is_some());
        assert_eq!(decide(&policy, &mut attempts, failed()), None);
        let well = Ended {
            exit_code: 0,
            ..failed()
        };
        assert_eq!(decide(&policy, &mut Attempts::default(), well), None);
    }

    #[test]
    fn what_the_user_stopped_stays_down() {
        for condition in [RestartCondition::Always, RestartCondition::UnlessStopped] {
            let ended = Ended {
                stopped_by_user: true,
                ..failed()
            };
            assert_eq!(
                decide(&policy(condition), &mut Attempts::default(), ended),
                None
            );
        }
    }

    #[test]
    fn a_fixed_delay_is_kept() {
        let fixed = Duration::from_secs(5);
        let policy = RestartPolicy {
            delay: Some(fixed),
            ..policy(RestartCondition::Always)
        };
        let mut attempts = Attempts::default();
        assert_eq!(decide(&policy, &mut attempts, failed()), Some(fixed));
        assert_eq!(decide(&policy, &mut attempts, failed()), Some(fixed));
    }
}
