//! Networks as containers use them: what a record asks for, resolved to networks and endpoints.

mod connect;
mod endpoint;
mod traffic;

pub use connect::{connect, disconnect, disconnect_gone};
pub(crate) use endpoint::{attach, detach};
pub use endpoint::{bindings, follow, join, leave, share_group};
pub use traffic::{addresses, open_connections, readmit, withdraw, withdrawn};

use crate::container::names;
use crate::container::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::events;
use model::container::ContainerSpec;
use model::filter::Filters;
use model::network::{EndpointSettings, NetworkMode, NetworkSpec};
use network::{AddressPool, AddressPools, Driver, NetworkRecord};
use std::collections::BTreeMap;
use std::net::IpAddr;

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
                check_confinement(&record, spec)?;
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
    let pools = address_pools(ctx)?;
    let record = match network::create_from(&ctx.layout, spec, &pools) {
        Err(source) if source.is_exhausted() => return Err(used_up(ctx, source)?),
        made => made?,
    };
    emit(ctx, "create", &record, None);
    Ok(record)
}

fn address_pools(ctx: &Context) -> Result<AddressPools> {
    let configured = ctx.config.default_address_pools.iter();
    let pools = configured.map(|pool| AddressPool {
        base: pool.base,
        size: pool.size,
    });
    AddressPools::new(pools.collect()).map_err(|error| {
        let cause = format!(
            "{error}; see default-address-pools in {}",
            crate::config::PATH
        );
        Error::invalid("cannot create a network", cause)
    })
}

fn used_up(ctx: &Context, source: network::Error) -> Result<Error> {
    let unused = unused(ctx)?.into_iter().map(|record| record.name).collect();
    Ok(Error::PoolsUsedUp {
        source: Box::new(source),
        unused,
    })
}

/// The keys of `network ls --filter`.
pub const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

/// Networks that fit the filters.
pub fn list(ctx: &Context, filters: &Filters) -> Result<Vec<NetworkRecord>> {
    let flag = filters.flag("dangling");
    let dangling = flag.map_err(|e| Error::invalid("filter", e.to_string()))?;
    let mut shown = Vec::new();
    for record in network::list(&ctx.layout)? {
        let kind = if record.is_builtin() {
            "builtin"
        } else {
            "custom"
        };
        let fits = filters.matches_name("name", &record.name)
            && filters.matches_prefix("id", record.id.as_str())
            && filters.matches_exact("driver", record.driver.as_str())
            && filters.matches_exact("scope", "local")
            && filters.matches_exact("type", kind)
            && filters.matches_labels(&record.labels);
        // In use is what a container names.
        let is_dangling =
            dangling.is_some() && !record.is_builtin() && members(ctx, &record)?.is_empty();
        if fits && dangling.is_none_or(|wanted| wanted == is_dangling) {
            shown.push(record);
        }
    }
    Ok(shown)
}

/// Networks that no container names, running or not; of configurations those that no network has.
pub fn unused(ctx: &Context) -> Result<Vec<NetworkRecord>> {
    let all = network::list(&ctx.layout)?;
    let mut unused = Vec::new();
    for record in all {
        let configuration = record.config.is_some();
        if !record.is_builtin() && !configuration && members(ctx, &record)?.is_empty() {
            unused.push(record);
        }
    }
    Ok(unused)
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

/// What is asked of an endpoint must be possible in its network: static addresses lie in a pool of it.
fn check_endpoint(record: &NetworkRecord, endpoint: &EndpointSettings) -> Result<()> {
    if record.config.is_some() {
        return Err(Error::invalid(
            format!("cannot join network {}", record.name),
            "it is a configuration only; make a network of it with `network create --config-from`",
        ));
    }
    let asked = [
        endpoint.ipv4_address.map(IpAddr::from),
        endpoint.ipv6_address.map(IpAddr::from),
    ];
    for address in asked.into_iter().flatten() {
        check_address(record, address)?;
    }
    Ok(())
}

fn check_address(record: &NetworkRecord, address: IpAddr) -> Result<()> {
    let fits = record
        .pools
        .iter()
        .any(|pool| pool.subnet.contains(address));
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

/// What leaves by a macvlan or ipvlan does not pass the host's packet filter.
fn check_confinement(record: &NetworkRecord, spec: &ContainerSpec) -> Result<()> {
    if !spec.deny_egress || record.driver == Driver::Bridge {
        return Ok(());
    }
    let driver = record.driver.as_str();
    Err(Error::invalid(
        format!(
            "cannot keep the container from leaving network {}",
            record.name
        ),
        format!(
            "the host does not see what leaves by {driver}; use a network of the driver bridge"
        ),
    ))
}

/// What a container will not get on its networks although it was asked for.
pub fn warnings(ctx: &Context, spec: &ContainerSpec) -> Result<Vec<String>> {
    if spec.ports.is_empty() && !spec.publish_all {
        return Ok(Vec::new());
    }
    let joined = endpoints(ctx, spec)?;
    let has_bridge = joined
        .iter()
        .any(|(record, _)| record.driver == Driver::Bridge);
    let stacked = joined.iter().find(|(record, _)| !record.parent.is_empty());
    Ok(match stacked.filter(|_| !has_bridge) {
        Some((record, _)) => vec![format!(
            "Published ports are discarded on network {}: with {} the container is reached by its own address.",
            record.name,
            record.driver.as_str()
        )],
        None => Vec::new(),
    })
}
