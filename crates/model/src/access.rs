//! Who may reach a published port, and the long form of `-p` that says so.
//!
//! Source: Docker's `--publish published=8080,target=80,protocol=tcp`; `allow` is ours.

use crate::ParseError;
use crate::port::{self, PortBinding};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network that packets come from, `192.168.0.0/16`; a bare address is a network of one. Host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceNetwork {
    address: IpAddr,
    prefix: u8,
}

/// Who may reach a published port from other machines and containers; the host itself always may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortAccess {
    /// The port, as it is published.
    pub binding: PortBinding,
    /// Empty: nobody but the host itself.
    pub allow: Vec<SourceNetwork>,
}

impl SourceNetwork {
    pub fn address(self) -> IpAddr {
        self.address
    }

    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The last address in it.
    pub fn last(self) -> IpAddr {
        match self.address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                Ipv4Addr::from(u32::from(v4) | host).into()
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                Ipv6Addr::from(u128::from(v6) | host).into()
            }
        }
    }

    pub fn contains(self, other: Self) -> bool {
        let same_family = self.address.is_ipv4() == other.address.is_ipv4();
        same_family
            && (self.address..=self.last()).contains(&other.address)
            && other.prefix >= self.prefix
    }
}

impl FromStr for SourceNetwork {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |cause: &str| ParseError::new("network to allow", text, cause.to_owned());
        let form = "write it as 192.168.0.0/16, or as one address";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad(form))?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|p| *p <= width)
                .ok_or_else(|| bad(form))?,
        };
        let first = match address {
            IpAddr::V4(v4) => {
                let mask = !u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                IpAddr::from(Ipv4Addr::from(u32::from(v4) & mask))
            }
            IpAddr::V6(v6) => {
                let mask = !u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                IpAddr::from(Ipv6Addr::from(u128::from(v6) & mask))
            }
        };
        if first != address {
            return Err(bad(&format!(
                "bits behind the prefix are set; {first}/{prefix} is the network it lies in"
            )));
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for SourceNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TryFrom<String> for SourceNetwork {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SourceNetwork> for String {
    fn from(network: SourceNetwork) -> Self {
        network.to_string()
    }
}

/// Reads `-p`: the short form, or `published=8080,target=80[,protocol=udp][,host_ip=127.0.0.1][,allow=NETWORK]…`.
pub fn parse_published(text: &str) -> Result<(Vec<PortBinding>, Vec<PortAccess>), ParseError> {
    if !text.contains('=') {
        return Ok((port::parse(text)?, Vec::new()));
    }
    let bad = |cause: String| ParseError::new("port", text, cause);
    let (mut target, mut published, mut host_ip, mut protocol) = ("", "", "", "tcp");
    let mut allow = None::<Vec<SourceNetwork>>;
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| bad(format!("{part:?} has no value; write key=value")))?;
        match key.trim() {
            "target" => target = value,
            "published" => published = value,
            "host_ip" => host_ip = value,
            "protocol" => protocol = value,
            "mode" => {}
            "allow" => allow
                .get_or_insert_default()
                .push(value.parse().map_err(|e: ParseError| bad(e.to_string()))?),
            other => {
                return Err(bad(format!(
                    "unknown key {other}; there are target, published, protocol, host_ip, mode and allow"
                )));
            }
        }
    }
    let address = if host_ip.contains(':') {
        format!("[{host_ip}]:")
    } else {
        format!("{host_ip}:")
    };
    let address = if host_ip.is_empty() { "" } else { &address };
    let host = if published.is_empty() && address.is_empty() {
        String::new()
    } else {
        format!("{published}:")
    };
    let bindings = port::parse(&format!("{address}{host}{target}/{protocol}"))?;
    let access = allow.map_or_else(Vec::new, |allow| {
        let each = bindings.iter().map(|binding| PortAccess {
            binding: *binding,
            allow: allow.clone(),
        });
        each.collect()
    });
    Ok((bindings, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> SourceNetwork {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_strictly() {
        assert_eq!(net("10.0.0.0/8").last().to_string(), "10.255.255.255");
        assert_eq!(net("192.0.2.7").to_string(), "192.0.2.7/32");
        assert_eq!(net("::/0").last(), IpAddr::from(Ipv6Addr::from(u128::MAX)));
        assert_eq!(net("0.0.0.0/0").last(), IpAddr::from(Ipv4Addr::BROADCAST));
        assert!(
            net("10.0.0.0/8").contains(net("10.1.0.0/16"))
                && !net("10.1.0.0/16").contains(net("10.0.0.0/8"))
        );
        assert!(!net("0.0.0.0/0").contains(net("::1")));
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "fd00::/129",
            "home",
            "10.0.0.0/-1",
        ] {
            assert!(wrong.parse::<SourceNetwork>().is_err(), "{wrong}");
        }
        let error = "10.1.2.3/8"
            .parse::<SourceNetwork>()
            .unwrap_err()
            .to_string();
        assert!(error.contains("10.0.0.0/8 is the network"), "{error}");
    }

    #[test]
    fn the_long_form_says_what_the_short_form_says_and_who_may_come() {
        let (bindings, access) = parse_published(
            "published=8080,target=80,protocol=udp,host_ip=::1,allow=10.0.0.0/8,allow=fd00::/8",
        )
        .unwrap();
        assert_eq!(bindings[0].to_string(), "[::1]:8080:80/udp");
        assert_eq!(
            (access.len(), access[0].allow.len(), access[0].binding),
            (1, 2, bindings[0])
        );
        assert_eq!(
            parse_published("target=80").unwrap().0[0].to_string(),
            "80/tcp"
        );
        assert_eq!(
            parse_published("8080:80").unwrap(),
            (port::parse("8080:80").unwrap(), Vec::new())
        );
        for wrong in [
            "published=80",
            "target=80,allow=x",
            "target=80,color=red",
            "target=80,tcp",
        ] {
            assert!(parse_published(wrong).is_err(), "{wrong}");
        }
    }
}
