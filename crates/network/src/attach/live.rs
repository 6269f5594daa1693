//! Joining and leaving one network while the container runs (`network connect`, `network disconnect`).
//!
//! Here the interface must go at once, so the pair is deleted and the grace period waited for.

use super::undo::Undo;
use super::{
    AttachRequest, Attached, Endpoint, Error, asker, known, lower, netlink_error, plan, primary,
    publish, stacked, ways_out,
};
use crate::ports::PublishedPort;
use crate::record::NetworkRecord;
use crate::{endpoint, endpoint_rules, firewall, lease, ports};
use model::access::PortAccess;
use model::network::EndpointSettings;
use model::port::{HostPort, PortBinding};
use state::Layout;
use std::collections::HashSet;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use sys::netlink::{self, Request, RouteSocket};

/// Joins one more network; `attached` is brought up to date.
pub fn connect(
    layout: &Layout,
    netns: BorrowedFd<'_>,
    attached: &mut Attached,
    (network, settings): (&NetworkRecord, &EndpointSettings),
    reserved: &[(String, IpAddr)],
) -> Result<(), Error> {
    let (id, name) = (
        attached.container_id.clone(),
        attached.container_name.clone(),
    );
    if attached
        .endpoints
        .iter()
        .any(|endpoint| endpoint.network_id == network.id.as_str())
    {
        return Err(Error::AlreadyConnected {
            container: name,
            network: network.name.clone(),
        });
    }
    let mut undo = Undo::new(layout, netns, &id);
    let host = RouteSocket::open().map_err(|source| netlink_error(&id, source))?;
    if !network.bridge.is_empty() {
        firewall::ensure(layout)?;
    }
    let lower = lower(layout, &host, &name, network)?;
    let hostname = attached.hostname.clone();
    let request = AttachRequest {
        container_id: &id,
        container_name: &name,
        hostname: &hostname,
        reserved,
        ..AttachRequest::default()
    };
    let used: Vec<String> = attached
        .endpoints
        .iter()
        .map(|endpoint| endpoint.interface.clone())
        .collect();
    let planned = plan::endpoint(
        layout,
        network,
        settings,
        &asker(&request),
        lower,
        &used,
        &mut undo,
    )?;
    let mut after = attached.clone();
    after.endpoints.push(planned.endpoint.clone());
    known::register(layout, &after, &[network], true, &mut undo)?;
    let hairpin = !after.bindings.is_empty() || after.service_address;
    plan::make(
        &host,
        netns,
        &id,
        std::slice::from_ref(&planned),
        hairpin,
        &mut undo,
    )?;
    plan::set_sysctls(netns, &name, std::slice::from_ref(&planned))?;
    let inside = RouteSocket::open_in(netns).map_err(|source| netlink_error(&id, source))?;
    let requests = plan::addresses(&inside, &id, &planned)?;
    stacked::apply(&inside, &requests, &id, std::slice::from_ref(&planned))?;
    reroute(&inside, &after)?;
    republish(layout, attached, &mut after)?;
    undo.keep();
    *attached = after;
    Ok(())
}

/// Leaves one network; `attached` is brought up to date. `netns` `None`: the container does not run any more.
pub fn disconnect<'a>(
    layout: &Layout,
    netns: impl Into<Option<BorrowedFd<'a>>>,
    attached: &mut Attached,
    network: &str,
) -> Result<(), Error> {
    let name = attached.container_name.clone();
    let matches = |e: &Endpoint| e.network == network || e.network_id == network;
    let Some(at) = attached.endpoints.iter().position(matches) else {
        return Err(Error::NotConnected {
            container: name,
            network: network.into(),
        });
    };
    let mut after = attached.clone();
    let gone = after.endpoints.remove(at);
    endpoint::unregister(layout, &gone.network, &gone.endpoint_id).map_err(|source| {
        Error::Names {
            container: name.clone(),
            source,
        }
    })?;
    endpoint_rules::leave(layout, &gone.network, &attached.container_id).map_err(|source| {
        Error::Rules {
            container: name.clone(),
            source: Box::new(source),
        }
    })?;
    if let Some(netns) = netns.into() {
        let inside = RouteSocket::open_in(netns).map_err(|source| netlink_error(&name, source))?;
        unlink(&inside, &gone).map_err(|source| netlink_error(&name, source))?;
        reroute(&inside, &after)?;
    }
    republish(layout, attached, &mut after)?;
    for assigned in [gone.ipv4, gone.ipv6].into_iter().flatten() {
        lease::release(
            layout,
            &gone.network,
            assigned.address,
            &attached.container_id,
        )
        .map_err(|source| Error::Lease {
            container: name.clone(),
            source,
        })?;
    }
    *attached = after;
    Ok(())
}

/// A pair goes with either end, and the host's has a name that nobody in the container can have changed.
fn unlink(inside: &RouteSocket, gone: &Endpoint) -> Result<(), netlink::Error> {
    let deleted = if gone.has_host_end() {
        let name = &gone.host_interface;
        RouteSocket::open()?.apply(&[Request::DeleteLink { name }])
    } else {
        let name = &gone.interface;
        inside.apply(&[Request::DeleteLink { name }])
    };
    match deleted {
        Err(e) if !e.is_missing() => Err(e),
        _ => Ok(()),
    }
}

/// Sets the default routes to what the endpoints there now say. The kernel removed those of an interface that went.
fn reroute(inside: &RouteSocket, attached: &Attached) -> Result<(), Error> {
    let container = &attached.container_name;
    let mut requests = Vec::new();
    for way in ways_out(&attached.endpoints) {
        let index = plan::index_of(inside, container, &way.interface)?;
        requests.push(way.route(index));
    }
    inside
        .apply(&requests)
        .map_err(|source| netlink_error(container, source))
}

/// Publishes these ports instead of those the running container has; `attached` is brought up to date. A port that was drawn
/// for a binding that stays is kept. On an error nothing is changed.
pub fn set_ports(
    layout: &Layout,
    attached: &mut Attached,
    bindings: Vec<PortBinding>,
    access: Vec<PortAccess>,
) -> Result<(), Error> {
    let mut after = attached.clone();
    let draws = draws(attached);
    after.bindings = bindings.iter().map(|b| drawn(&draws, b)).collect();
    after.access = access
        .into_iter()
        .map(|access| PortAccess {
            binding: drawn(&draws, &access.binding),
            ..access
        })
        .collect();
    let opens = attached.ports.is_empty() && !after.bindings.is_empty();
    if opens {
        hairpin(attached)?;
    }
    publish_anew(layout, &mut after)?;
    after.bindings = bindings;
    *attached = after;
    Ok(())
}

/// Which port each binding got that left the choice to us.
fn draws(attached: &Attached) -> Vec<(PortBinding, u16)> {
    let exact = |port: &PublishedPort| PortBinding {
        host_ip: port.host_ip,
        host_port: HostPort::Exact(port.host_port),
        container_port: port.container_port,
        protocol: port.protocol,
    };
    let asked: HashSet<&PortBinding> = attached.bindings.iter().collect();
    let mut left: Vec<&PublishedPort> = attached.ports.iter().collect();
    left.retain(|port| !asked.contains(&exact(port)));
    let mut draws = Vec::new();
    for binding in &attached.bindings {
        let fits = |port: &&PublishedPort| match binding.host_port {
            HostPort::Exact(_) => false,
            HostPort::AnyOf { first, last } => (first..=last).contains(&port.host_port),
            HostPort::Random => true,
        } && exact(port)
            == PortBinding {
                host_port: HostPort::Exact(port.host_port),
                ..*binding
            };
        if let Some(at) = left.iter().position(fits) {
            draws.push((*binding, left.remove(at).host_port));
        }
    }
    draws
}

/// The binding with the port it has, if it had one drawn.
fn drawn(draws: &[(PortBinding, u16)], binding: &PortBinding) -> PortBinding {
    let port = draws.iter().find(|(known, _)| known == binding);
    PortBinding {
        host_port: port.map_or(binding.host_port, |(_, port)| HostPort::Exact(*port)),
        ..*binding
    }
}

/// A container that publishes reaches its own ports: frames may go back where they came from.
fn hairpin(attached: &Attached) -> Result<(), Error> {
    let failed = |source| netlink_error(&attached.container_name, source);
    let host = RouteSocket::open().map_err(failed)?;
    for endpoint in attached.endpoints.iter().filter(|e| e.has_host_end()) {
        host.apply(&[Request::Hairpin {
            name: &endpoint.host_interface,
        }])
        .map_err(failed)?;
    }
    Ok(())
}

/// The published ports follow the endpoint that is the way out.
fn republish(layout: &Layout, before: &Attached, after: &mut Attached) -> Result<(), Error> {
    let id = |attached: &Attached| {
        primary(&attached.endpoints).map(|endpoint| endpoint.endpoint_id.clone())
    };
    if after.bindings.is_empty() || id(before) == id(after) {
        return Ok(());
    }
    publish_anew(layout, after)
}

/// In place of what was published before, all of which goes where nothing is any more.
fn publish_anew(layout: &Layout, after: &mut Attached) -> Result<(), Error> {
    after.ports = publish(layout, after, true)?;
    if after.ports.is_empty() {
        ports::unpublish(layout, |container| container == after.container_id).map_err(
            |source| Error::Ports {
                container: after.container_name.clone(),
                source,
            },
        )?;
    }
    Ok(())
}
