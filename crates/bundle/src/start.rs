//! `start`: lets a created container execute its command.

use crate::container::Container;
use crate::error::{Error, Result};
use crate::state::Status;

/// Returns when the command executes, or with the reason why it cannot.
pub fn start(container: &Container) -> Result<()> {
    let _lock = container.lock()?;
    match container.status() {
        Status::Created => {}
        Status::Stopped => return Err(Error::StartStopped(container.id().to_owned())),
        _ => return Err(Error::AlreadyStarted(container.id().to_owned())),
    }
    runtime::gate::open(container.handle())?;
    started(container)
}

/// The hooks of a container that has just started; one that fails stops it.
pub(crate) fn started(container: &Container) -> Result<()> {
    if !container.record().has_hooks {
        return Ok(());
    }
    let spec = container.spec()?;
    let Some(hooks) = spec.hooks() else {
        return Ok(());
    };
    let outcome = crate::hooks::poststart(hooks, container.record());
    if outcome.is_err() {
        // One that has ended meanwhile is stopped as well.
        let _ = crate::kill::kill(container, 9, crate::kill::Whom::First);
    }
    outcome
}
