//! `kill`: a signal to the container's first process, or to all of them.

use crate::container::Container;
use crate::error::{Error, Result};

/// Who gets the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    First,
    All,
}

pub fn kill(container: &Container, signal: i32, whom: Whom) -> Result<()> {
    if whom == Whom::All {
        // Also when the first process is gone.
        return Ok(container.cgroup()?.signal_all(signal)?);
    }
    let process = container
        .process()
        .ok_or_else(|| Error::NotRunning(container.id().to_owned()))?;
    sys::process::pidfd_send_signal(&process, signal).map_err(Error::Signal)?;
    thaw_for(container, signal);
    Ok(())
}

const KILL: i32 = 9;

/// On v1 a frozen process dies only when it is thawed.
pub(crate) fn thaw_for(container: &Container, signal: i32) {
    if signal != KILL {
        return;
    }
    if let Ok(group) = container.cgroup()
        && group.is_frozen().unwrap_or(false)
    {
        // One that cannot be thawed stays frozen, as it was.
        let _ = group.thaw();
    }
}
