//! Network records: what a network is, durably.
//!
//! `networks/<name>.json` under the data root, written by [`create`](crate::create) and never changed after. The bridge
//! itself, leases and endpoints are runtime state and live elsewhere (`bridge`, `lease`, `attach`).
//!
//! Source: Docker Engine API, `Network`; driver options as <https://docs.docker.com/engine/network/drivers/bridge/>.

use crate::subnet::Subnet;
use model::Id;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What carries a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    Bridge,
    Host,
    /// `none`.
    Null,
}

impl Driver {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// One address pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub subnet: Subnet,
    pub gateway: IpAddr,
    /// Where dynamic addresses come from, when not from all of the subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<Subnet>,
    /// Addresses of others in the subnet, by name: never given to a container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aux_addresses: BTreeMap<String, IpAddr>,
}

/// A network as created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    pub id: Id,
    pub name: String,
    pub driver: Driver,
    /// The first IPv4 and the first IPv6 pool are used.
    pub pools: Vec<Pool>,
    pub ipam_driver: String,
    #[serde(default)]
    pub ipam_options: BTreeMap<String, String>,
    pub internal: bool,
    pub attachable: bool,
    pub ipv6: bool,
    /// Driver options, Docker's keys.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// RFC 3339.
    pub created: String,
    /// The bridge's interface name; empty for `host` and `none`.
    #[serde(default)]
    pub bridge: String,
}

pub(crate) const OPTION_BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const OPTION_ICC: &str = "com.docker.network.bridge.enable_icc";
const OPTION_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const OPTION_HOST_IP: &str = "com.docker.network.bridge.host_binding_ipv4";
const OPTION_MTU: &str = "com.docker.network.driver.mtu";

impl NetworkRecord {
    pub fn pool_v4(&self) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.is_ipv4())
    }

    pub fn pool_v6(&self) -> Option<&Pool> {
        self.pools.iter().find(|pool| !pool.subnet.is_ipv4())
    }

    /// `bridge`, `host` and `none`: always there, never removed.
    pub fn is_builtin(&self) -> bool {
        is_builtin(&self.name)
    }

    /// The default bridge: no names are served there beyond links, as in Docker.
    pub fn is_default_bridge(&self) -> bool {
        self.name == "bridge"
    }

    /// Whether containers on it may talk to each other.
    pub fn inter_container(&self) -> bool {
        self.flag(OPTION_ICC)
    }

    /// Whether what leaves gets the host's address.
    pub fn masquerades(&self) -> bool {
        !self.internal && self.flag(OPTION_MASQUERADE)
    }

    /// Where ports are published when the binding names no address.
    pub fn default_host_ip(&self) -> Option<IpAddr> {
        self.options.get(OPTION_HOST_IP)?.parse().ok()
    }

    pub fn mtu(&self) -> Option<u32> {
        self.options
            .get(OPTION_MTU)?
            .parse()
            .ok()
            .filter(|mtu| *mtu > 0)
    }

    fn flag(&self, key: &str) -> bool {
        self.options.get(key).is_none_or(|value| {
            matches!(value.as_str(), "true" | "1" | "t" | "T" | "TRUE" | "True")
        })
    }

    /// Options whose values can be wrong: the first wrong one, and what it should be.
    pub(crate) fn wrong_option(&self) -> Option<(&str, &str, &'static str)> {
        let booleans = [
            "true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "FALSE", "True", "False",
        ];
        self.options.iter().find_map(|(key, value)| {
            let expected = match key.as_str() {
                OPTION_ICC | OPTION_MASQUERADE if !booleans.contains(&value.as_str()) => {
                    "true or false"
                }
                OPTION_MTU if value.parse::<u32>().is_err() => "a number",
                OPTION_HOST_IP if value.parse::<IpAddr>().is_err() => "an IP address",
                OPTION_BRIDGE_NAME if !is_interface_name(value) => {
                    "an interface name of at most 15 characters, without spaces or slashes"
                }
                _ => return None,
            };
            Some((key.as_str(), value.as_str(), expected))
        })
    }
}

pub(crate) fn is_builtin(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none")
}

/// What the kernel's `dev_valid_name` accepts, and no glob or control characters.
pub(crate) fn is_interface_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 15
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%' | b'*'))
}
