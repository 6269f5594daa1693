//! The `STATUS` column, in Docker's words.

use crate::output::units;
use engine::container::list::Listed;
use engine::container::state::State;

/// `Up 5 minutes (healthy)`, `Exited (0) 3 hours ago`, `Created`, ….
pub(crate) fn text(container: &Listed) -> String {
    match &container.state {
        State::Created => "Created".into(),
        State::Running { run, .. } => {
            let up = format!("Up {}", units::duration(run.started_at.elapsed()));
            match health(container) {
                Some(health) => format!("{up} ({health})"),
                None => up,
            }
        }
        State::Paused { run, .. } => {
            format!("Up {} (Paused)", units::duration(run.started_at.elapsed()))
        }
        State::Restarting { last, .. } => {
            format!("Restarting ({}){}", last.exit_code, ago(last.finished_at))
        }
        State::Exited(last) => format!("Exited ({}){}", last.exit_code, ago(last.finished_at)),
    }
}

fn ago(time: Option<engine::Timestamp>) -> String {
    time.map(|time| format!(" {}", units::ago(time)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::sample;
    use engine::Timestamp;
    use engine::container::record::Lifecycle;

    #[test]
    fn an_exited_container_says_when_and_how() {
        let finished_at = Some(Timestamp(Timestamp::now().0 - 3 * 3_600_000_000_000));
        let last = Lifecycle {
            exit_code: 137,
            finished_at,
            ..Default::default()
        };
        let listed = Listed {
            record: sample("web"),
            state: State::Exited(last),
        };
        assert_eq!(text(&listed), "Exited (137) 3 hours ago");
        assert_eq!(
            text(&Listed {
                record: sample("web"),
                state: State::Created
            }),
            "Created"
        );
    }
}
