//! The `STATUS` column, in Docker's words.

use engine::Timestamp;
use engine::container::list::Listed;
use engine::container::state::State;
use std::time::Duration;

/// `Up 5 minutes (healthy)`, `Exited (0) 3 hours ago`, `Created`, ….
pub fn text(container: &Listed) -> String {
    match &container.state {
        State::Created => "Created".into(),
        State::Running { run, .. } => {
            let up = format!("Up {}", duration(run.started_at.elapsed()));
            match health(container) {
                Some(health) => format!("{up} ({health})"),
                None => up,
            }
        }
        State::Paused { run, .. } => {
            format!("Up {} (Paused)", duration(run.started_at.elapsed()))
        }
        State::Restarting { last, .. } => {
            format!("Restarting ({}){}", last.exit_code, since(last.finished_at))
        }
        State::Exited(last) => format!("Exited ({}){}", last.exit_code, since(last.finished_at)),
    }
}

fn since(time: Option<Timestamp>) -> String {
    time.map(|time| format!(" {}", ago(time)))
        .unwrap_or_default()
}

fn health(container: &Listed) -> Option<&'static str> {
    use model::health::HealthTest;
    let check = container.record.healthcheck.as_ref()?;
    if check.test == HealthTest::None {
        return None;
    }
    Some(
        match container
            .state
            .health()
            .map_or("starting", |health| health.status.as_str())
        {
            "starting" => "health: starting",
            other => other,
        },
    )
}

/// `About a minute`, `3 hours`, `2 weeks`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (duration.as_secs_f64() / 3600.0 + 0.5) as u64;
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// `5 minutes ago`.
pub fn ago(time: Timestamp) -> String {
    format!("{} ago", duration(time.elapsed()))
}
