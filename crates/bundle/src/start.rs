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
    Ok(runtime::gate::open(container.handle())?)
}
