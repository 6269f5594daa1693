//! Networks as containers use them: what a record asks for, resolved to networks and endpoints.

mod connect;
mod endpoint;

pub use connect::{connect, disconnect};
pub(crate) use endpoint::{attach, detach};
pub use endpoint::{bindings, join, leave, republish, share_group};

use crate::container::names;
use crate::container::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::events;
use model::container::ContainerSpec;
use model::network::{EndpointSettings, NetworkMode, NetworkSpec};
use network::NetworkRecord;
use std::collections::BTreeMap;

/// Refuses what no network can be joined with, before a container is made.
pub(crate) fn check(ctx: &Context, spec: &ContainerSpec) -> Result<()> {
    match &spec.network_mode {
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => {
            if let NetworkMode::Container(name) = &spec.network_mode {
                names::resolve(ctx, name)?;
                if !spec.ports.is_empty() || spec.publish_all {
                    return Err(Error::invalid(
                        "conflicting options",
                        "port publishing and the container type network mode; publish on the other container",
                    ));
                }
            }
            Ok(())
        }
        NetworkMode::Default => endpoints(ctx, spec).map(drop),
        NetworkMode::Networks => {
            for (record, endpoint) in endpoints(ctx, spec)? {
                check_endpoint(&record, &endpoint)?;
            }
            Ok(())
        }
    }
}

/// The networks a container joins, each with how.
pub fn endpoints(
    ctx: &Context,
    spec: &ContainerSpec,
) -> Result<Vec<(NetworkRecord, EndpointSettings)>> {
    match &spec.network_mode {
        NetworkMode::Default => {
            let record = network::find(&ctx.layout, "bridge")?;
            Ok(vec![(
                record,
                EndpointSettings {
                    network: "bridge".into(),
                    ..Default::default()
                },
            )])
        }
        NetworkMode::Networks => spec
            .networks
            .iter()
            .map(|endpoint| {
                Ok((
                    network::find(&ctx.layout, &endpoint.network)?,
                    endpoint.clone(),
                ))
            })
            .collect(),
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => Ok(Vec::new()),
    }
}

pub fn create(ctx: &Context, spec: &NetworkSpec) -> Result<NetworkRecord> {
    let record = network::create(&ctx.layout, spec)?;
    emit(ctx, "create", &record, None);
    Ok(record)
}

pub fn remove(ctx: &Context, wanted: &str) -> Result<NetworkRecord> {
    let record = network::find(&ctx.layout, wanted)?;
    // Endpoints of containers that were killed with their monitors are nobody's any more.
    crate::sweep::sweep_endpoints(ctx)?;
    let record = network::remove(&ctx.layout, &record.name)?;
    emit(ctx, "destroy", &record, None);
    Ok(record)
}

fn emit(ctx: &Context, action: &str, record: &NetworkRecord, container: Option<&ContainerRecord>) {
    let mut attributes = BTreeMap::from([
        ("name".to_owned(), record.name.clone()),
        ("type".to_owned(), record.driver.as_str().to_owned()),
    ]);
    if let Some(container) = container {
        attributes.insert("container".into(), container.id.to_string());
    }
    events::emit(ctx, "network", action, &record.id.to_string(), attributes);
}

/// The containers that name this network in their record, running or not.
pub fn members(ctx: &Context, record: &NetworkRecord) -> Result<Vec<ContainerRecord>> {
    let id = record.id.to_string();
    let joins = |c: &ContainerRecord| match c.spec.network_mode {
        NetworkMode::Default => record.name == "bridge",
        NetworkMode::Host => record.name == "host",
        NetworkMode::None => record.name == "none",
        NetworkMode::Networks => c
            .spec
            .networks
            .iter()
            .any(|e| e.network == record.name || id.starts_with(&e.network)),
        NetworkMode::Container(_) => false,
    };
    Ok(ContainerRecord::list(ctx)?
        .into_iter()
        .filter(joins)
        .collect())
}

/// A static address must lie in the network's pool.
fn check_endpoint(record: &NetworkRecord, endpoint: &EndpointSettings) -> Result<()> {
    let Some(address) = endpoint.ipv4_address else {
        return Ok(());
    };
    let fits = record
        .pool_v4()
        .is_some_and(|pool| pool.subnet.contains(address.into()));
    if fits && !record.is_default_bridge() {
        return Ok(());
    }
    let cause = if record.is_default_bridge() {
        "user specified IP address is supported on user defined networks only".to_owned()
    } else {
        let pools: Vec<String> = record.pools.iter().map(|p| p.subnet.to_string()).collect();
        format!(
            "no configured subnet contains it (the network has {})",
            pools.join(", ")
        )
    };
    Err(Error::invalid(
        format!(
            "invalid endpoint settings: address {address} in network {}",
            record.name
        ),
        cause,
    ))
}
