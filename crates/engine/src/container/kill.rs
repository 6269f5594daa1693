//! `kill`: one signal to the container's first process.

use super::launch;
use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::protocol::Request;

/// Reads `SIGTERM`, `TERM`, `15`, `RTMIN+3`.
pub fn parse(signal: &str) -> Result<i32> {
    sys::signal::parse(signal).ok_or_else(|| {
        Error::invalid(
            format!("invalid signal: {signal}"),
            "use a name (SIGTERM, HUP) or a number",
        )
    })
}

/// Sends a signal to a running container.
pub fn kill(ctx: &Context, container: &ContainerRecord, signal: &str) -> Result<()> {
    parse(signal)?;
    if !State::load(ctx, container.id.as_str())?.is_active() {
        return Err(Error::invalid(
            format!("cannot kill container: {}", container.name),
            format!("container {} is not running", container.id),
        ));
    }
    launch::ask(
        ctx,
        container,
        &Request::Kill {
            signal: signal.to_owned(),
        },
    )?;
    Ok(())
}
