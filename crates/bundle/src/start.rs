//! `start`: lets a created container execute its command.

use crate::container::Container;
use crate::error::{Error, Result};
use crate::notify::Readiness;
use crate::state::Status;
use std::path::Path;

/// Returns when the command executes, or with the reason why it cannot. With a socket to be notified at, the container is
/// awaited there by [`Readiness::wait`].
pub fn start(container: &Container, notify: Option<&Path>) -> Result<Option<Readiness>> {
    let lock = container.lock()?;
    match container.status() {
        Status::Created => {}
        Status::Stopped => return Err(Error::StartStopped(container.id().to_owned())),
        _ => return Err(Error::AlreadyStarted(container.id().to_owned())),
    }
    let readiness = match notify {
        Some(socket) => Readiness::listen(container.handle(), socket)?,
        None => None,
    };
    runtime::gate::open(container.handle())?;
    drop(lock);
    let outcome = started(container).inspect_err(|_| {
        // Step 12 of its life comes at once. The hook's failure is the one to tell; what cannot be removed is there to be deleted.
        let _ = crate::delete::delete(container, crate::delete::Force::Yes);
    });
    outcome.map(|()| readiness)
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
