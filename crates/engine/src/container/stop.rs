//! `stop` and `restart`: the stop signal, the grace time, `SIGKILL`.

use super::launch;
use super::record::{ContainerRecord, Lifecycle};
use super::start::{StartOptions, start};
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::events;
use crate::protocol::{After, Request};

#[derive(Debug, Clone, Default)]
pub struct StopOptions {
    /// Instead of the container's stop signal.
    pub signal: Option<String>,
    /// Seconds before `SIGKILL`, instead of the container's.
    pub timeout: Option<u64>,
}

/// Stops a container and returns when it has exited. One that does not run is stopped already.
pub fn stop(ctx: &Context, container: &ContainerRecord, options: &StopOptions) -> Result<()> {
    end(ctx, container, options, After::AsMade)
}

fn end(
    ctx: &Context,
    container: &ContainerRecord,
    options: &StopOptions,
    then: After,
) -> Result<()> {
    let id = container.id.as_str();
    if let Some(signal) = &options.signal {
        super::kill::parse(signal)?;
    }
    match State::load(ctx, id)? {
        State::Created => return Ok(()),
        State::Exited(_) => return mark_stopped(ctx, container),
        _ => {}
    }
    let request = Request::Stop {
        signal: options.signal.clone(),
        timeout: options.timeout,
        then,
    };
    match launch::ask(ctx, container, &request) {
        // It ended by itself while we asked.
        Err(Error::NotRunning(_)) => Ok(()),
        other => other.map(drop),
    }
}

/// A container that had died by itself is from now on one that the user wants down.
fn mark_stopped(ctx: &Context, container: &ContainerRecord) -> Result<()> {
    let id = container.id.as_str();
    let _lock = ContainerRecord::lock(ctx, id)?;
    match State::load(ctx, id)? {
        State::Exited(last) if !last.stopped_by_user => {
            let stopped = Lifecycle {
                stopped_by_user: true,
                ..last
            };
            stopped.save(ctx, id, container.durability())
        }
        // Said already, or started by somebody meanwhile.
        _ => Ok(()),
    }
}

/// Stops and starts again, with the same network addresses where nobody else has taken them.
pub fn restart(ctx: &Context, container: &ContainerRecord, options: &StopOptions) -> Result<()> {
    end(ctx, container, options, After::Start)?;
    start(ctx, container, StartOptions::default())?;
    events::emit_container(ctx, "restart", container, &[]);
    Ok(())
}
