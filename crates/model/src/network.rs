//! Networks and a container's place in them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `--network`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Not said: the default network `bridge`.
    #[default]
    Default,
    /// Joins the networks of `ContainerSpec::networks`.
    Networks,
    Host,
    None,
    /// `container:NAME`.
    Container(String),
}

/// How a container joins one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSettings {
    /// The network's name or id.
    pub network: String,
    pub aliases: Vec<String>,
    pub ipv4_address: Option<Ipv4Addr>,
    pub ipv6_address: Option<Ipv6Addr>,
    pub link_local_ips: Vec<IpAddr>,
    pub mac_address: Option<String>,
    pub interface_name: Option<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub gw_priority: i64,
    pub priority: i64,
}

/// `--add-host NAME:ADDRESS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraHost {
    pub name: String,
    pub address: HostAddress,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostAddress {
    Ip(IpAddr),
    /// `host-gateway`: the host as the container sees it.
    HostGateway,
}

/// `docker network create`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    pub name: String,
    /// Empty: `bridge`.
    pub driver: String,
    pub driver_opts: BTreeMap<String, String>,
    pub ipam: Vec<IpamConfig>,
    pub ipam_driver: Option<String>,
    pub ipam_options: BTreeMap<String, String>,
    pub internal: bool,
    pub attachable: bool,
    pub ipv4: Option<bool>,
    pub ipv6: Option<bool>,
    pub labels: BTreeMap<String, String>,
}

/// One address pool of a network, as text in CIDR form; checked by `network`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamConfig {
    pub subnet: Option<String>,
    pub ip_range: Option<String>,
    pub gateway: Option<String>,
    pub aux_addresses: BTreeMap<String, String>,
}
