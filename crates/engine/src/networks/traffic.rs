//! What comes to a container by its published ports: whether new connections do, and how many are open.

use crate::container::record::ContainerRecord;
use crate::container::state::State;
use crate::context::Context;
use crate::error::Result;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// New connections go to the other containers of its service, as long as there are any; what is connected stays.
pub fn withdraw(ctx: &Context, container: &ContainerRecord) -> Result<()> {
    Ok(network::withdraw(&ctx.layout, container.id.as_str())?)
}

/// Takes [`withdraw`] back.
pub fn readmit(ctx: &Context, container: &ContainerRecord) -> Result<()> {
    Ok(network::readmit(&ctx.layout, container.id.as_str())?)
}

/// The ids of the containers that were withdrawn.
pub fn withdrawn(ctx: &Context) -> Result<BTreeSet<String>> {
    Ok(network::withdrawn(&ctx.layout)?)
}

/// How many TCP connections from other machines and networks lead to the container now.
pub fn open_connections(ctx: &Context, container: &ContainerRecord) -> Result<usize> {
    let addresses = addresses(ctx, container)?;
    if addresses.is_empty() {
        return Ok(0);
    }
    Ok(network::open_connections(&ctx.layout, &addresses)?)
}

/// The addresses it has now.
pub fn addresses(ctx: &Context, container: &ContainerRecord) -> Result<Vec<IpAddr>> {
    let state = State::load(ctx, container.id.as_str())?;
    let attached = state.run().and_then(|run| run.network.as_ref());
    let endpoints = attached.into_iter().flat_map(|a| &a.endpoints);
    let assigned = endpoints.flat_map(|e| [e.ipv4, e.ipv6].into_iter().flatten());
    Ok(assigned.map(|assigned| assigned.address).collect())
}
