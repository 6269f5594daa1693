//! A container's network namespace and the networks it joins: what `network` is asked for.

use super::endpoints;
use crate::container::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use model::network::NetworkMode;
use model::port::{HostPort, PortBinding};
use network::{AttachRequest, Attached};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

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
    let spec = &container.spec;
    let request = AttachRequest {
        container_id: container.id.as_str(),
        container_name: &container.name,
        hostname: &container.hostname,
        endpoints: endpoints(ctx, &container.spec)?,
        ports: &bindings,
        access: &spec.port_access,
        default_host_ip: spec.default_host_ip,
        share_group: group.as_deref(),
        serves_later: group.is_some() && container.healthcheck.is_some(),
        service_address: spec.service_address,
        deny_egress: spec.deny_egress,
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

/// The ports of a running container become what its record says now.
fn republish(ctx: &Context, container: &ContainerRecord, attached: &mut Attached) -> Result<()> {
    let endpoints = endpoints(ctx, &container.spec)?;
    let default = container.spec.default_host_ip;
    let ports = network::bindings(&bindings(container), &endpoints, default);
    let access = network::access(&container.spec.port_access, &endpoints, default);
    if (&ports, &access) == (&attached.bindings, &attached.access) {
        return Ok(());
    }
    Ok(network::set_ports(&ctx.layout, attached, ports, access)?)
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

/// Brings what is attached to the name and the published ports that the record says.
pub fn follow(ctx: &Context, container: &ContainerRecord, attached: &mut Attached) -> Result<()> {
    if attached.container_name != container.name {
        network::rename(&ctx.layout, attached, &container.name)?;
    }
    republish(ctx, container, attached)
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
