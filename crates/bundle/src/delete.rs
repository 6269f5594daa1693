//! `delete`: removes what is left of a container: processes, control groups, record.

use crate::container::Container;
use crate::error::{Error, Result};
use crate::kill::thaw_for;
use crate::root::{Id, Root};
use crate::state::Status;
use std::time::Duration;

/// How long a killed process takes unless something is in its way.
const SOON: Duration = Duration::from_millis(500);
/// How long a killed process may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a container that still runs is killed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

/// What is returned are the hooks that failed afterwards: the container is gone all the same.
pub fn delete(container: &Container, force: Force) -> Result<Vec<runtime::hooks::Error>> {
    let _lock = container.lock()?;
    let status = container.status();
    match (status, force) {
        (Status::Stopped, _) => {}
        // Nothing of the user's runs in one that was only created.
        (Status::Created, _) | (_, Force::Yes) => end(container)?,
        (status, Force::No) => {
            return Err(Error::DeleteRunning {
                id: container.id().to_owned(),
                status: status.name(),
            });
        }
    }
    let group = container.cgroup()?;
    if !container.record().own_pid_namespace || force == Force::Yes {
        // Without a pid namespace of its own the others outlive the first process.
        group.kill_all()?;
    }
    group.remove()?;
    if let Some(class) = crate::rdt::of(container)? {
        class.remove()?;
    }
    let hooks = match container.record().has_hooks {
        true => container.spec()?.hooks().clone(),
        false => None,
    };
    remove_directory(container)?;
    Ok(hooks.map_or_else(Vec::new, |hooks| {
        crate::hooks::poststop(&hooks, container.record())
    }))
}

fn end(container: &Container) -> Result<()> {
    let Some(process) = container.process() else {
        return Ok(());
    };
    // It may have ended by itself in between.
    let _ = sys::process::pidfd_send_signal(&process, 9);
    thaw_for(container, 9);
    if container.await_end(SOON) {
        return Ok(());
    }
    // Frozen by somebody in a group of theirs. Its own is known to run; that it cannot be moved there shows below.
    let _ = container.cgroup()?.reclaim(container.record().pid);
    match container.await_end(PATIENCE) {
        true => Ok(()),
        false => Err(Error::Immortal(container.id().to_owned())),
    }
}

fn remove_directory(container: &Container) -> Result<()> {
    let directory = container.directory();
    std::fs::remove_dir_all(directory).map_err(Error::file("remove", directory))
}

/// Removes what a maker that was killed has left of a container without a record.
pub fn sweep(root: &Root, id: &Id) -> Result<()> {
    let directory = root.path().join(id.as_str());
    match std::fs::remove_dir_all(&directory) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", directory)(e))
        }
        _ => Ok(()),
    }
}
