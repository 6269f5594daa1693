//! A service's place in the networks: mode, endpoints with aliases, published ports, names.

use super::donor;
use crate::names::{self, Separator};
use compose_file::project::{EndpointMode, NetworkModeRef, ServicePort};
use compose_file::{Project, Service};
use model::access::PortAccess;
use model::container::ContainerSpec;
use model::network::{EndpointSettings, NetworkMode};

pub(super) fn fill(
    project: &Project,
    service: &Service,
    separator: Separator,
    spec: &mut ContainerSpec,
) {
    let (mode, endpoints) = mode(project, service, separator);
    spec.network_mode = mode;
    spec.networks = endpoints;
    spec.ports = service.ports.iter().map(|port| port.binding).collect();
    spec.port_access = service.ports.iter().filter_map(access).collect();
    spec.deny_egress = service.deny_egress;
    let deploy = service.deploy.as_ref();
    spec.service_address =
        deploy.and_then(|deploy| deploy.endpoint_mode) == Some(EndpointMode::Vip);
    let exposed = service.expose.iter();
    spec.expose = exposed.flat_map(|entry| entry.ports.clone()).collect();
    spec.dns = service.dns.clone();
    spec.dns_search = service.dns_search.clone();
    spec.dns_options = service.dns_opt.clone();
    spec.extra_hosts = service.extra_hosts.clone();
    spec.links = links(project, service, separator);
}

fn access(port: &ServicePort) -> Option<PortAccess> {
    Some(PortAccess {
        binding: port.binding,
        allow: port.allow.clone()?,
    })
}

fn mode(
    project: &Project,
    service: &Service,
    separator: Separator,
) -> (NetworkMode, Vec<EndpointSettings>) {
    let outside = |name: &str| EndpointSettings {
        network: name.to_owned(),
        ..Default::default()
    };
    match &service.network_mode {
        Some(NetworkModeRef::None) => (NetworkMode::None, Vec::new()),
        Some(NetworkModeRef::Host) => (NetworkMode::Host, Vec::new()),
        Some(NetworkModeRef::Bridge) => (NetworkMode::Default, Vec::new()),
        Some(NetworkModeRef::Service(name)) => (
            NetworkMode::Container(donor(project, name, separator)),
            Vec::new(),
        ),
        Some(NetworkModeRef::Container(name)) => (NetworkMode::Container(name.clone()), Vec::new()),
        Some(NetworkModeRef::Named(name)) => (NetworkMode::Networks, vec![outside(name)]),
        None if service.networks.is_empty() => (NetworkMode::None, Vec::new()),
        None => (NetworkMode::Networks, endpoints(project, service)),
    }
}

fn endpoints(project: &Project, service: &Service) -> Vec<EndpointSettings> {
    let mut all: Vec<EndpointSettings> = service
        .networks
        .iter()
        .map(|given| endpoint(project, service, given))
        .collect();
    // The first network of the container is the one of the highest priority.
    all.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.priority));
    if let (Some(first), Some(mac)) = (all.first_mut(), &service.mac_address) {
        first.mac_address.get_or_insert_with(|| mac.clone());
    }
    all
}

fn endpoint(project: &Project, service: &Service, given: &EndpointSettings) -> EndpointSettings {
    let mut endpoint = given.clone();
    if let Some(network) = project.networks.get(&given.network) {
        endpoint.network = network.spec.name.clone();
    }
    if !endpoint.aliases.contains(&service.name) {
        endpoint.aliases.insert(0, service.name.clone());
    }
    endpoint
}

/// `db:database` becomes one extra name for each container of `db`. On networks of the project a link without
/// another name adds nothing.
fn links(project: &Project, service: &Service, separator: Separator) -> Vec<String> {
    // On a network of the project a service is found by its own name anyway.
    let on_bridge = service.network_mode == Some(NetworkModeRef::Bridge);
    let mut links = Vec::new();
    for link in &service.links {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        let adds = |target: &&Service| target.name != alias || on_bridge;
        let Some(target) = project.service(target).filter(adds) else {
            continue;
        };
        for number in 1..=target.replicas().max(1) {
            links.push(format!(
                "{}:{alias}",
                names::container(&project.name, target, number, separator)
            ));
        }
    }
    links.extend(service.external_links.iter().cloned());
    links
}
