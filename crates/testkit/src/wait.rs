//! Waiting for what comes about by itself: never a fixed sleep, always a condition and a limit.

use std::time::{Duration, Instant};

/// A limit on this machine: `DOCKLESS_TEST_PATIENCE` times as long, where all takes longer (a processor in software emulation).
pub fn patient(limit: Duration) -> Duration {
    static TIMES: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let times = TIMES.get_or_init(|| {
        std::env::var("DOCKLESS_TEST_PATIENCE")
            .ok()
            .and_then(|n| n.parse().ok())
            .unwrap_or(1)
    });
    limit * *times
}

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
    let limit = patient(limit);
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
