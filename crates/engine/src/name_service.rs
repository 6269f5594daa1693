//! How a container finds others by name: its `/etc/hosts`, its `/etc/resolv.conf`, its name server.
//!
//! The texts and the server are `network`'s; here is decided what goes in.

use crate::container::record::ContainerRecord;
use crate::container::state::State;
use crate::context::Context;
use crate::error::Result;
use model::network::HostAddress;
use network::Attached;
use network::dns::{DnsConfig, Responder};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// `/etc/hosts` of a container.
pub(crate) fn hosts_text(
    ctx: &Context,
    container: &ContainerRecord,
    attached: Option<&Attached>,
) -> String {
    let endpoints = attached.iter().flat_map(|a| &a.endpoints);
    let addresses: Vec<IpAddr> = endpoints
        .flat_map(|e| [e.ipv4, e.ipv6].into_iter().flatten())
        .map(|assigned| assigned.address)
        .collect();
    let gateway = host_gateway(attached);
    let mut extra: Vec<(String, IpAddr)> = container
        .spec
        .extra_hosts
        .iter()
        .map(|host| {
            let address = match host.address {
                HostAddress::Ip(address) => address,
                HostAddress::HostGateway => gateway,
            };
            (host.name.clone(), address)
        })
        .collect();
    // On user-defined networks the responder knows links; on the default bridge this file is all there is.
    if !attached.is_some_and(on_user_defined_network) {
        extra.extend(
            container
                .spec
                .links
                .iter()
                .flat_map(|link| linked(ctx, link)),
        );
    }
    let domain = container.spec.domainname.as_deref().unwrap_or_default();
    network::hosts_file(&container.hostname, domain, &addresses, &extra)
}

/// `--link container[:alias]`: the running container's address under the alias, its name and its host name.
fn linked(ctx: &Context, link: &str) -> Vec<(String, IpAddr)> {
    let (target, alias) = link.split_once(':').unwrap_or((link, link));
    let Ok(other) = crate::container::names::resolve(ctx, target) else {
        return Vec::new();
    };
    let Ok(state) = State::load(ctx, other.id.as_str()) else {
        return Vec::new();
    };
    let attached = state.run().and_then(|run| run.network.as_ref());
    let mut addresses = attached
        .iter()
        .flat_map(|a| &a.endpoints)
        .filter_map(|e| e.ipv4);
    let Some(first) = addresses.next() else {
        return Vec::new();
    };
    let mut names = vec![alias.to_owned(), other.hostname, other.name];
    names.dedup();
    names
        .into_iter()
        .map(|name| (name, first.address))
        .collect()
}

/// The host as the container reaches it: its bridge's address; on the host's own network, loopback.
fn host_gateway(attached: Option<&Attached>) -> IpAddr {
    let endpoints = attached.iter().flat_map(|a| &a.endpoints);
    let bridged = endpoints.filter(|e| e.has_host_end());
    let mut gateways = bridged.filter_map(|e| e.ipv4.or(e.ipv6).map(|assigned| assigned.gateway));
    gateways
        .next()
        .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
}

/// `/etc/resolv.conf` of a container, and whether it needs its own responder.
pub(crate) fn resolv_conf(
    container: &ContainerRecord,
    attached: Option<&Attached>,
) -> network::ResolvConf {
    let host = network::host_resolv_conf();
    let spec = &container.spec;
    if attached.is_none_or(|a| a.endpoints.is_empty()) && spec.dns.is_empty() {
        return network::ResolvConf {
            text: host,
            needs_responder: false,
        };
    }
    network::resolv_conf(&network::ResolvRequest {
        user_defined: attached.is_some_and(on_user_defined_network),
        servers: &spec.dns,
        search: &spec.dns_search,
        options: &spec.dns_options,
        host: &host,
    })
}

/// The name server of a running container; `None` where none is needed.
pub fn responder(
    ctx: &Context,
    container: &ContainerRecord,
    netns: BorrowedFd<'_>,
    attached: &Attached,
) -> Result<Option<Responder>> {
    if !resolv_conf(container, Some(attached)).needs_responder {
        return Ok(None);
    }
    let responder = Responder::new(&ctx.layout, netns, dns_config(container, attached))?;
    Ok(Some(responder))
}

/// What a container's name server knows.
pub fn dns_config(container: &ContainerRecord, attached: &Attached) -> DnsConfig {
    let of_networks = container.spec.networks.iter().flat_map(|net| &net.links);
    let links = container.spec.links.iter().chain(of_networks).map(|link| {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        (alias.to_owned(), target.to_owned())
    });
    DnsConfig {
        links: links.collect(),
        upstream: container.spec.dns.clone(),
        ..DnsConfig::of(attached)
    }
}

fn on_user_defined_network(attached: &Attached) -> bool {
    attached.endpoints.iter().any(|e| e.network != "bridge")
}
