//! `wait`: until a container has stopped for good.

use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::Result;
use crate::watch::{self, Watch};
use std::time::Duration;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    NotRunning,
    NextExit,
    Removed,
    /// Until it was started once, however short it ran.
    Started,
}

/// Waits and gives the exit code; `None` when the time is over first. A container that is removed meanwhile
/// gives the code it had, or 0.
pub fn wait(
    ctx: &Context,
    container: &ContainerRecord,
    condition: Condition,
    timeout: Option<Duration>,
) -> Result<Option<u8>> {
    let id = container.id.as_str();
    let seen = Watch::containers(ctx, [id])?;
    let mut last_code = 0;
    let mut was_active = condition != Condition::NextExit;
    watch::until(&seen, timeout, || {
        if ContainerRecord::load(ctx, id)?.is_none() {
            return Ok(Some(last_code));
        }
        match State::load(ctx, id)? {
            State::Exited(last) => {
                last_code = last.exit_code;
                Ok((condition != Condition::Removed && was_active).then_some(last_code))
            }
            // One run is over, the policy will begin another.
            State::Restarting { last, .. } if condition == Condition::NextExit && was_active => {
                Ok(Some(last.exit_code))
            }
            State::Created => Ok((condition == Condition::NotRunning).then_some(0)),
            _ if condition == Condition::Started => Ok(Some(0)),
            _ => {
                was_active = true;
                Ok(None)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::record::Lifecycle;
    use crate::container::state::{Phase, ProcessRef, RunState};
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;

    fn enter(ctx: &Context, id: &str, phase: Phase, exit_code: u8) {
        let _ = std::fs::create_dir(ctx.layout.run_container(id));
        let lifecycle = Lifecycle {
            started_at: Some(crate::Timestamp::now()),
            exit_code,
            running: true,
            ..Default::default()
        };
        let write_lifecycle = || {
            lifecycle
                .save(ctx, id, ::state::Durability::Volatile)
                .unwrap();
        };
        // The order is the monitor's: how a run ended stands before the state that says so, a new one after.
        if phase == Phase::Restarting {
            write_lifecycle();
        }
        let run = RunState {
            monitor: ProcessRef::current().unwrap(),
            phase,
            started_at: crate::Timestamp::now(),
            restart_count: 0,
            cgroup_parent: "dockless-none".into(),
            network: None,
        };
        run.save(ctx, id).unwrap();
        if phase != Phase::Restarting {
            write_lifecycle();
        }
    }

    #[test]
    fn the_end_of_a_run_is_the_next_exit_and_not_yet_the_end() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let id = web.id.as_str();
        let process = ProcessRef::current().unwrap();
        enter(&ctx, id, Phase::Running { process }, 0);
        let soon = Some(Duration::from_millis(20));
        assert_eq!(wait(&ctx, &web, Condition::NotRunning, soon).unwrap(), None);
        let code = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let limit = Some(Duration::from_secs(60));
                wait(&ctx, &web, Condition::NextExit, limit).unwrap()
            });
            // However the two meet: it comes to be restarting again and again until it was seen.
            while !waiting.is_finished() {
                enter(&ctx, id, Phase::Running { process }, 0);
                std::thread::yield_now();
                enter(&ctx, id, Phase::Restarting, 7);
                std::thread::yield_now();
            }
            waiting.join().unwrap()
        });
        assert_eq!(code, Some(7));
        assert_eq!(wait(&ctx, &web, Condition::NotRunning, soon).unwrap(), None);
    }

    #[test]
    fn what_is_removed_has_the_code_it_had() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        assert_eq!(
            wait(&ctx, &web, Condition::NotRunning, None).unwrap(),
            Some(0)
        );
        let ended = Lifecycle {
            exit_code: 9,
            ..Default::default()
        };
        ended
            .save(&ctx, web.id.as_str(), ::state::Durability::Volatile)
            .unwrap();
        assert_eq!(
            wait(&ctx, &web, Condition::NotRunning, None).unwrap(),
            Some(9)
        );
        crate::container::remove::remove(&ctx, &web, Default::default()).unwrap();
        assert_eq!(wait(&ctx, &web, Condition::Removed, None).unwrap(), Some(0));
    }
}
