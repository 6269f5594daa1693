//! `start`, and the second half of `run`.

use super::attach::{Attached, Pipes};
use super::launch::{self, Ahead};
use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::protocol::Streams;

/// How to start.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartOptions {
    /// Streams the caller takes part in from the first byte on.
    pub attach: Streams,
    /// Rows and columns of the caller's terminal.
    pub size: Option<(u16, u16)>,
}

/// What came of it.
#[derive(Debug)]
pub enum Started {
    /// It ran already.
    AlreadyRunning,
    Detached,
    Attached(Attached),
}

/// Starts a container that is not running and returns when its process executes.
pub fn start(ctx: &Context, container: &ContainerRecord, options: StartOptions) -> Result<Started> {
    start_ahead(ctx, container, options, None)
}

/// The same with a monitor that may be there already.
pub fn start_ahead(
    ctx: &Context,
    container: &ContainerRecord,
    options: StartOptions,
    ahead: Option<Ahead>,
) -> Result<Started> {
    match State::load(ctx, container.id.as_str())? {
        State::Paused { .. } => {
            return Err(Error::invalid(
                "cannot start a paused container",
                format!("try unpause instead: `unpause {}`", container.name),
            ));
        }
        State::Running { .. } if options.attach.any() => {
            return Ok(Started::Attached(super::attach::attach(
                ctx,
                container,
                options.attach,
            )?));
        }
        State::Running { .. } => return Ok(Started::AlreadyRunning),
        State::Restarting { .. } => {
            super::stop::stop(ctx, container, &super::stop::StopOptions::default())?;
        }
        State::Created | State::Exited(_) => {}
    }
    let pipes = Pipes::new(options.attach, container.spec.tty)?;
    let channel = match launch::launch(ctx, container, &pipes.theirs, options.size, ahead) {
        Ok(channel) => channel,
        Err(error) => return started_by_another(ctx, container, options, error),
    };
    if options.attach.any() {
        return Ok(Started::Attached(pipes.attached(channel)));
    }
    Ok(Started::Detached)
}

/// Of two commands that start a container at once, one finds it running: that is what it wanted.
fn started_by_another(
    ctx: &Context,
    container: &ContainerRecord,
    options: StartOptions,
    error: Error,
) -> Result<Started> {
    if !matches!(
        State::load(ctx, container.id.as_str())?,
        State::Running { .. }
    ) {
        return Err(error);
    }
    if !options.attach.any() {
        return Ok(Started::AlreadyRunning);
    }
    super::attach::attach(ctx, container, options.attach).map(Started::Attached)
}
