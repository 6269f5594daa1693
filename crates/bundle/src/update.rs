//! `update`: other limits for a container that is there.

use crate::container::Container;
use crate::error::{Error, Result};
use crate::state::Status;
use oci_spec::runtime::{LinuxIntelRdt, LinuxResources};

/// What is not named stays as it is.
pub fn update(
    container: &Container,
    resources: &LinuxResources,
    class: &LinuxIntelRdt,
) -> Result<()> {
    let _lock = container.lock()?;
    if container.status() == Status::Stopped {
        return Err(Error::NotRunning(container.id().to_owned()));
    }
    container.cgroup()?.update(resources)?;
    let asked = class.l3_cache_schema().is_some() || class.mem_bw_schema().is_some();
    match crate::rdt::of(container)? {
        Some(own) => Ok(own.update(class)?),
        None if asked => Err(Error::NoClass(container.id().to_owned())),
        None => Ok(()),
    }
}
