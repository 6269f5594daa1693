//! Joining a network namespace to networks, and taking it out again.
//!
//! The order: bridges, leases, ports, names, then the interfaces: one datagram to the host's rtnetlink makes all pairs,
//! one to a socket inside the namespace configures all of them. What was done is held by [`undo::Undo`] until all is
//! done. The namespace is only borrowed; whose it is, nobody here knows.
//!
//! The host's ends are never deleted when a container ends: the kernel does that when the namespace dies, whereas
//! `RTM_DELLINK` would make the caller wait for an RCU grace period. So their names are random and never used twice.
//!
//! Source: Docker Engine API `EndpointSettings`.

mod error;
mod known;
mod live;
mod plan;
mod rename;
mod stacked;
mod sysctl;
mod undo;
mod way_out;

pub use error::Error;
use error::netlink_error;
pub use live::{connect, disconnect, set_ports};
pub use rename::rename;

use crate::lease::Wish;
use crate::ports::{self, PublishedPort, Target};
use crate::record::{Driver, NetworkRecord};
use crate::subnet::Subnet;
use crate::{bridge, firewall, lease, parent};
use model::access::PortAccess;
use model::network::EndpointSettings;
use model::port::PortBinding;
use serde::{Deserialize, Serialize};
use state::Layout;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use sys::netlink::RouteSocket;
use undo::Undo;
pub(crate) use way_out::primary_gateway;
use way_out::{primary, ways_out};

/// What to join, and as whom.
#[derive(Debug, Clone, Default)]
pub struct AttachRequest<'a> {
    pub container_id: &'a str,
    pub container_name: &'a str,
    pub hostname: &'a str,
    /// In the order of the interfaces.
    pub endpoints: Vec<(NetworkRecord, EndpointSettings)>,
    pub ports: &'a [PortBinding],
    /// Of `ports`, those that not everybody may reach.
    pub access: &'a [PortAccess],
    /// Where ports are published that name no address of the host, unless the network says so itself.
    pub default_host_ip: Option<IpAddr>,
    /// Containers of one group publish one port together: the replicas of a service.
    pub share_group: Option<&'a str>,
    /// It is to serve only from [`crate::set_serving`] on, as long as others of its group do: its health is not known yet.
    pub serves_later: bool,
    /// The group has one address on each network, and its name leads there.
    pub service_address: bool,
    /// Connections of its own lead nowhere but to its neighbours.
    pub deny_egress: bool,
    /// Static addresses of containers that do not run now: (network name, address).
    pub reserved: &'a [(String, IpAddr)],
    /// Addresses it had before, to have them again where possible: (network name, address).
    pub previous: &'a [(String, IpAddr)],
}

/// What came of it; kept by the caller and given back to [`detach`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    pub container_id: String,
    pub container_name: String,
    pub hostname: String,
    #[serde(default)]
    pub share_group: Option<String>,
    pub endpoints: Vec<Endpoint>,
    /// As asked, to publish them again when the endpoint they lead to changes.
    #[serde(with = "model::runs")]
    pub bindings: Vec<PortBinding>,
    /// Of the bindings, those that not everybody may reach.
    #[serde(default)]
    pub access: Vec<PortAccess>,
    #[serde(default)]
    pub service_address: bool,
    #[serde(default)]
    pub deny_egress: bool,
    #[serde(with = "model::runs")]
    pub ports: Vec<PublishedPort>,
}

/// A container's place in one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub network: String,
    pub network_id: String,
    pub endpoint_id: String,
    pub interface: String,
    /// The end that is a port of the bridge; empty on networks without one.
    pub host_interface: String,
    /// `02:42:ac:12:00:02`; empty where it is the parent's (ipvlan).
    pub mac: String,
    #[serde(default)]
    pub ipv4: Option<Assigned>,
    #[serde(default)]
    pub ipv6: Option<Assigned>,
    pub aliases: Vec<String>,
    /// All names it is found by.
    pub dns_names: Vec<String>,
    pub gw_priority: i64,
    pub internal: bool,
    /// The way out is the interface itself, without a gateway.
    #[serde(default)]
    pub on_link: bool,
}

/// An address of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    pub address: IpAddr,
    pub prefix: u8,
    /// The bridge's address in the subnet; the way out unless the network is internal.
    pub gateway: IpAddr,
}

/// Joins a fresh network namespace to networks and publishes its ports. With no endpoints only its loopback comes up.
pub fn attach(
    layout: &Layout,
    netns: BorrowedFd<'_>,
    request: &AttachRequest<'_>,
) -> Result<Attached, Error> {
    let mut undo = Undo::new(layout, netns, request.container_id);
    let host = RouteSocket::open().map_err(|source| netlink_error(request.container_id, source))?;
    ensure_table(layout, request)?;
    let planned = plan_endpoints(layout, &host, request, &mut undo)?;
    let mut attached = Attached {
        container_id: request.container_id.into(),
        container_name: request.container_name.into(),
        hostname: request.hostname.into(),
        share_group: request.share_group.map(Into::into),
        endpoints: planned
            .iter()
            .map(|planned| planned.endpoint.clone())
            .collect(),
        bindings: bindings(request.ports, &request.endpoints, request.default_host_ip),
        access: access(request.access, &request.endpoints, request.default_host_ip),
        service_address: request.service_address,
        deny_egress: request.deny_egress,
        ports: Vec::new(),
    };
    attached.ports = publish(layout, &attached, !request.serves_later)?;
    undo.published(!attached.ports.is_empty());
    let networks: Vec<&NetworkRecord> = request.endpoints.iter().map(|(n, _)| n).collect();
    let serving = !request.serves_later;
    known::register(layout, &attached, &networks, serving, &mut undo)?;
    // It may be led to itself, by a port of its own or the address of its service.
    let hairpin = !attached.ports.is_empty() || attached.service_address;
    plan::make(
        &host,
        netns,
        request.container_id,
        &planned,
        hairpin,
        &mut undo,
    )?;
    plan::configure_fresh(
        netns,
        request.container_id,
        &planned,
        &ways_out(&attached.endpoints),
    )?;
    undo.keep();
    Ok(attached)
}

/// The packet filter's table, where a network leads through it. Publishing makes sure of the table itself.
fn ensure_table(layout: &Layout, request: &AttachRequest<'_>) -> Result<(), Error> {
    let networks = request.endpoints.iter().map(|(network, _)| network);
    let mut bridges = networks.filter(|n| n.driver == Driver::Bridge).peekable();
    let is_needed = bridges.peek().is_some()
        && (request.ports.is_empty() || bridges.all(|network| network.internal));
    if is_needed {
        firewall::ensure(layout)?;
    }
    Ok(())
}

/// Bridges, leases and names of interfaces, endpoint by endpoint.
fn plan_endpoints(
    layout: &Layout,
    host: &RouteSocket,
    request: &AttachRequest<'_>,
    undo: &mut Undo<'_>,
) -> Result<Vec<plan::Planned>, Error> {
    let mut planned: Vec<plan::Planned> = Vec::with_capacity(request.endpoints.len());
    for (at, (network, settings)) in request.endpoints.iter().enumerate() {
        let lower = lower(layout, host, request.container_name, network)?;
        let mut used = asked_names_but(&request.endpoints, at);
        used.extend(planned.iter().map(|p| p.endpoint.interface.clone()));
        let asker = asker(request);
        planned.push(plan::endpoint(
            layout, network, settings, &asker, lower, &used, undo,
        )?);
    }
    Ok(planned)
}

/// The names that the other endpoints ask for their interfaces.
fn asked_names_but(endpoints: &[(NetworkRecord, EndpointSettings)], at: usize) -> Vec<String> {
    let others = endpoints.iter().enumerate().filter(|(n, _)| *n != at);
    let asked = others.filter_map(|(_, (_, settings))| plan::asked_name(settings));
    asked.map(str::to_owned).collect()
}

/// Takes a container out of all its networks: ports, names, leases. Its namespace is dead or dies soon, and takes the
/// interfaces along. May be called again; goes on after an error and returns all of them.
pub fn detach(layout: &Layout, attached: &Attached) -> Result<(), Vec<Error>> {
    let mut errors = Vec::new();
    // Names first: nobody should be led to an address that is about to be somebody else's.
    for endpoint in &attached.endpoints {
        errors.extend(known::forget(layout, attached, endpoint));
    }
    if !attached.ports.is_empty()
        && let Err(source) = ports::unpublish(layout, |id| id == attached.container_id)
    {
        errors.push(Error::Ports {
            container: attached.container_name.clone(),
            source,
        });
    }
    for endpoint in &attached.endpoints {
        errors.extend(release(layout, attached, endpoint));
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors),
    }
}

/// Gives an endpoint's addresses back; what could not be given back.
fn release(layout: &Layout, attached: &Attached, endpoint: &Endpoint) -> Vec<Error> {
    let failed = |source| Error::Lease {
        container: attached.container_name.clone(),
        source,
    };
    let assigned = [endpoint.ipv4, endpoint.ipv6].into_iter().flatten();
    let released = assigned.map(|assigned| {
        let id = &attached.container_id;
        lease::release(layout, &endpoint.network, assigned.address, id)
    });
    released.filter_map(|done| done.err().map(failed)).collect()
}

/// What the network's interfaces hang on, made where it is not there.
fn lower(
    layout: &Layout,
    host: &RouteSocket,
    container: &str,
    network: &NetworkRecord,
) -> Result<plan::Lower, Error> {
    if let Some(kind) = parent::kind(network) {
        let parent = parent::ensure(layout, host, network)?;
        return Ok(plan::Lower::Parent(parent, kind));
    }
    if network.driver != Driver::Bridge {
        return Err(Error::NotABridge {
            container: container.into(),
            network: network.name.clone(),
            driver: network.driver.as_str(),
        });
    }
    Ok(plan::Lower::Bridge(bridge::ensure(layout, host, network)?))
}

fn asker<'a>(request: &AttachRequest<'a>) -> plan::Asker<'a> {
    plan::Asker {
        container_id: request.container_id,
        container_name: request.container_name,
        hostname: request.hostname,
        reserved: request.reserved,
        previous: request.previous,
    }
}

/// Bindings without an address take the network's, where it says one, or the default.
pub fn bindings(
    ports: &[PortBinding],
    endpoints: &[(NetworkRecord, EndpointSettings)],
    default: Option<IpAddr>,
) -> Vec<PortBinding> {
    let is_way_in = |network: &NetworkRecord| !network.internal && network.driver == Driver::Bridge;
    let network = endpoints.iter().find(|(network, _)| is_way_in(network));
    let host_ip = network
        .and_then(|(network, _)| network.default_host_ip())
        .or(default);
    ports
        .iter()
        .map(|port| PortBinding {
            host_ip: port.host_ip.or(host_ip),
            ..*port
        })
        .collect()
}

/// What is said about bindings, about the bindings as [`bindings`] makes them.
pub fn access(
    access: &[PortAccess],
    endpoints: &[(NetworkRecord, EndpointSettings)],
    default: Option<IpAddr>,
) -> Vec<PortAccess> {
    let said = access.iter().flat_map(|access| {
        let binding = bindings(&[access.binding], endpoints, default);
        binding.into_iter().map(|binding| PortAccess {
            binding,
            allow: access.allow.clone(),
        })
    });
    said.collect()
}

/// Publishes what is asked on the endpoint that is the way out; nothing when all networks are internal or that one has no
/// bridge, as Docker: there the container has an address that others reach anyway.
fn publish(
    layout: &Layout,
    attached: &Attached,
    serving: bool,
) -> Result<Vec<PublishedPort>, Error> {
    let endpoint = primary(&attached.endpoints).filter(|endpoint| endpoint.has_host_end());
    let Some(endpoint) = endpoint.filter(|_| !attached.bindings.is_empty()) else {
        return Ok(Vec::new());
    };
    let target = Target {
        container: &attached.container_id,
        container_name: &attached.container_name,
        group: attached.share_group.as_deref(),
        v4: endpoint.ipv4.and_then(|assigned| v4(assigned.address)),
        v6: endpoint.ipv6.and_then(|assigned| v6(assigned.address)),
        access: &attached.access,
    };
    ports::publish(layout, &attached.bindings, &target, serving).map_err(|source| Error::Ports {
        container: attached.container_name.clone(),
        source,
    })
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(address) = address {
        Some(address)
    } else {
        None
    }
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(address) = address {
        Some(address)
    } else {
        None
    }
}

impl Endpoint {
    /// Whether the host has an end of it, at a bridge.
    pub fn has_host_end(&self) -> bool {
        !self.host_interface.is_empty()
    }
}
