//! Networks as containers use them: what a record asks for, resolved to networks and endpoints.

use crate::container::names;
use crate::container::record::ContainerRecord;
use crate::container::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::events;
use model::container::ContainerSpec;
use model::network::{EndpointSettings, NetworkMode, NetworkSpec};
use model::port::{HostPort, PortBinding};
use network::NetworkRecord;
use network::{AttachRequest, Attached};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

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
        let request = crate::protocol::Request::Connect {
            network: record.name.clone(),
        };
        if let Err(refused) = super::container::launch::ask(ctx, &changed, &request) {
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
pub fn disconnect(
    ctx: &Context,
    wanted: &str,
    container: &ContainerRecord,
    force: bool,
) -> Result<()> {
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
    if left.len() == joined.len() {
        if force {
            return Ok(());
        }
        return Err(Error::invalid(
            format!(
                "container {} is not connected to network {}",
                container.name, record.name
            ),
            "see `network inspect` for who is",
        ));
    }
    changed.spec.network_mode = if left.is_empty() {
        NetworkMode::None
    } else {
        NetworkMode::Networks
    };
    changed.spec.networks = left;
    changed.save(ctx)?;
    drop(lock);
    if State::load(ctx, changed.id.as_str())?.process().is_some() {
        let request = crate::protocol::Request::Disconnect {
            network: record.name.clone(),
        };
        super::container::launch::ask(ctx, &changed, &request)?;
    }
    emit(ctx, "disconnect", &record, Some(&changed));
    Ok(())
}

fn reload(ctx: &Context, container: &ContainerRecord) -> Result<ContainerRecord> {
    ContainerRecord::load(ctx, container.id.as_str())?
        .ok_or_else(|| Error::NoSuchContainer(container.name.clone()))
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

/// Every port to publish: the bindings, and with `-P` a random one for each exposed port.
pub fn bindings(container: &ContainerRecord) -> Vec<PortBinding> {
    let mut bindings = container.spec.ports.clone();
    if container.spec.publish_all {
        let taken = |p: &model::port::ContainerPort| {
            container
                .spec
                .ports
                .iter()
                .any(|b| (b.container_port, b.protocol) == (p.port, p.protocol))
        };
        bindings.extend(
            container
                .exposed
                .iter()
                .filter(|p| !taken(p))
                .map(|p| PortBinding {
                    host_ip: None,
                    host_port: HostPort::Random,
                    container_port: p.port,
                    protocol: p.protocol,
                }),
        );
    }
    bindings
}

/// Containers of one service may publish the same port together.
pub fn share_group(labels: &BTreeMap<String, String>) -> Option<String> {
    let project = labels.get("com.docker.compose.project")?;
    let service = labels.get("com.docker.compose.service")?;
    (labels.get("com.docker.compose.oneoff").map(String::as_str) != Some("True"))
        .then(|| format!("{project}/{service}"))
}

/// Joins a container's new network namespace to its networks.
pub(crate) fn attach(
    ctx: &Context,
    container: &ContainerRecord,
    netns: BorrowedFd<'_>,
    previous: &[(String, IpAddr)],
) -> Result<Attached> {
    let group = share_group(&container.labels);
    let bindings = bindings(container);
    let request = AttachRequest {
        container_id: container.id.as_str(),
        container_name: &container.name,
        hostname: &container.hostname,
        endpoints: endpoints(ctx, &container.spec)?,
        ports: &bindings,
        share_group: group.as_deref(),
        reserved: &static_addresses(ctx, container)?,
        previous,
    };
    Ok(network::attach(&ctx.layout, netns, &request)?)
}

/// Addresses that other containers asked for by number: kept for them while they are down.
fn static_addresses(ctx: &Context, container: &ContainerRecord) -> Result<Vec<(String, IpAddr)>> {
    // Only networks whose subnet the user chose can have them, and most containers are on none of those.
    let mut reserved = Vec::new();
    if container.spec.network_mode != NetworkMode::Networks
        || !ctx.layout.static_addresses().exists()
    {
        return Ok(reserved);
    }
    for other in ContainerRecord::list(ctx)? {
        if other.id == container.id {
            continue;
        }
        for endpoint in &other.spec.networks {
            let addresses = [
                endpoint.ipv4_address.map(IpAddr::from),
                endpoint.ipv6_address.map(IpAddr::from),
            ];
            reserved.extend(
                addresses
                    .into_iter()
                    .flatten()
                    .map(|a| (endpoint.network.clone(), a)),
            );
        }
    }
    Ok(reserved)
}

/// A running container joins one network more.
pub fn join(
    ctx: &Context,
    container: &ContainerRecord,
    netns: BorrowedFd<'_>,
    attached: &mut Attached,
    name: &str,
) -> Result<()> {
    let wanted = endpoints(ctx, &container.spec)?
        .into_iter()
        .find(|(record, _)| record.name == name);
    let Some((record, endpoint)) = wanted else {
        return Ok(());
    };
    network::connect(&ctx.layout, netns, attached, (&record, &endpoint), &[])?;
    Ok(())
}

/// A running container leaves one network.
pub fn leave(
    ctx: &Context,
    netns: BorrowedFd<'_>,
    attached: &mut Attached,
    name: &str,
) -> Result<()> {
    network::disconnect(&ctx.layout, Some(netns), attached, name)?;
    Ok(())
}

/// Gives back what an attached container held; repeatable.
pub(crate) fn detach(ctx: &Context, attached: &Attached) -> Result<()> {
    network::detach(&ctx.layout, attached).map_err(|mut errors| match errors.pop() {
        Some(error) => Error::Attach(error),
        None => Error::Refused("detaching failed without a reason".into()),
    })
}
