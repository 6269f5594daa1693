//! When a monitor has been quiet long enough to give its memory back: once after each disturbance.
//!
//! A start, a short run and a container that talks all the time never come to it.

use crate::interest::Who;
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Rest {
    /// `None`: memory was given back and nothing has happened since.
    due: Option<Instant>,
}

impl Rest {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            due: Some(now + QUIET),
        }
    }

    /// The loop must be awake then.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The loop was woken up: by what happened, by a deadline of its own, or because the time to rest has come.
    pub(crate) fn woken(&mut self, now: Instant, happened: &[Who]) {
        if !happened.is_empty() || self.due.is_none_or(|at| now < at) {
            self.due = Some(now + QUIET);
        }
    }

    /// Says once that the time has come.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|at| *at <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_each_disturbance() {
        let start = Instant::now();
        let after = |quarters: u32| start + QUIET * quarters / 4;
        let mut rest = Rest::new(start);
        assert_eq!(rest.due(), Some(after(4)));
        assert!(!rest.is_due(start));
        rest.woken(after(2), &[Who::Listener]);
        rest.woken(after(4), &[]);
        assert!(!rest.is_due(after(5)), "still busy");
        rest.woken(after(8), &[]);
        assert!(rest.is_due(after(8)));
        assert!(!rest.is_due(after(99)), "nothing happened since");
        assert_eq!(rest.due(), None, "nobody is woken up for nothing");
        rest.woken(after(100), &[]);
        assert_eq!(rest.due(), Some(after(104)), "a deadline was met");
        rest.woken(after(104), &[Who::Process]);
        assert!(!rest.is_due(after(104)), "something happened just then");
    }
}
