//! `rename`.

use super::launch;
use super::names;
use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::events;
use crate::protocol::Request;

/// Gives a container another name. The new one is reserved before the record says so, the old one is released
/// after; killed in between, the record decides and the sweep removes the other.
pub fn rename(ctx: &Context, container: &ContainerRecord, new: &str) -> Result<()> {
    let new = new.strip_prefix('/').unwrap_or(new);
    if new == container.name {
        return Err(Error::invalid(
            "Renaming a container with the same name as its current name",
            new,
        ));
    }
    let lock = ContainerRecord::lock(ctx, container.id.as_str())?;
    let before = ContainerRecord::load(ctx, container.id.as_str())?
        .ok_or_else(|| Error::NoSuchContainer(container.name.clone()))?;
    let reservation = names::reserve(ctx, new, &container.id)?;
    let old = before.name.clone();
    let renamed = ContainerRecord {
        name: new.to_owned(),
        ..before
    };
    renamed.save(ctx)?;
    reservation.keep();
    names::release(ctx, &old, container.id.as_str());
    drop(lock);
    // Its networks know it by name. A monitor that does not hear of it reads the record when it next needs it.
    if State::load(ctx, container.id.as_str())?.process().is_some() {
        let _ = launch::ask(ctx, &renamed, &Request::Reload);
    }
    events::emit_container(ctx, "rename", &renamed, &[("oldName", format!("/{old}"))]);
    Ok(())
}
