//! `update`: other limits for a container that is there.

use crate::container::Container;
use crate::error::{Error, Result};
use crate::state::Status;
use oci_spec::runtime::LinuxResources;

/// What is not named stays as it is.
pub fn update(container: &Container, resources: &LinuxResources) -> Result<()> {
    let _lock = container.lock()?;
    if container.status() == Status::Stopped {
        return Err(Error::NotRunning(container.id().to_owned()));
    }
    Ok(container.cgroup()?.update(resources)?)
}
