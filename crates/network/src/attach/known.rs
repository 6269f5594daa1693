//! What others know of an endpoint: the names it is found by, and the rules that hold for it.

use super::undo::Undo;
use super::{Attached, Endpoint, Error, v4, v6};
use crate::record::NetworkRecord;
use crate::{endpoint, endpoint_rules, ports};
use state::Layout;
use std::net::IpAddr;

/// The names of the endpoints on these networks, and the rules that hold for them, before anybody can learn their addresses.
pub(super) fn register(
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

/// Takes back what [`register`] did; what could not be taken back.
pub(super) fn forget(layout: &Layout, attached: &Attached, endpoint: &Endpoint) -> Vec<Error> {
    let container = || attached.container_name.clone();
    let names = endpoint::unregister(layout, &endpoint.network, &endpoint.endpoint_id);
    let rules = endpoint_rules::leave(layout, &endpoint.network, &attached.container_id);
    let names = names.err().map(|source| Error::Names {
        container: container(),
        source,
    });
    let rules = rules.err().map(|source| Error::Rules {
        container: container(),
        source: Box::new(source),
    });
    names.into_iter().chain(rules).collect()
}
