//! `events`: what a container uses, once or at intervals, and when it runs out of memory.
//!
//! One JSON object to a line: `{"type":"stats","id":…,"data":…}` and `{"type":"oom","id":…}`; the members of `data` are runc's
//! (`types/events.go`). The command ends with the container.

use super::argv::{Given, switch, value};
use super::{Call, Verb, at_most, usage};
use crate::failure::{Failure, Outcome};
use crate::output;
use bundle::{Container, Status};
use runtime::Stats;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const EVENTS: Verb = Verb {
    name: "events",
    usage: "[--stats] [--interval DURATION] ID",
    flags: &[switch("stats"), value("interval")],
    words: usize::MAX,
    run: events,
};

fn events(call: &Call<'_>, given: &Given) -> Outcome {
    at_most(given, 1)?;
    let container = call.container(given)?;
    let interval = interval(given.text("interval").unwrap_or("5s"))?;
    if given.is_on("stats") {
        output::line(stats_event(&container)?)?;
        return Ok(0);
    }
    if container.status() == Status::Stopped {
        return Err(bundle::Error::NotRunning(container.id().to_owned()).into());
    }
    let mut killed = bundle::processes::oom_count(&container)?;
    loop {
        if container.await_end(interval) {
            return Ok(0);
        }
        let now = bundle::processes::oom_count(&container)?;
        for _ in killed..now {
            output::line(json!({"type": "oom", "id": container.id()}))?;
        }
        killed = now;
        output::line(stats_event(&container)?)?;
    }
}

/// Go's durations, as far as anybody writes them here: `500ms`, `5s`, `1m`.
fn interval(text: &str) -> Result<Duration, Failure> {
    let wrong = || {
        usage(format!(
            "invalid interval {text:?}: such as 500ms, 5s or 1m"
        ))
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let milliseconds = match &text[digits.len()..] {
        "ms" => number,
        "s" => number.saturating_mul(1000),
        "m" => number.saturating_mul(60_000),
        "h" => number.saturating_mul(3_600_000),
        _ => return Err(wrong()),
    };
    match milliseconds {
        0 => Err(usage("the interval must be greater than 0")),
        some => Ok(Duration::from_millis(some)),
    }
}

fn stats_event(container: &Container) -> Result<Value, Failure> {
    let stats = bundle::processes::stats(container)?;
    Ok(json!({"type": "stats", "id": container.id(), "data": data(&stats)}))
}

fn data(stats: &Stats) -> Value {
    json!({
        "cpu": {
            "usage": {
                "total": stats.cpu_ns,
                "kernel": stats.cpu_system_ns,
                "user": stats.cpu_user_ns,
            },
            "throttling": {
                "periods": stats.periods,
                "throttledPeriods": stats.throttled_periods,
                "throttledTime": stats.throttled_ns,
            },
        },
        "memory": {
            "cache": stats.memory_cache,
            "usage": {
                "limit": stats.memory_limit.unwrap_or(u64::MAX),
                "usage": stats.memory,
                "max": stats.memory_max,
                "failcnt": 0,
            },
            "raw": {
                "inactive_file": stats.memory_inactive_file,
                "rss": stats.memory_rss,
            },
        },
        "pids": {
            "current": stats.pids,
            "limit": stats.pids_limit.unwrap_or(0),
        },
        "blkio": {
            "ioServiceBytesRecursive": [
                {"op": "Read", "value": stats.io_read_bytes},
                {"op": "Write", "value": stats.io_write_bytes},
            ],
            "ioServicedRecursive": [
                {"op": "Read", "value": stats.io_read_ops},
                {"op": "Write", "value": stats.io_write_ops},
            ],
        },
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(interval("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(interval("2m").unwrap(), Duration::from_secs(120));
        for wrong in ["", "5", "0s", "s", "1y", "-1s"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
