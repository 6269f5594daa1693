//! How many requests are being answered, and since when there are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Activity {
    running: AtomicUsize,
    changed: Notify,
}

/// One request that is being answered, streams and taken-over connections included.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Activity {
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.running.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
        Busy(self.clone())
    }

    /// Returns when nothing was asked for so long; `None`: never.
    pub(crate) async fn idle_for(&self, limit: Option<Duration>) {
        let Some(limit) = limit else {
            return std::future::pending().await;
        };
        loop {
            let quiet_since = Instant::now();
            let changed = tokio::time::timeout(limit, self.changed.notified()).await;
            let busy = self.running.load(Ordering::SeqCst) > 0;
            if changed.is_err() && !busy && quiet_since.elapsed() >= limit {
                return;
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}
