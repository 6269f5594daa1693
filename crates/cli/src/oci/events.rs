//! `events`: what a container uses, once or at intervals, and when it runs out of memory.
//!
//! One JSON object to a line: `{"type":"stats","id":…,"data":…}` and `{"type":"oom","id":…}`; the members of `data` are runc's
//! (`types/events.go`). The command ends with the container.

use super::argv::{Given, switch, value};
use super::{Call, Verb, at_most, usage};
use crate::failure::{Failure, Outcome};
use crate::output;
use bundle::processes::{report, watch_oom};
use bundle::{Container, Status};
use runtime::cgroup::OomEvent;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(super) const EVENTS: Verb = Verb {
    name: "events",
    usage: "[--stats] [--interval DURATION] CONTAINER",
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
    let mut watch = watch_oom(&container)?;
    let mut due = Instant::now() + interval;
    loop {
        match watch
            .next(Some(due.saturating_duration_since(Instant::now())))
            .map_err(bundle::Error::from)?
        {
            Some(OomEvent::End) => return Ok(0),
            Some(OomEvent::Oom) => {
                output::line(json!({"type": "oom", "id": container.id()}))?;
            }
            None if Instant::now() >= due => {
                if container.status() == Status::Stopped {
                    return Ok(0);
                }
                output::line(stats_event(&container)?)?;
                due = Instant::now() + interval;
            }
            None => {}
        }
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
    let data = report(container)?;
    Ok(json!({"type": "stats", "id": container.id(), "data": data}))
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
