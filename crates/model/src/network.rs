//! Networks and a container's place in them.

use crate::{ParseError, csv};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

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
    /// `container[:alias]`: other containers of the network by names of this one's own.
    pub links: Vec<String>,
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
    /// Only a configuration, that other networks are made from.
    pub config_only: bool,
    /// The configuration network this one is made from.
    pub config_from: Option<String>,
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

/// One `--network` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkArg {
    /// `host`, `none`, `container:NAME`, `default`.
    Mode(NetworkMode),
    Endpoint(EndpointSettings),
}

impl FromStr for NetworkArg {
    type Err = ParseError;

    /// A name, a mode, or the long form `name=NET,alias=A,ip=…,ip6=…,mac-address=…,driver-opt=K=V,gw-priority=N`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |cause: String| ParseError::new("network", text, cause);
        if let Some(name) = text.strip_prefix("container:") {
            return match name {
                "" => Err(fail("invalid container format container:<name|id>".into())),
                _ => Ok(Self::Mode(NetworkMode::Container(name.to_owned()))),
            };
        }
        match text {
            "" => return Err(fail("no network name given".into())),
            "default" => return Ok(Self::Mode(NetworkMode::Default)),
            "host" => return Ok(Self::Mode(NetworkMode::Host)),
            "none" => return Ok(Self::Mode(NetworkMode::None)),
            _ => {}
        }
        if !text.contains('=') {
            return Ok(Self::Endpoint(EndpointSettings {
                network: text.to_owned(),
                ..Default::default()
            }));
        }
        let mut endpoint = EndpointSettings::default();
        for field in csv::fields(text).map_err(|cause| fail(cause.into()))? {
            set_endpoint_field(&mut endpoint, &field).map_err(fail)?;
        }
        match endpoint.network.as_str() {
            "" => Err(fail("the long form needs name=NETWORK".into())),
            "host" => Ok(Self::Mode(NetworkMode::Host)),
            "none" => Ok(Self::Mode(NetworkMode::None)),
            _ => Ok(Self::Endpoint(endpoint)),
        }
    }
}

fn set_endpoint_field(endpoint: &mut EndpointSettings, field: &str) -> Result<(), String> {
    let (key, value) = field
        .split_once('=')
        .ok_or_else(|| format!("invalid field {field:?}: write key=value"))?;
    let address = |kind: &str| format!("invalid {kind} address: {value}");
    match key.to_ascii_lowercase().as_str() {
        "name" => endpoint.network = value.to_owned(),
        "alias" => endpoint.aliases.push(value.to_owned()),
        "ip" => endpoint.ipv4_address = Some(value.parse().map_err(|_| address("IPv4"))?),
        "ip6" => endpoint.ipv6_address = Some(value.parse().map_err(|_| address("IPv6"))?),
        "mac-address" => {
            endpoint.mac_address = Some(mac_address(value).ok_or_else(|| address("MAC"))?)
        }
        "link-local-ip" => endpoint
            .link_local_ips
            .push(value.parse().map_err(|_| address("link-local"))?),
        "driver-opt" => {
            let (key, value) = value.split_once('=').ok_or("driver-opt needs KEY=VALUE")?;
            endpoint
                .driver_opts
                .insert(key.to_ascii_lowercase(), value.to_owned());
        }
        "gw-priority" => {
            endpoint.gw_priority = value
                .parse()
                .map_err(|_| format!("invalid gw-priority {value:?}: not an integer"))?;
        }
        _ => return Err(format!("invalid field {key}")),
    }
    Ok(())
}

/// Six pairs of hexadecimal digits, as `02:42:ac:11:00:02`; lower-cased.
pub fn mac_address(text: &str) -> Option<String> {
    let pairs: Vec<&str> = text.split([':', '-']).collect();
    let pair = |p: &&str| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit());
    (pairs.len() == 6 && pairs.iter().all(pair)).then(|| pairs.join(":").to_ascii_lowercase())
}

/// Puts several `--network` values together. A mode (host, none, container) stands alone.
pub fn combine(
    values: Vec<NetworkArg>,
) -> Result<(NetworkMode, Vec<EndpointSettings>), ParseError> {
    let mut endpoints: Vec<EndpointSettings> = Vec::new();
    let mut mode = None;
    for value in values {
        match value {
            NetworkArg::Mode(NetworkMode::Default) => {
                endpoints.push(EndpointSettings {
                    network: "bridge".into(),
                    ..Default::default()
                });
            }
            NetworkArg::Mode(other) => mode = Some(other),
            NetworkArg::Endpoint(endpoint)
                if endpoints.iter().any(|e| e.network == endpoint.network) =>
            {
                return Err(ParseError::new(
                    "network",
                    endpoint.network,
                    "network is specified multiple times",
                ));
            }
            NetworkArg::Endpoint(endpoint) => endpoints.push(endpoint),
        }
    }
    match (mode, endpoints.is_empty()) {
        (None, true) => Ok((NetworkMode::Default, endpoints)),
        (None, false) => Ok((NetworkMode::Networks, endpoints)),
        (Some(mode), true) => Ok((mode, endpoints)),
        (Some(mode), false) => Err(ParseError::new(
            "network",
            mode.to_string(),
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        )),
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Networks => f.write_str("networks"),
            Self::Host => f.write_str("host"),
            Self::None => f.write_str("none"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}

impl FromStr for ExtraHost {
    type Err = ParseError;

    /// `name:address` or `name=address`; IPv6 with or without brackets; `host-gateway`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |cause: String| ParseError::new("extra host", text, cause);
        let Some((name, address)) = text.split_once('=').or_else(|| text.split_once(':')) else {
            return Err(fail(
                "bad format for add-host; write it as name:address".into(),
            ));
        };
        // It becomes a line of /etc/hosts.
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '#');
        if name.is_empty() || name.contains(odd) {
            return Err(fail(
                "bad format for add-host: the name is empty, or has blanks, \":\", \"#\" or control characters".into(),
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            address: address.parse().map_err(|e: ParseError| fail(e.cause))?,
        })
    }
}

impl FromStr for HostAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "host-gateway" {
            return Ok(Self::HostGateway);
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(text);
        match bare.parse() {
            Ok(ip) => Ok(Self::Ip(ip)),
            Err(_) => Err(ParseError::new(
                "host address",
                text,
                format!("invalid IP address in add-host: {text:?}"),
            )),
        }
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::HostGateway => f.write_str("host-gateway"),
        }
    }
}

impl fmt::Display for ExtraHost {
    /// `name:address`, as inspect shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> EndpointSettings {
        match text.parse() {
            Ok(NetworkArg::Endpoint(endpoint)) => endpoint,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn names_and_modes() {
        assert_eq!(endpoint("frontend").network, "frontend");
        assert_eq!("host".parse(), Ok(NetworkArg::Mode(NetworkMode::Host)));
        assert_eq!("none".parse(), Ok(NetworkArg::Mode(NetworkMode::None)));
        assert_eq!(
            "container:web".parse(),
            Ok(NetworkArg::Mode(NetworkMode::Container("web".into())))
        );
        assert!("container:".parse::<NetworkArg>().is_err());
        assert!("".parse::<NetworkArg>().is_err());
    }

    #[test]
    fn long_form() {
        let long = endpoint(
            "name=net,alias=a,alias=b,ip=10.0.0.5,ip6=fd00::5,mac-address=02-42-AC-11-00-02,driver-opt=k=v,gw-priority=3",
        );
        assert_eq!(long.aliases, ["a", "b"]);
        assert_eq!(long.ipv4_address.unwrap().to_string(), "10.0.0.5");
        assert_eq!(long.ipv6_address.unwrap().to_string(), "fd00::5");
        assert_eq!(long.mac_address.as_deref(), Some("02:42:ac:11:00:02"));
        assert_eq!((long.driver_opts["k"].as_str(), long.gw_priority), ("v", 3));
        for text in [
            "alias=a",
            "name=n,ip=fd00::1",
            "name=n,color=red",
            "name=n,mac-address=1",
            "name=n,gw-priority=x",
            "name=n,alias",
        ] {
            assert!(text.parse::<NetworkArg>().is_err(), "{text}");
        }
    }

    #[test]
    fn several_values() {
        let parse = |values: &[&str]| combine(values.iter().map(|v| v.parse().unwrap()).collect());
        assert_eq!(parse(&[]).unwrap(), (NetworkMode::Default, vec![]));
        assert_eq!(parse(&["a", "b"]).unwrap().1.len(), 2);
        assert_eq!(parse(&["host"]).unwrap().0, NetworkMode::Host);
        assert!(parse(&["host", "a"]).is_err());
        assert!(parse(&["a", "a"]).is_err());
    }

    #[test]
    fn extra_hosts() {
        for (text, shown) in [
            ("db:10.0.0.1", "db:10.0.0.1"),
            ("db=10.0.0.1", "db:10.0.0.1"),
            ("db:::1", "db:::1"),
            ("db:[::1]", "db:::1"),
            ("db=[fd00::2]", "db:fd00::2"),
            (
                "host.docker.internal:host-gateway",
                "host.docker.internal:host-gateway",
            ),
        ] {
            assert_eq!(text.parse::<ExtraHost>().unwrap().to_string(), shown);
        }
        for text in [
            "db",
            ":1.2.3.4",
            "db:",
            "db:300.1.1.1",
            "db:gateway",
            "a b:1.2.3.4",
        ] {
            assert!(text.parse::<ExtraHost>().is_err(), "{text}");
        }
    }
}
