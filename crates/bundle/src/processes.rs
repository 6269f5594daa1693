//! `ps` and `events`: who is in the container, and what it uses.

use crate::container::Container;
use crate::error::{Error, Result};
use crate::rdt;
use crate::state::Status;
use runtime::cgroup::{OomWatch, Report};

/// The host's pids, in their order.
pub fn pids(container: &Container) -> Result<Vec<i32>> {
    let mut pids = container.cgroup()?.pids()?;
    pids.sort_unstable();
    Ok(pids)
}

/// What the container uses now.
pub fn report(container: &Container) -> Result<Report> {
    if container.status() == Status::Stopped {
        return Err(Error::NotRunning(container.id().to_owned()));
    }
    let mut report = container.cgroup()?.report(Some(container.record().pid));
    if let Some(class) = rdt::of(container)? {
        report.intel_rdt = class.report();
    }
    Ok(report)
}

/// Tells when the kernel kills a process of the container for want of memory.
pub fn watch_oom(container: &Container) -> Result<OomWatch> {
    Ok(container.cgroup()?.watch_oom()?)
}
