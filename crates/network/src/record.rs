//! Network records: what a network is, durably.
//!
//! `networks/<name>.json` under the data root, written by [`create`](crate::create) and never changed after. The interface
//! itself, leases and endpoints are runtime state and live elsewhere (`bridge`, `lease`, `attach`).
//!
//! Source: Docker Engine API, `Network`; driver options as <https://docs.docker.com/engine/network/drivers/bridge/>.

use crate::subnet::Subnet;
use model::Id;
use model::network::NetworkSpec;
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
    Macvlan,
    Ipvlan,
}

impl Driver {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
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
    /// A bridge has at most one of each family; of several the first with a free address is used.
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
    /// The bridge's interface name; empty for networks without one.
    #[serde(default)]
    pub bridge: String,
    /// The host's interface that a macvlan or ipvlan hangs on; empty for others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// What networks made `--config-from` this one are to be like. Nobody can be on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Box<NetworkSpec>>,
    /// The network whose configuration this one has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config_from: String,
}

pub(crate) const OPTION_BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const OPTION_ICC: &str = "com.docker.network.bridge.enable_icc";
const OPTION_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const OPTION_HOST_IP: &str = "com.docker.network.bridge.host_binding_ipv4";
const OPTION_MTU: &str = "com.docker.network.driver.mtu";
const OPTION_INHIBIT_V4: &str = "com.docker.network.bridge.inhibit_ipv4";
const OPTION_PREFIX: &str = "com.docker.network.container_iface_prefix";
const OPTION_MODES: [&str; 2] = [
    "com.docker.network.bridge.gateway_mode_ipv4",
    "com.docker.network.bridge.gateway_mode_ipv6",
];
/// What Docker has and we do not: accepted, it would be believed.
const OPTIONS_MISSING: [&str; 3] = [
    "com.docker.network.host_ipv4",
    "com.docker.network.host_ipv6",
    "com.docker.network.bridge.trusted_host_interfaces",
];

impl NetworkRecord {
    pub fn pool_v4(&self) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.is_ipv4())
    }

    pub fn pool_v6(&self) -> Option<&Pool> {
        self.pools.iter().find(|pool| !pool.subnet.is_ipv4())
    }

    /// Whether containers get IPv4 addresses; on `host` and `none` they have what there is.
    pub fn has_ipv4(&self) -> bool {
        match &self.config {
            Some(config) => config.ipv4 != Some(false),
            None => self.pool_v4().is_some() || self.pools.is_empty(),
        }
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

    /// What interfaces of containers are called that ask for no name: this and a number.
    pub fn interface_prefix(&self) -> &str {
        self.options
            .get(OPTION_PREFIX)
            .map_or("eth", String::as_str)
    }

    /// Whether the bridge has the pool's gateway as its address.
    pub fn has_gateway(&self, v4: bool) -> bool {
        let inhibited =
            v4 && self.options.contains_key(OPTION_INHIBIT_V4) && self.flag(OPTION_INHIBIT_V4);
        let mode = self.options.get(OPTION_MODES[usize::from(!v4)]);
        !inhibited && mode.map(String::as_str) != Some("isolated")
    }

    /// Whether the container's way out is its interface itself: its neighbours answer for nobody else in these modes.
    pub fn routes_on_link(&self) -> bool {
        let mode = self.options.get("ipvlan_mode").map(String::as_str);
        self.driver == Driver::Ipvlan && matches!(mode, Some("l3" | "l3s"))
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
                OPTION_ICC | OPTION_MASQUERADE | OPTION_INHIBIT_V4
                    if !booleans.contains(&value.as_str()) =>
                {
                    "true or false"
                }
                OPTION_MTU if value.parse::<u32>().is_err() => "a number",
                OPTION_HOST_IP if value.parse::<IpAddr>().is_err() => "an IP address",
                OPTION_BRIDGE_NAME if !is_interface_name(value) => {
                    "an interface name of at most 15 characters, without spaces or slashes"
                }
                OPTION_PREFIX if value.len() > 12 || !is_interface_name(value) || value == "lo" => {
                    "the beginning of an interface name, of at most 12 characters"
                }
                key if OPTION_MODES.contains(&key) => self.wrong_gateway_mode(value)?,
                key if OPTIONS_MISSING.contains(&key) => {
                    "nothing: this option is not supported; take it away"
                }
                "macvlan_mode"
                    if !matches!(
                        value.as_str(),
                        "" | "bridge" | "private" | "vepa" | "passthru"
                    ) =>
                {
                    "bridge, private, vepa or passthru"
                }
                "ipvlan_mode" if !matches!(value.as_str(), "" | "l2" | "l3" | "l3s") => {
                    "l2, l3 or l3s"
                }
                "ipvlan_flag" if !matches!(value.as_str(), "" | "bridge" | "private" | "vepa") => {
                    "bridge, private or vepa"
                }
                _ => return None,
            };
            Some((key.as_str(), value.as_str(), expected))
        })
    }

    fn wrong_gateway_mode(&self, mode: &str) -> Option<&'static str> {
        match mode {
            "" | "nat" => None,
            "isolated" if self.internal => None,
            "isolated" => Some("nat: \"isolated\" is for internal networks alone (--internal)"),
            "routed" | "nat-unprotected" => {
                Some("nat: ports that are reached without being published are not supported")
            }
            _ => Some("nat or isolated"),
        }
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
