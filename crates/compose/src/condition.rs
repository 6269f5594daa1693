//! Waiting for containers: to be healthy, to have done their work, to run.
//!
//! The texts are docker/compose's, which scripts look for.

use engine::container::names;
use engine::container::record::{ContainerRecord, Lifecycle};
use engine::container::state::{HealthStatus, State};
use engine::watch::{self, Watch};
use engine::{Context, Error as EngineError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    Healthy,
    CompletedSuccessfully,
    /// Healthy, or running where nothing checks its health, or ended well where nothing starts it again (`up --wait`).
    Up,
    /// The same, in its first run: one that was restarted has failed.
    Ready,
    /// To go on in its first run without becoming unhealthy: never met, waited for as long as the time is.
    Lasting,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("container {container} is unhealthy{}", last_probe(.output))]
    Unhealthy { container: String, output: String },
    #[error("container {container} exited ({code})")]
    Exited { container: String, code: u8 },
    #[error("container {container} exited ({code}) and is restarted")]
    Restarted { container: String, code: u8 },
    #[error("container {container} has no healthcheck configured")]
    NoHealthcheck { container: String },
    #[error("service {service:?} didn't complete successfully: exit {code}")]
    Incomplete { service: String, code: u8 },
    #[error("container {container} was removed")]
    Gone { container: String },
    #[error("timed out: container {container} is still {status}")]
    TimedOut {
        container: String,
        status: &'static str,
    },
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Engine(Box<EngineError>),
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

fn last_probe(output: &str) -> String {
    let line = output.lines().map(str::trim).find(|line| !line.is_empty());
    line.map(|line| format!(": its last health check said: {line}"))
        .unwrap_or_default()
}

/// Waits until a container meets the goal.
pub fn wait(
    ctx: &Context,
    container: &str,
    goal: Goal,
    timeout: Option<Duration>,
    interrupted: &AtomicBool,
) -> Result<(), Error> {
    let record = names::resolve(ctx, container)?;
    let seen = Watch::containers(ctx, [record.id.as_str()])?;
    let begin = Instant::now();
    loop {
        // In short turns, so that an interruption is seen.
        let left = timeout.map(|t| t.saturating_sub(begin.elapsed()));
        let turn = left
            .unwrap_or(Duration::from_secs(1))
            .min(Duration::from_secs(1));
        let mut verdict = None;
        watch::until(&seen, Some(turn), || {
            verdict = judge(ctx, &record, goal).transpose();
            Ok(verdict.is_some().then_some(()))
        })?;
        if let Some(verdict) = verdict {
            return verdict;
        }
        if interrupted.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        if timeout.is_some_and(|t| begin.elapsed() >= t) {
            let status = State::load(ctx, record.id.as_str())?.status();
            return Err(Error::TimedOut {
                container: record.name,
                status,
            });
        }
    }
}

/// Whether an end without an error is the end.
fn is_task(record: &ContainerRecord) -> bool {
    use model::restart::RestartCondition::{No, OnFailure};
    matches!(record.spec.restart.condition, No | OnFailure)
}

/// `None`: not decided yet.
fn judge(ctx: &Context, record: &ContainerRecord, goal: Goal) -> Result<Option<()>, Error> {
    let container = record.name.clone();
    if ContainerRecord::load(ctx, record.id.as_str())?.is_none() {
        return Err(Error::Gone { container });
    }
    let state = State::load(ctx, record.id.as_str())?;
    let checked = record.healthcheck.is_some();
    match (goal, &state) {
        (Goal::CompletedSuccessfully, State::Exited(last)) if last.exit_code == 0 => Ok(Some(())),
        (Goal::CompletedSuccessfully, State::Exited(last)) => {
            let service = record
                .labels
                .get(crate::labels::SERVICE)
                .cloned()
                .unwrap_or(container);
            Err(Error::Incomplete {
                service,
                code: last.exit_code,
            })
        }
        (Goal::CompletedSuccessfully, _) => Ok(None),
        // A task that has done its work: migrations and the like.
        (Goal::Up, State::Exited(last)) if last.exit_code == 0 && is_task(record) => Ok(Some(())),
        (_, State::Exited(last)) => Err(Error::Exited {
            container,
            code: last.exit_code,
        }),
        (Goal::Healthy, _) if !checked => Err(Error::NoHealthcheck { container }),
        (Goal::Ready | Goal::Lasting, State::Restarting { last, .. }) => Err(Error::Restarted {
            container,
            code: last.exit_code,
        }),
        (Goal::Ready | Goal::Lasting, State::Running { run, .. }) if run.restart_count > 0 => {
            let last = Lifecycle::load(ctx, record.id.as_str())?;
            let code = last.map_or(0, |last| last.exit_code);
            Err(Error::Restarted { container, code })
        }
        (Goal::Up | Goal::Ready, State::Running { .. }) if !checked => Ok(Some(())),
        (_, State::Running { health, .. } | State::Paused { health, .. }) => match health {
            Some(health) if health.status == HealthStatus::Healthy && goal != Goal::Lasting => {
                Ok(Some(()))
            }
            Some(health) if health.status == HealthStatus::Unhealthy => {
                let output = health
                    .log
                    .last()
                    .map(|probe| probe.output.clone())
                    .unwrap_or_default();
                Err(Error::Unhealthy { container, output })
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}
