//! `EndpointSettings`, `NetworkCreate`: a container's place in networks, and networks.

use super::{or_default, said};
use model::network::{EndpointSettings, IpamConfig, NetworkSpec};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("invalid {key} {value:?} in network {network}")]
    Endpoint {
        network: String,
        key: &'static str,
        value: String,
    },
    #[error("network {0}: {1}")]
    Refused(String, &'static str),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct EndpointBody {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<EndpointIpam>,
    #[serde(deserialize_with = "or_default")]
    links: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    aliases: Vec<String>,
    mac_address: Option<String>,
    #[serde(deserialize_with = "or_default")]
    driver_opts: BTreeMap<String, String>,
    gw_priority: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct EndpointIpam {
    #[serde(rename = "IPv4Address")]
    ipv4: Option<String>,
    #[serde(rename = "IPv6Address")]
    ipv6: Option<String>,
    #[serde(rename = "LinkLocalIPs", deserialize_with = "or_default")]
    link_local: Vec<String>,
}

impl EndpointBody {
    pub fn read(self, network: &str) -> Result<EndpointSettings, NetworkError> {
        let bad = |key: &'static str, value: &str| NetworkError::Endpoint {
            network: network.to_owned(),
            key,
            value: value.to_owned(),
        };
        let ipam = self.ipam_config.unwrap_or_default();
        let link_local = ipam.link_local.iter().map(|text| {
            text.parse::<IpAddr>()
                .map_err(|_| bad("link-local address", text))
        });
        let mac = said(self.mac_address).map(|text| {
            model::network::mac_address(&text).ok_or_else(|| bad("MAC address", &text))
        });
        Ok(EndpointSettings {
            network: network.to_owned(),
            aliases: self.aliases,
            ipv4_address: said(ipam.ipv4)
                .map(|text| text.parse().map_err(|_| bad("IPv4 address", &text)))
                .transpose()?,
            ipv6_address: said(ipam.ipv6)
                .map(|text| text.parse().map_err(|_| bad("IPv6 address", &text)))
                .transpose()?,
            link_local_ips: link_local.collect::<Result<_, _>>()?,
            mac_address: mac.transpose()?,
            driver_opts: self.driver_opts,
            gw_priority: self.gw_priority.unwrap_or(0),
            links: self.links,
            ..Default::default()
        })
    }
}

/// `POST /networks/create`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NetworkBody {
    pub name: String,
    driver: Option<String>,
    scope: Option<String>,
    internal: Option<bool>,
    attachable: Option<bool>,
    ingress: Option<bool>,
    config_only: Option<bool>,
    config_from: Option<ConfigFrom>,
    #[serde(rename = "IPAM")]
    ipam: Option<Ipam>,
    #[serde(rename = "EnableIPv4")]
    ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    ipv6: Option<bool>,
    #[serde(deserialize_with = "or_default")]
    options: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ConfigFrom {
    network: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Ipam {
    driver: Option<String>,
    #[serde(deserialize_with = "or_default")]
    options: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    config: Vec<Pool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Pool {
    subnet: Option<String>,
    #[serde(rename = "IPRange")]
    ip_range: Option<String>,
    gateway: Option<String>,
    #[serde(deserialize_with = "or_default", alias = "AuxAddress")]
    auxiliary_addresses: BTreeMap<String, String>,
}

impl NetworkBody {
    pub fn read(self) -> Result<NetworkSpec, NetworkError> {
        let refused = |why| Err(NetworkError::Refused(self.name.clone(), why));
        if self.ingress == Some(true) {
            return refused("ingress belongs to Swarm, which is not supported");
        }
        if self
            .scope
            .as_deref()
            .is_some_and(|s| !matches!(s, "" | "local"))
        {
            return refused("networks are local to this host");
        }
        let ipam = self.ipam.unwrap_or_default();
        let pools = ipam.config.into_iter().map(|pool| IpamConfig {
            subnet: said(pool.subnet),
            ip_range: said(pool.ip_range),
            gateway: said(pool.gateway),
            aux_addresses: pool.auxiliary_addresses,
        });
        let pools = pools.filter(|pool| *pool != IpamConfig::default());
        Ok(NetworkSpec {
            name: self.name,
            driver: said(self.driver).unwrap_or_else(|| "bridge".to_owned()),
            driver_opts: self.options,
            ipam: pools.collect(),
            ipam_driver: said(ipam.driver),
            ipam_options: ipam.options,
            internal: self.internal.unwrap_or(false),
            attachable: self.attachable.unwrap_or(false),
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            labels: self.labels,
            config_only: self.config_only.unwrap_or(false),
            config_from: said(self.config_from.unwrap_or_default().network),
        })
    }
}
