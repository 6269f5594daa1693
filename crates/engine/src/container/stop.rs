//! `stop` and `restart`: the stop signal, the grace time, `SIGKILL`.

use super::launch;
use super::record::{ContainerRecord, Lifecycle};
use super::start::{StartOptions, start};
use super::state::State;
use crate::context::Context;
use crate::error::Result;
use crate::events;
use crate::protocol::Request;

#[derive(Debug, Clone, Default)]
pub struct StopOptions {
    /// Instead of the container's stop signal.
    pub signal: Option<String>,
    /// Seconds before `SIGKILL`, instead of the container's.
    pub timeout: Option<u64>,
}

/// Stops a container and returns when it has exited. One that does not run is stopped already.
pub fn stop(ctx: &Context, container: &ContainerRecord, options: &StopOptions) -> Result<()> {
    let id = container.id.as_str();
    if let Some(signal) = &options.signal {
        super::kill::parse(signal)?;
    }
    match State::load(ctx, id)? {
        State::Created => return Ok(()),
        State::Exited(last) => return mark_stopped(ctx, container, last),
        _ => {}
    }
    let request = Request::Stop {
        signal: options.signal.clone(),
        timeout: options.timeout,
    };
    launch::ask(ctx, container, &request)?;
    Ok(())
}

/// A container that had died by itself is from now on one that the user wants down.
fn mark_stopped(ctx: &Context, container: &ContainerRecord, mut last: Lifecycle) -> Result<()> {
    if !last.stopped_by_user {
        last.stopped_by_user = true;
        last.save(ctx, container.id.as_str(), container.durability())?;
    }
    Ok(())
}

/// Stops and starts again, with the same network addresses where they are fixed.
pub fn restart(ctx: &Context, container: &ContainerRecord, options: &StopOptions) -> Result<()> {
    stop(ctx, container, options)?;
    start(ctx, container, StartOptions::default())?;
    events::emit_container(ctx, "restart", container, &[]);
    Ok(())
}
