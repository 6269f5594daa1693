//! `rm`: out of sight by renames, deleted after.

use super::record::ContainerRecord;
use super::state::State;
use super::{launch, names};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::protocol::{After, Request};
use crate::trash::Leftovers;
use crate::{events, volume};

#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Kill it when it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// Removes a container. Of one that runs, the monitor does it: it is the first to know that it has ended, and takes its groups,
/// mounts and files apart when everybody has been answered.
pub fn remove(ctx: &Context, container: &ContainerRecord, options: RemoveOptions) -> Result<()> {
    let id = container.id.as_str();
    let removal = Request::Stop {
        signal: Some("SIGKILL".into()),
        timeout: Some(0),
        then: After::Remove {
            volumes: options.volumes,
        },
    };
    loop {
        if options.force
            && launch::ask_if_there(ctx, container, &removal)?.is_some()
            && !ctx.layout.container(id).exists()
        {
            return Ok(());
        }
        let lock = ContainerRecord::lock(ctx, id)?;
        let Some(fresh) = ContainerRecord::load(ctx, id)? else {
            // A monitor has removed it just now, and its lock, which we made anew.
            let _ = std::fs::remove_file(lock.path());
            return Ok(());
        };
        // A start holds the lock until the container runs: what does not run now does not while we hold it.
        if !State::load(ctx, id)?.is_active() {
            // What a monitor that was killed could not give back.
            crate::sweep::sweep_held_run(ctx, id, &lock)?;
            return take_apart(ctx, &fresh, options.volumes, &mut Leftovers::default());
        }
        drop(lock);
        if !options.force {
            return Err(Error::StillRunning { name: fresh.name });
        }
        // Its monitor was killed: a new one does it.
        match launch::ask(ctx, &fresh, &removal) {
            Ok(_) | Err(Error::NotRunning(_)) => {}
            Err(e) => return Err(e),
        }
    }
}

/// The removal itself, under the container's lock, the container not running. Its files are deleted with the leftovers.
pub fn take_apart(
    ctx: &Context,
    container: &ContainerRecord,
    volumes: bool,
    leftovers: &mut Leftovers,
) -> Result<()> {
    let id = container.id.as_str();
    leftovers.add(ctx, &ctx.layout.run_container(id))?;
    // The container is gone with this rename; all before it is repeatable.
    leftovers.add(ctx, &ctx.layout.container(id))?;
    names::release(ctx, &container.name, id);
    let _ = std::fs::remove_file(ctx.layout.lock("container", id));
    events::emit_container(ctx, "destroy", container, &[]);
    if volumes {
        remove_anonymous_volumes(ctx, container, leftovers);
    }
    Ok(())
}

fn remove_anonymous_volumes(ctx: &Context, container: &ContainerRecord, leftovers: &mut Leftovers) {
    for mount in container.mounts.iter().filter(|m| m.anonymous) {
        if let Some(name) = &mount.volume {
            // Another container may have taken it by --volumes-from; then it stays, as Docker leaves it.
            let _ = volume::take_apart(ctx, name, true, leftovers);
        }
    }
}
