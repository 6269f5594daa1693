//! `docker network inspect`.

use network::record::NetworkRecord;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Network {
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "Id")]
    pub id: String,
    #[serde(rename = "Created")]
    pub created: String,
    #[serde(rename = "Scope")]
    pub scope: &'static str,
    #[serde(rename = "Driver")]
    pub driver: &'static str,
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    #[serde(rename = "Internal")]
    pub internal: bool,
    #[serde(rename = "Attachable")]
    pub attachable: bool,
    #[serde(rename = "Ingress")]
    pub ingress: bool,
    #[serde(rename = "ConfigFrom")]
    pub config_from: ConfigFrom,
    #[serde(rename = "ConfigOnly")]
    pub config_only: bool,
    #[serde(rename = "Containers")]
    pub containers: BTreeMap<String, Member>,
    #[serde(rename = "Options")]
    pub options: BTreeMap<String, String>,
    #[serde(rename = "Labels")]
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ipam {
    pub driver: String,
    /// `null` where none were given.
    pub options: Option<BTreeMap<String, String>>,
    pub config: Vec<Pool>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pool {
    #[serde(rename = "Subnet")]
    pub subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<String>,
    #[serde(rename = "Gateway")]
    pub gateway: String,
    #[serde(
        rename = "AuxiliaryAddresses",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub auxiliary_addresses: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfigFrom {
    pub network: String,
}

/// A running container in the network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    #[serde(rename = "MacAddress")]
    pub mac_address: String,
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

impl Network {
    pub fn new(record: &NetworkRecord, containers: BTreeMap<String, Member>) -> Self {
        let pool = |pool: &network::record::Pool| Pool {
            subnet: pool.subnet.to_string(),
            ip_range: pool.ip_range.map(|range| range.to_string()),
            gateway: pool.gateway.to_string(),
            auxiliary_addresses: pool
                .aux_addresses
                .iter()
                .map(|(k, v)| (k.clone(), v.to_string()))
                .collect(),
        };
        Self {
            name: record.name.clone(),
            id: record.id.to_string(),
            created: record.created.clone(),
            scope: "local",
            driver: record.driver.as_str(),
            enable_ipv4: record.has_ipv4(),
            enable_ipv6: record.ipv6,
            ipam: Ipam {
                driver: record.ipam_driver.clone(),
                options: Some(record.ipam_options.clone()).filter(|o| !o.is_empty()),
                config: match &record.config {
                    Some(config) => config.ipam.iter().map(Pool::asked).collect(),
                    None => record.pools.iter().map(pool).collect(),
                },
            },
            internal: record.internal,
            attachable: record.attachable,
            ingress: false,
            config_from: ConfigFrom {
                network: record.config_from.clone(),
            },
            config_only: record.config.is_some(),
            containers,
            options: record.options.clone(),
            labels: record.labels.clone(),
        }
    }
}

impl Network {
    /// With the running containers that are in it.
    pub fn load(ctx: &engine::Context, record: &NetworkRecord) -> Result<Self, engine::Error> {
        let mut members = BTreeMap::new();
        for container in engine::networks::members(ctx, record)? {
            let state = engine::container::state::State::load(ctx, container.id.as_str())?;
            let joined = super::endpoint::joined(ctx, &container, &state);
            let mut endpoints = joined.iter();
            let found =
                endpoints.find(|net| net.network == record.name && !net.endpoint_id.is_empty());
            if let Some(endpoint) = found {
                members.insert(
                    container.id.to_string(),
                    Member::new(&container.name, endpoint),
                );
            }
        }
        Ok(Self::new(record, members))
    }
}

impl Pool {
    /// Of a configuration network: as it was asked for.
    fn asked(config: &model::network::IpamConfig) -> Self {
        Self {
            subnet: config.subnet.clone().unwrap_or_default(),
            ip_range: config.ip_range.clone(),
            gateway: config.gateway.clone().unwrap_or_default(),
            auxiliary_addresses: config.aux_addresses.clone(),
        }
    }
}

impl Member {
    pub fn new(name: &str, endpoint: &super::endpoint::Joined) -> Self {
        let cidr = |address: Option<(std::net::IpAddr, u8)>| {
            address
                .map(|(ip, prefix)| format!("{ip}/{prefix}"))
                .unwrap_or_default()
        };
        Self {
            name: name.to_owned(),
            endpoint_id: endpoint.endpoint_id.clone(),
            mac_address: endpoint.mac_address.clone(),
            ipv4_address: cidr(endpoint.address),
            ipv6_address: cidr(endpoint.address_v6),
        }
    }
}
