//! `network connect` and `network disconnect`: the record first, then the monitor where one runs.

use super::{check_confinement, check_endpoint, emit, endpoints};
use crate::container::launch;
use crate::container::record::ContainerRecord;
use crate::container::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::protocol::Request;
use model::network::{EndpointSettings, NetworkMode};

/// `network connect`: at once when the container runs, else at its next start.
pub fn connect(
    ctx: &Context,
    wanted: &str,
    container: &ContainerRecord,
    mut endpoint: EndpointSettings,
) -> Result<()> {
    let record = network::find(&ctx.layout, wanted)?;
    endpoint.network.clone_from(&record.name);
    match container.spec.network_mode {
        NetworkMode::Host => {
            return Err(Error::invalid(
                format!(
                    "cannot connect container {} to network {}",
                    container.name, record.name
                ),
                "container cannot be disconnected from host network or connected to other networks while it is on it",
            ));
        }
        NetworkMode::None => {
            return Err(Error::invalid(
                format!(
                    "cannot connect container {} to network {}",
                    container.name, record.name
                ),
                "container cannot be connected to multiple networks with one of the networks in private (none) mode: first take it off with `network disconnect none`",
            ));
        }
        NetworkMode::Container(_) => {
            return Err(Error::invalid(
                format!(
                    "cannot connect container {} to network {}",
                    container.name, record.name
                ),
                "container sharing network namespace with another container or host cannot be connected to any other network",
            ));
        }
        _ => {}
    }
    check_endpoint(&record, &endpoint)?;
    check_confinement(&record, &container.spec)?;
    let lock = ContainerRecord::lock(ctx, container.id.as_str())?;
    let before = reload(ctx, container)?;
    let mut changed = before.clone();
    let mut joined: Vec<EndpointSettings> = endpoints(ctx, &changed.spec)?
        .into_iter()
        .map(|(_, e)| e)
        .collect();
    if joined.iter().any(|e| e.network == record.name) {
        return Err(Error::invalid(
            format!(
                "endpoint with name {} already exists in network {}",
                container.name, record.name
            ),
            "it is connected already",
        ));
    }
    joined.push(endpoint.clone());
    changed.spec.network_mode = NetworkMode::Networks;
    changed.spec.networks = joined;
    changed.save(ctx)?;
    drop(lock);
    if State::load(ctx, changed.id.as_str())?.process().is_some() {
        let request = Request::Connect {
            network: record.name.clone(),
        };
        if let Err(refused) = launch::ask(ctx, &changed, &request) {
            take_back(ctx, &before, &record.name)?;
            return Err(refused);
        }
    }
    emit(ctx, "connect", &record, Some(&changed));
    Ok(())
}

/// A running container could not join after all: its record says so again.
fn take_back(ctx: &Context, before: &ContainerRecord, network: &str) -> Result<()> {
    let _lock = ContainerRecord::lock(ctx, before.id.as_str())?;
    let mut record = reload(ctx, before)?;
    record.spec.networks.retain(|e| e.network != network);
    if record.spec.networks.len() <= before.spec.networks.len() {
        record
            .spec
            .network_mode
            .clone_from(&before.spec.network_mode);
        record.spec.networks.clone_from(&before.spec.networks);
    }
    record.save(ctx)
}

/// `network disconnect`.
pub fn disconnect(ctx: &Context, wanted: &str, container: &ContainerRecord) -> Result<()> {
    let record = network::find(&ctx.layout, wanted)?;
    let lock = ContainerRecord::lock(ctx, container.id.as_str())?;
    let mut changed = reload(ctx, container)?;
    let joined: Vec<EndpointSettings> = endpoints(ctx, &changed.spec)?
        .into_iter()
        .map(|(_, e)| e)
        .collect();
    let left: Vec<EndpointSettings> = joined
        .iter()
        .filter(|e| e.network != record.name)
        .cloned()
        .collect();
    let leaves_none = record.name == "none" && changed.spec.network_mode == NetworkMode::None;
    if left.len() == joined.len() && !leaves_none {
        return Err(Error::invalid(
            format!(
                "container {} is not connected to network {}",
                container.name, record.name
            ),
            "see `network inspect` for who is",
        ));
    }
    // With no networks left it is on none, and may join others again.
    changed.spec.network_mode = NetworkMode::Networks;
    changed.spec.networks = left;
    changed.save(ctx)?;
    drop(lock);
    // There is no endpoint of `none` to take away.
    let joined = !leaves_none;
    if joined && State::load(ctx, changed.id.as_str())?.process().is_some() {
        let request = Request::Disconnect {
            network: record.name.clone(),
        };
        launch::ask(ctx, &changed, &request)?;
    }
    emit(ctx, "disconnect", &record, Some(&changed));
    Ok(())
}

/// `network disconnect --force` of a container that does not exist: whatever is left of such goes.
pub fn disconnect_gone(ctx: &Context, wanted: &str) -> Result<()> {
    network::find(&ctx.layout, wanted)?;
    crate::sweep::sweep_endpoints(ctx)?;
    Ok(())
}

fn reload(ctx: &Context, container: &ContainerRecord) -> Result<ContainerRecord> {
    ContainerRecord::load(ctx, container.id.as_str())?
        .ok_or_else(|| Error::NoSuchContainer(container.name.clone()))
}
