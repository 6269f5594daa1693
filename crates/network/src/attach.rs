//! Joining a network namespace to networks, and taking it out again.
//!
//! The order: bridges, leases, ports, names, then the interfaces: one datagram to the host's rtnetlink makes all pairs,
//! one to a socket inside the namespace configures all of them. What was done is held by [`undo::Undo`] until all is
//! done. The namespace is only borrowed; whose it is, nobody here knows.
//!
//! The host's ends are never deleted when a container ends: the kernel does that when the namespace dies, whereas
//! `RTM_DELLINK` would make the caller wait for an RCU grace period. So their names are random and never used twice.
//!
//! Source: Docker Engine API `EndpointSettings`; moby `libnetwork/sandbox.go` for which gateway becomes the default.

mod live;
mod plan;
mod rename;
mod stacked;
mod sysctl;
mod undo;

pub use live::{connect, disconnect, set_ports};
pub use rename::rename;

use crate::lease::Wish;
use crate::ports::{self, PublishedPort, Target};
use crate::record::{Driver, NetworkRecord};
use crate::subnet::Subnet;
use crate::{bridge, endpoint, endpoint_rules, firewall, lease, parent};
use model::access::PortAccess;
use model::network::EndpointSettings;
use model::port::PortBinding;
use serde::{Deserialize, Serialize};
use state::{Layout, record};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use sys::netlink::{self, Request, RouteSocket};
use undo::Undo;

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

/// Why a namespace could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("container {container} cannot join network {network}: its driver is {driver}")]
    NotABridge {
        container: String,
        network: String,
        driver: &'static str,
    },
    #[error(
        "invalid MAC address {mac:?} for network {network}: six hexadecimal pairs, the first one even"
    )]
    Mac { network: String, mac: String },
    #[error("invalid interface name {name:?} for network {network}")]
    InterfaceName { network: String, name: String },
    #[error(
        "user specified IP address is supported only when connecting to networks with user configured subnets ({network} has no {family} subnet)"
    )]
    NoSubnet {
        network: String,
        family: &'static str,
    },
    #[error("container {container} is already connected to network {network}")]
    AlreadyConnected { container: String, network: String },
    #[error("container {container} is not connected to network {network}")]
    NotConnected { container: String, network: String },
    #[error("invalid option {option:?} for container {container} on network {network}: {cause}")]
    EndpointOption {
        container: String,
        network: String,
        option: String,
        cause: &'static str,
    },
    #[error(
        "container {container} cannot join network {network} on the host's interface {parent}: {cause}"
    )]
    Parent {
        container: String,
        network: String,
        parent: String,
        cause: &'static str,
    },
    #[error("cannot set {option} of container {container}")]
    EndpointSysctl {
        container: String,
        option: String,
        source: io::Error,
    },
    #[error(
        "container {container} cannot have --deny-egress on network {network}: the host does not see what leaves by {driver}"
    )]
    Unconfinable {
        container: String,
        network: String,
        driver: &'static str,
    },
    #[error("cannot give container {container} an address")]
    Lease {
        container: String,
        source: lease::Error,
    },
    #[error(transparent)]
    Bridge(#[from] bridge::Error),
    #[error(transparent)]
    Firewall(#[from] firewall::Error),
    /// Docker's words, so that scripts find them.
    #[error(
        "failed to set up container networking: driver failed programming external connectivity on endpoint {container}: {source}"
    )]
    Ports {
        container: String,
        source: ports::Error,
    },
    #[error("cannot connect container {container}")]
    Netlink {
        container: String,
        source: netlink::Error,
    },
    #[error("cannot find the new interface {interface} of container {container}")]
    Interface {
        container: String,
        interface: String,
        source: io::Error,
    },
    #[error("cannot register the names of container {container}")]
    Names {
        container: String,
        source: record::Error,
    },
    #[error("cannot set the rules of container {container}")]
    Rules {
        container: String,
        source: Box<endpoint_rules::Error>,
    },
    #[error("cannot draw a random id")]
    Random { source: io::Error },
}

/// Joins a fresh network namespace to networks and publishes its ports. With no endpoints only its loopback comes up.
pub fn attach(
    layout: &Layout,
    netns: BorrowedFd<'_>,
    request: &AttachRequest<'_>,
) -> Result<Attached, Error> {
    let mut undo = Undo::new(layout, netns, request.container_id);
    let mut planned: Vec<plan::Planned> = Vec::with_capacity(request.endpoints.len());
    let host = RouteSocket::open().map_err(|source| netlink_error(request.container_id, source))?;
    let bridged = |(network, _): &&(NetworkRecord, _)| network.driver == Driver::Bridge;
    let mut bridges = request.endpoints.iter().filter(bridged).peekable();
    // Publishing makes sure of the table itself.
    if bridges.peek().is_some()
        && (request.ports.is_empty() || bridges.all(|(network, _)| network.internal))
    {
        firewall::ensure(layout)?;
    }
    for (at, (network, settings)) in request.endpoints.iter().enumerate() {
        let lower = lower(layout, &host, request.container_name, network)?;
        let of_others = |(other, (_, settings)): (usize, &'_ (NetworkRecord, EndpointSettings))| {
            (other != at)
                .then(|| plan::asked_name(settings).map(str::to_owned))
                .flatten()
        };
        let mut used: Vec<String> = request
            .endpoints
            .iter()
            .enumerate()
            .filter_map(of_others)
            .collect();
        used.extend(planned.iter().map(|p| p.endpoint.interface.clone()));
        let asker = asker(request);
        planned.push(plan::endpoint(
            layout, network, settings, &asker, lower, &used, &mut undo,
        )?);
    }
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
    register(
        layout,
        &attached,
        &networks,
        !request.serves_later,
        &mut undo,
    )?;
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

/// Takes a container out of all its networks: ports, names, leases. Its namespace is dead or dies soon, and takes the
/// interfaces along. May be called again; goes on after an error and returns all of them.
pub fn detach(layout: &Layout, attached: &Attached) -> Result<(), Vec<Error>> {
    let mut errors = Vec::new();
    let container = || attached.container_name.clone();
    // Names first: nobody should be led to an address that is about to be somebody else's.
    for endpoint in &attached.endpoints {
        if let Err(source) = endpoint::unregister(layout, &endpoint.network, &endpoint.endpoint_id)
        {
            errors.push(Error::Names {
                container: container(),
                source,
            });
        }
        if let Err(source) =
            endpoint_rules::leave(layout, &endpoint.network, &attached.container_id)
        {
            errors.push(Error::Rules {
                container: container(),
                source: Box::new(source),
            });
        }
    }
    if !attached.ports.is_empty()
        && let Err(source) = ports::unpublish(layout, |id| id == attached.container_id)
    {
        errors.push(Error::Ports {
            container: container(),
            source,
        });
    }
    for endpoint in &attached.endpoints {
        for assigned in [endpoint.ipv4, endpoint.ipv6].into_iter().flatten() {
            let released = lease::release(
                layout,
                &endpoint.network,
                assigned.address,
                &attached.container_id,
            );
            if let Err(source) = released {
                errors.push(Error::Lease {
                    container: container(),
                    source,
                });
            }
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
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

/// The endpoint whose gateway is the default one: the highest priority, then the first by network name.
fn primary(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    let ways_out = endpoints.iter().filter(|endpoint| !endpoint.internal);
    ways_out.min_by(|a, b| (-a.gw_priority, &a.network).cmp(&(-b.gw_priority, &b.network)))
}

/// The host as the container sees it: the gateway of the way out, else of any network.
pub(crate) fn primary_gateway(attached: &Attached) -> Option<IpAddr> {
    // A macvlan's gateway is somebody else, and the host is not to be reached there.
    let bridged = || attached.endpoints.iter().filter(|e| e.has_host_end());
    let way_out = primary(&attached.endpoints).filter(|e| e.has_host_end());
    let endpoint = way_out.or_else(|| bridged().next())?;
    endpoint
        .ipv4
        .or(endpoint.ipv6)
        .map(|assigned| assigned.gateway)
}

impl Endpoint {
    /// Whether the host has an end of it, at a bridge.
    pub fn has_host_end(&self) -> bool {
        !self.host_interface.is_empty()
    }
}

/// A default route: the interface it leads to, by a gateway or by the interface alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WayOut {
    interface: String,
    gateway: IpAddr,
    on_link: bool,
}

impl WayOut {
    fn route(&self, index: u32) -> Request<'static> {
        let any = match self.gateway {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Request::AddRoute {
            destination: self.on_link.then_some((any, 0)),
            gateway: Some(self.gateway).filter(|_| !self.on_link),
            index,
        }
    }
}

/// The default route of each family.
fn ways_out(endpoints: &[Endpoint]) -> Vec<WayOut> {
    let of_family = |pick: fn(&Endpoint) -> Option<Assigned>| {
        let having: Vec<Endpoint> = endpoints
            .iter()
            .filter(|e| pick(e).is_some())
            .cloned()
            .collect();
        let endpoint = primary(&having)?;
        Some(WayOut {
            interface: endpoint.interface.clone(),
            gateway: pick(endpoint)?.gateway,
            on_link: endpoint.on_link,
        })
    };
    [of_family(|e| e.ipv4), of_family(|e| e.ipv6)]
        .into_iter()
        .flatten()
        .collect()
}

/// The names of the endpoints on these networks, and the rules that hold for them, before anybody can learn their addresses.
fn register(
    layout: &Layout,
    attached: &Attached,
    networks: &[&NetworkRecord],
    serving: bool,
    undo: &mut Undo<'_>,
) -> Result<(), Error> {
    for network in networks {
        let of_network = |e: &&Endpoint| e.network_id == network.id.as_str();
        let Some(endpoint) = attached.endpoints.iter().find(of_network) else {
            continue;
        };
        undo.registered(&endpoint.network, &endpoint.endpoint_id);
        let service = set_rules(layout, attached, network, endpoint, serving)?;
        let mut entry = name_entry(attached, endpoint, service);
        entry.standing.serving = serving;
        endpoint::register(layout, &endpoint.network, &endpoint.endpoint_id, &entry).map_err(
            |source| Error::Names {
                container: attached.container_name.clone(),
                source,
            },
        )?;
    }
    Ok(())
}

/// Sets what holds for this endpoint alone; the addresses of its service, where that has any.
fn set_rules(
    layout: &Layout,
    attached: &Attached,
    network: &NetworkRecord,
    endpoint: &Endpoint,
    serving: bool,
) -> Result<Vec<IpAddr>, Error> {
    let service = attached.share_group.as_deref();
    // Elsewhere the host cannot balance, and each container is found by its own address.
    let service = service.filter(|_| attached.service_address && endpoint.has_host_end());
    if attached.deny_egress && !endpoint.has_host_end() {
        return Err(Error::Unconfinable {
            container: attached.container_name.clone(),
            network: network.name.clone(),
            driver: network.driver.as_str(),
        });
    }
    if service.is_none() && !attached.deny_egress {
        return Ok(Vec::new());
    }
    let addresses = (
        endpoint.ipv4.and_then(|assigned| v4(assigned.address)),
        endpoint.ipv6.and_then(|assigned| v6(assigned.address)),
    );
    let wanted = (attached.deny_egress, service);
    let id = &attached.container_id;
    endpoint_rules::join(layout, network, id, addresses, wanted, serving).map_err(|source| {
        Error::Rules {
            container: attached.container_name.clone(),
            source: Box::new(source),
        }
    })
}

/// A service's names lead to its address, where it has one; `tasks.<service>` always to its containers, as in Swarm.
fn name_entry(
    attached: &Attached,
    endpoint: &Endpoint,
    service: Vec<IpAddr>,
) -> endpoint::NameEntry {
    let group = attached.share_group.as_deref();
    let group = group.and_then(|group| group.rsplit_once('/'));
    let mut names = endpoint.dns_names.clone();
    names.extend(group.map(|(_, service)| format!("tasks.{service}")));
    let is_alias = |name: &String| endpoint.aliases.contains(name);
    let service = (!service.is_empty()).then(|| endpoint::ServiceNames {
        names: endpoint.aliases.clone(),
        addresses: service,
    });
    if service.is_some() {
        names.retain(|name| !is_alias(name));
    }
    endpoint::NameEntry {
        container: attached.container_id.clone(),
        container_name: attached.container_name.clone(),
        names,
        addresses: [endpoint.ipv4, endpoint.ipv6]
            .into_iter()
            .flatten()
            .map(|a| a.address)
            .collect(),
        service,
        standing: ports::Standing::default(),
    }
}

fn netlink_error(container: &str, source: netlink::Error) -> Error {
    Error::Netlink {
        container: container.into(),
        source,
    }
}
