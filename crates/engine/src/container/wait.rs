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
            _ => {
                was_active = true;
                Ok(None)
            }
        }
    })
}
