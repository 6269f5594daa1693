//! Waiting for what comes about by itself: never a fixed sleep, always a condition and a limit.

use std::time::{Duration, Instant};

/// Asks again and again until there is an answer, for a minute.
///
/// # Panics
/// When there is none by then, naming what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    eventually_within(Duration::from_secs(60), what, probe)
}

/// [`eventually`] with a limit of one's own.
///
/// # Panics
/// When the limit has passed.
#[track_caller]
pub fn eventually_within<T>(
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
