//! `State` of an inspected container.

use engine::Timestamp;
use engine::container::record::ContainerRecord;
use engine::container::state::{HealthState, State as EngineState};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    pub status: &'static str,
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    pub dead: bool,
    pub pid: i32,
    pub exit_code: u8,
    pub error: String,
    pub started_at: String,
    pub finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    pub status: &'static str,
    pub failing_streak: u32,
    pub log: Vec<HealthProbe>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthProbe {
    pub start: String,
    pub end: String,
    pub exit_code: i32,
    pub output: String,
}

fn time(stamp: Option<Timestamp>) -> String {
    stamp.map_or_else(
        || Timestamp::ZERO_TEXT.to_owned(),
        |stamp| stamp.to_string(),
    )
}

impl From<&HealthState> for Health {
    fn from(health: &HealthState) -> Self {
        let log = health.log.iter().map(|probe| HealthProbe {
            start: probe.start.to_string(),
            end: probe.end.to_string(),
            exit_code: probe.exit_code,
            output: probe.output.clone(),
        });
        Self {
            status: health.status.as_str(),
            failing_streak: health.failing_streak,
            log: log.collect(),
        }
    }
}

impl State {
    pub fn new(container: &ContainerRecord, state: &EngineState) -> Self {
        let last = match state {
            EngineState::Exited(last) | EngineState::Restarting { last, .. } => Some(last),
            _ => None,
        };
        let run = state.run();
        let checked = container
            .healthcheck
            .is_some()
            .then(|| match state.health() {
                Some(health) => Health::from(health),
                None => Health {
                    status: "starting",
                    failing_streak: 0,
                    log: Vec::new(),
                },
            });
        Self {
            status: state.status(),
            // Docker counts paused and restarting containers as running.
            running: state.is_active(),
            paused: matches!(state, EngineState::Paused { .. }),
            restarting: matches!(state, EngineState::Restarting { .. }),
            oom_killed: last.is_some_and(|last| last.oom_killed),
            dead: false,
            pid: state.process().map_or(0, |process| process.pid),
            exit_code: last.map_or(0, |last| last.exit_code),
            error: last.map(|last| last.error.clone()).unwrap_or_default(),
            started_at: time(
                run.map(|run| run.started_at)
                    .or(last.and_then(|last| last.started_at)),
            ),
            finished_at: time(last.and_then(|last| last.finished_at)),
            health: checked,
        }
    }
}
