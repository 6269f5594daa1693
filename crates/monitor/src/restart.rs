//! The restart policy: a pure decision.
//!
//! Source: Docker CLI reference (`--restart`), moby `restartmanager`; Swarm's `restart_policy` for delay, max_attempts and window,
//! SwarmKit `manager/orchestrator/restart/restart.go`.

use model::restart::{RestartCondition, RestartPolicy};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// After a run of this length the delay begins anew.
const SUCCESS_AFTER: Duration = Duration::from_secs(10);

/// What is remembered between runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// All restarts by the policy.
    total: u32,
    /// When the last ones were, as far as a window asks for them.
    recent: VecDeque<Instant>,
    last_delay: Option<Duration>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) exit_code: u8,
    pub(crate) lasted: Duration,
    pub(crate) stopped_by_user: bool,
    /// When it is asked.
    pub(crate) now: Instant,
}

/// How long to wait before the next run; `None`: it stays down.
pub(crate) fn decide(
    policy: &RestartPolicy,
    attempts: &mut Attempts,
    ended: Ended,
) -> Option<Duration> {
    if ended.lasted >= SUCCESS_AFTER {
        attempts.last_delay = None;
    }
    let wanted = match policy.condition {
        RestartCondition::No => false,
        RestartCondition::Always | RestartCondition::UnlessStopped => true,
        RestartCondition::OnFailure => ended.exit_code != 0,
    };
    if !wanted || ended.stopped_by_user || attempts.are_used_up(policy, ended.now) {
        return None;
    }
    let doubled = attempts
        .last_delay
        .map_or(FIRST_DELAY, |d| (d * 2).min(LONGEST_DELAY));
    let delay = policy.delay.unwrap_or(doubled);
    attempts.last_delay = Some(delay);
    attempts.total = attempts.total.saturating_add(1);
    if policy.window.is_some() && policy.max_attempts.is_some() {
        attempts.recent.push_back(ended.now);
    }
    Some(delay)
}

impl Attempts {
    /// Without a window every restart counts, else those within it.
    fn are_used_up(&mut self, policy: &RestartPolicy, now: Instant) -> bool {
        let Some(most) = policy.max_attempts.filter(|most| *most > 0) else {
            return false;
        };
        let Some(window) = policy.window.filter(|window| !window.is_zero()) else {
            return self.total >= most;
        };
        self.recent
            .retain(|at| now.saturating_duration_since(*at) < window);
        self.recent.len() >= most as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Ended {
        Ended {
            exit_code: 1,
            lasted: Duration::ZERO,
            stopped_by_user: false,
            now: Instant::now(),
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

    #[test]
    fn attempts_count_for_ever_or_within_the_window() {
        let limited = RestartPolicy {
            max_attempts: Some(2),
            ..policy(RestartCondition::Always)
        };
        let after = |seconds| Ended {
            lasted: Duration::from_secs(60),
            now: Instant::now() + Duration::from_secs(seconds),
            ..failed()
        };
        let mut attempts = Attempts::default();
        let mut decided = |policy: &RestartPolicy, seconds| {
            decide(policy, &mut attempts, after(seconds)).is_some()
        };
        assert!(decided(&limited, 0) && decided(&limited, 60));
        assert!(!decided(&limited, 120), "however long it ran");
        let windowed = RestartPolicy {
            window: Some(Duration::from_secs(100)),
            ..limited
        };
        let mut attempts = Attempts::default();
        let mut decided = |seconds| decide(&windowed, &mut attempts, after(seconds)).is_some();
        assert!(decided(0) && decided(60));
        assert!(!decided(90), "two within 100 seconds");
        assert!(decided(110), "the first one is past");
    }
}
