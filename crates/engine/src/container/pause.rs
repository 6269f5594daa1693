//! `pause` and `unpause`: the cgroup freezer, by the monitor, which keeps the state record.

use super::launch;
use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::protocol::Request;

pub fn pause(ctx: &Context, container: &ContainerRecord) -> Result<()> {
    match State::load(ctx, container.id.as_str())? {
        State::Running { .. } => launch::ask(ctx, container, &Request::Pause).map(drop),
        State::Paused { .. } => Err(Error::AlreadyPaused(container.name.clone())),
        _ => Err(Error::NotRunning(container.name.clone())),
    }
}

pub fn unpause(ctx: &Context, container: &ContainerRecord) -> Result<()> {
    match State::load(ctx, container.id.as_str())? {
        State::Paused { .. } => launch::ask(ctx, container, &Request::Unpause).map(drop),
        _ => Err(Error::NotPaused(container.name.clone())),
    }
}
