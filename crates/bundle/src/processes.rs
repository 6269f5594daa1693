//! `ps` and `events`: who is in the container, and what it uses.

use crate::container::Container;
use crate::error::{Error, Result};
use crate::state::Status;
use runtime::Stats;

/// The host's pids, in their order.
pub fn pids(container: &Container) -> Result<Vec<i32>> {
    let mut pids = container.cgroup()?.pids()?;
    pids.sort_unstable();
    Ok(pids)
}

/// What the container uses now.
pub fn stats(container: &Container) -> Result<Stats> {
    if container.status() == Status::Stopped {
        return Err(Error::NotRunning(container.id().to_owned()));
    }
    Ok(container.cgroup()?.stats())
}

/// How often the kernel killed a process here for want of memory.
pub fn oom_count(container: &Container) -> Result<u64> {
    Ok(container.cgroup()?.oom_count())
}
