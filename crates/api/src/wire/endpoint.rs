//! `NetworkSettings` of an inspected container.

use super::host_config::PortBinding;
use engine::container::record::ContainerRecord;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkSettings {
    pub bridge: String,
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    pub sandbox_key: String,
    /// `null` for an exposed port that is not published.
    pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    pub hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: String,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Option<Vec<String>>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Option<Vec<String>>,
    /// The default bridge's, once more, as old clients read it.
    #[serde(flatten)]
    pub default_bridge: Addresses,
    pub networks: BTreeMap<String, EndpointSettings>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Addresses {
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    #[serde(rename = "Gateway")]
    pub gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    #[serde(rename = "MacAddress")]
    pub mac_address: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EndpointSettings {
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<IpamConfig>,
    #[serde(rename = "Links")]
    pub links: Option<Vec<String>>,
    #[serde(rename = "Aliases")]
    pub aliases: Option<Vec<String>>,
    #[serde(rename = "DriverOpts")]
    pub driver_opts: Option<BTreeMap<String, String>>,
    #[serde(rename = "GwPriority")]
    pub gw_priority: i64,
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    #[serde(flatten)]
    pub addresses: Addresses,
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct IpamConfig {
    #[serde(rename = "IPv4Address", skip_serializing_if = "Option::is_none")]
    pub ipv4_address: Option<String>,
    #[serde(rename = "IPv6Address", skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<String>,
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
}

/// One network a container is in, with what it got there; while it does not run, what it is to get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Joined {
    pub network: String,
    pub network_id: String,
    pub endpoint_id: String,
    pub gateway: Option<IpAddr>,
    pub gateway_v6: Option<IpAddr>,
    pub address: Option<(IpAddr, u8)>,
    pub address_v6: Option<(IpAddr, u8)>,
    pub mac_address: String,
}

impl Addresses {
    fn new(joined: &Joined) -> Self {
        let text = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
        Self {
            endpoint_id: joined.endpoint_id.clone(),
            gateway: text(joined.gateway),
            global_ipv6_address: text(joined.address_v6.map(|(ip, _)| ip)),
            global_ipv6_prefix_len: joined.address_v6.map_or(0, |(_, length)| length),
            ip_address: text(joined.address.map(|(ip, _)| ip)),
            ip_prefix_len: joined.address.map_or(0, |(_, length)| length),
            ipv6_gateway: text(joined.gateway_v6),
            mac_address: joined.mac_address.clone(),
        }
    }
}

fn endpoint(container: &ContainerRecord, joined: &Joined) -> EndpointSettings {
    let asked = container
        .spec
        .networks
        .iter()
        .find(|net| net.network == joined.network || net.network == joined.network_id);
    let user_defined =
        joined.network != "bridge" && joined.network != "host" && joined.network != "none";
    let aliases = asked.map(|net| net.aliases.clone()).unwrap_or_default();
    let mut names = vec![container.name.clone()];
    names.extend(aliases.iter().cloned());
    names.push(container.id.short().to_owned());
    let fixed = asked.and_then(|net| {
        let config = IpamConfig {
            ipv4_address: net.ipv4_address.map(|ip| ip.to_string()),
            ipv6_address: net.ipv6_address.map(|ip| ip.to_string()),
            link_local_ips: net.link_local_ips.iter().map(ToString::to_string).collect(),
        };
        (config != IpamConfig::default()).then_some(config)
    });
    let mut links = container.spec.links.clone();
    links.extend(asked.iter().flat_map(|net| net.links.iter().cloned()));
    EndpointSettings {
        ipam_config: fixed,
        links: super::nullable(&links),
        aliases: super::nullable(&aliases),
        driver_opts: asked
            .filter(|net| !net.driver_opts.is_empty())
            .map(|net| net.driver_opts.clone()),
        gw_priority: asked.map_or(0, |net| net.gw_priority),
        network_id: joined.network_id.clone(),
        addresses: Addresses::new(joined),
        dns_names: user_defined.then_some(names),
    }
}

/// A port as it is published: container side, host address, host port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// `80/tcp`.
    pub container_port: String,
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
}

impl NetworkSettings {
    /// `published` and the addresses are what the running container has.
    pub fn new(
        container: &ContainerRecord,
        joined: &[Joined],
        published: &[Published],
        running: bool,
    ) -> Self {
        let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
        if running {
            ports.extend(
                container
                    .exposed
                    .iter()
                    .map(|port| (port.to_string(), None)),
            );
        }
        for port in published {
            let bindings = ports
                .entry(port.container_port.clone())
                .or_default()
                .get_or_insert_default();
            let host_port = port.host_port.to_string();
            match port.host_ip {
                Some(ip) => bindings.push(PortBinding {
                    host_ip: ip.to_string(),
                    host_port,
                }),
                None => {
                    bindings.push(PortBinding {
                        host_ip: "0.0.0.0".into(),
                        host_port: host_port.clone(),
                    });
                    bindings.push(PortBinding {
                        host_ip: "::".into(),
                        host_port,
                    });
                }
            }
        }
        let default_bridge = joined
            .iter()
            .find(|net| net.network == "bridge")
            .map(Addresses::new)
            .unwrap_or_default();
        Self {
            ports,
            default_bridge,
            networks: joined
                .iter()
                .map(|net| (net.network.clone(), endpoint(container, net)))
                .collect(),
            ..Default::default()
        }
    }
}

/// The address that was asked for on a network.
pub(super) fn asked_mac_address(container: &ContainerRecord, network: &str) -> String {
    let mut asked = container.spec.networks.iter();
    let asked = asked.find(|net| net.network == network);
    asked
        .and_then(|net| net.mac_address.clone())
        .unwrap_or_default()
}

/// The networks a container is in: as it joined them when it runs, else as it will.
pub fn joined(
    ctx: &engine::Context,
    container: &ContainerRecord,
    state: &engine::container::state::State,
) -> Vec<Joined> {
    if let Some(attached) = state.run().and_then(|run| run.network.as_ref()) {
        return attached.endpoints.iter().map(Joined::from).collect();
    }
    use model::network::NetworkMode;
    let names: Vec<&str> = match &container.spec.network_mode {
        NetworkMode::Default => vec!["bridge"],
        NetworkMode::Host => vec!["host"],
        NetworkMode::None => vec!["none"],
        NetworkMode::Container(_) => vec![],
        NetworkMode::Networks => container
            .spec
            .networks
            .iter()
            .map(|net| net.network.as_str())
            .collect(),
    };
    let look_up = |name: &str| match network::find(&ctx.layout, name) {
        Ok(record) => Joined {
            network: record.name,
            network_id: record.id.to_string(),
            ..Default::default()
        },
        // A network that was removed while the container was stopped.
        Err(_) => Joined {
            network: name.to_owned(),
            ..Default::default()
        },
    };
    let each = names.into_iter().map(|name| Joined {
        mac_address: asked_mac_address(container, name),
        ..look_up(name)
    });
    each.collect()
}

/// The ports a running container has published.
pub fn published(state: &engine::container::state::State) -> Vec<Published> {
    let ports = state
        .run()
        .and_then(|run| run.network.as_ref())
        .map_or(&[][..], |network| &network.ports);
    ports
        .iter()
        .map(|port| Published {
            container_port: format!("{}/{}", port.container_port, port.protocol),
            host_ip: port.host_ip,
            host_port: port.host_port,
        })
        .collect()
}

impl From<&network::Endpoint> for Joined {
    fn from(endpoint: &network::Endpoint) -> Self {
        Self {
            network: endpoint.network.clone(),
            network_id: endpoint.network_id.clone(),
            endpoint_id: endpoint.endpoint_id.clone(),
            gateway: endpoint
                .ipv4
                .filter(|_| !endpoint.on_link)
                .map(|ip| ip.gateway),
            gateway_v6: endpoint
                .ipv6
                .filter(|_| !endpoint.on_link)
                .map(|ip| ip.gateway),
            address: endpoint.ipv4.as_ref().map(|ip| (ip.address, ip.prefix)),
            address_v6: endpoint.ipv6.as_ref().map(|ip| (ip.address, ip.prefix)),
            mac_address: endpoint.mac.clone(),
        }
    }
}
