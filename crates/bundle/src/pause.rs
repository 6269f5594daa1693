//! `pause` and `resume`.

use crate::container::Container;
use crate::error::{Error, Result};
use crate::state::Status;

pub fn pause(container: &Container) -> Result<()> {
    let _lock = container.lock()?;
    match container.status() {
        Status::Running | Status::Created => Ok(container.cgroup()?.freeze()?),
        status => Err(Error::Pause {
            status: status.name(),
        }),
    }
}

pub fn resume(container: &Container) -> Result<()> {
    let _lock = container.lock()?;
    match container.status() {
        Status::Paused => Ok(container.cgroup()?.thaw()?),
        _ => Err(Error::NotPaused(container.id().to_owned())),
    }
}
