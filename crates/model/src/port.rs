//! Published and exposed ports (`-p`, `--expose`, Compose `ports`).

use crate::ParseError;
use crate::runs::Consecutive;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

/// `80/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerPort {
    pub port: u16,
    pub protocol: Protocol,
}

/// One published port; a range in the short form becomes several of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    /// `None`: every address of the host.
    pub host_ip: Option<IpAddr>,
    pub host_port: HostPort,
    pub container_port: u16,
    pub protocol: Protocol,
}

/// The host's side of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostPort {
    /// A free one from the ephemeral range, chosen at start.
    Random,
    Exact(u16),
    /// The first free one of `first..=last` (`8000-8010:80`).
    AnyOf {
        first: u16,
        last: u16,
    },
}

impl Consecutive for ContainerPort {
    fn after(&self, by: u16) -> Option<Self> {
        let port = self.port.checked_add(by)?;
        Some(Self { port, ..*self })
    }
}

impl Consecutive for PortBinding {
    /// Where the host's side is not one port, nothing comes after it.
    fn after(&self, by: u16) -> Option<Self> {
        let host_port = match self.host_port {
            HostPort::Exact(port) => HostPort::Exact(port.checked_add(by)?),
            other if by == 0 => other,
            _ => return None,
        };
        Some(Self {
            host_port,
            container_port: self.container_port.checked_add(by)?,
            ..*self
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Protocol {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(ParseError::new("proto", text, "use tcp, udp or sctp")),
        }
    }
}

impl fmt::Display for ContainerPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

impl FromStr for ContainerPort {
    type Err = ParseError;

    /// `80`, `80/udp`; a range is for [`parse_expose`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match parse_expose(text)?[..] {
            [port] => Ok(port),
            _ => Err(ParseError::new(
                "port",
                text,
                "one port is meant here, not a range",
            )),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => Ok(()),
            Self::Exact(port) => port.fmt(f),
            Self::AnyOf { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

impl fmt::Display for PortBinding {
    /// The short form: `127.0.0.1:8080:80/tcp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}:", self.host_port)?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:{}:", self.host_port)?,
            None if self.host_port == HostPort::Random => {}
            None => write!(f, "{}:", self.host_port)?,
        }
        write!(f, "{}/{}", self.container_port, self.protocol)
    }
}

/// Reads `--expose`: `80`, `80/udp`, `8000-8010/tcp`.
pub fn parse_expose(text: &str) -> Result<Vec<ContainerPort>, ParseError> {
    let (range, protocol) = split_protocol(text, text)?;
    let (first, last) =
        port_range(range).ok_or_else(|| bad(text, format!("invalid containerPort: {range}")))?;
    if first == 0 {
        return Err(bad(text, format!("invalid containerPort: {range}")));
    }
    Ok((first..=last)
        .map(|port| ContainerPort { port, protocol })
        .collect())
}

/// Reads `-p`: `[ip:][host or range:]container[-range][/proto]`. A range becomes several bindings.
pub fn parse(text: &str) -> Result<Vec<PortBinding>, ParseError> {
    let (address, protocol) = split_protocol(text, text)?;
    let (host_ip, host, container) = split_address(text, address)?;
    if container.is_empty() {
        return Err(bad(
            text,
            "no port specified; write it as [ip:][host:]container[/proto], as in 8080:80".into(),
        ));
    }
    let (first, last) = port_range(container)
        .filter(|(first, _)| *first > 0)
        .ok_or_else(|| {
            bad(
                text,
                format!("invalid containerPort: {container}; a port is a number from 1 to 65535"),
            )
        })?;
    let count = last - first;
    let host_range = match host {
        "" => None,
        _ => Some(port_range(host).ok_or_else(|| {
            bad(
                text,
                format!("invalid hostPort: {host}; a port is a number from 1 to 65535"),
            )
        })?),
    };
    let host_port = |offset: u16| match host_range {
        None | Some((0, 0)) => HostPort::Random,
        Some((low, high)) if high - low == count => HostPort::Exact(low + offset),
        Some((low, high)) => HostPort::AnyOf {
            first: low,
            last: high,
        },
    };
    if let Some((low, high)) = host_range
        && high - low != count
        && count != 0
    {
        return Err(bad(
            text,
            format!(
                "invalid ranges specified for container and host Ports: {container} and {host}"
            ),
        ));
    }
    let bind = |offset| PortBinding {
        host_ip,
        host_port: host_port(offset),
        container_port: first + offset,
        protocol,
    };
    Ok((0..=count).map(bind).collect())
}

fn split_protocol<'t>(text: &str, address: &'t str) -> Result<(&'t str, Protocol), ParseError> {
    match address.rsplit_once('/') {
        None => Ok((address, Protocol::Tcp)),
        Some((address, protocol)) => match protocol.parse() {
            Ok(protocol) => Ok((address, protocol)),
            Err(_) => Err(bad(
                text,
                format!("invalid proto: {protocol}; use tcp, udp or sctp"),
            )),
        },
    }
}

/// Splits `[ip:][host:]container` from the right, so that an IPv6 address may stand in brackets or bare.
fn split_address<'t>(
    text: &str,
    address: &'t str,
) -> Result<(Option<IpAddr>, &'t str, &'t str), ParseError> {
    let Some((rest, container)) = address.rsplit_once(':') else {
        return Ok((None, "", address));
    };
    let Some((ip, host)) = rest.rsplit_once(':') else {
        return Ok((None, rest, container));
    };
    let bare = match ip.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').unwrap_or(ip),
        None => ip,
    };
    if bare.is_empty() {
        return Ok((None, host, container));
    }
    match bare.parse() {
        Ok(ip) => Ok((Some(ip), host, container)),
        Err(_) => Err(bad(text, format!("invalid IP address: {ip}"))),
    }
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
        true => digits.parse::<u16>().ok(),
        false => None,
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

fn bad(text: &str, cause: String) -> ParseError {
    ParseError::new("port", text, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        parse(text)
            .unwrap_or_else(|e| panic!("{e}"))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_short_form() {
        assert_eq!(shown("80"), ["80/tcp"]);
        assert_eq!(shown("80/udp"), ["80/udp"]);
        assert_eq!(shown("8080:80"), ["8080:80/tcp"]);
        assert_eq!(shown("8080:80/SCTP"), ["8080:80/sctp"]);
        assert_eq!(shown("127.0.0.1:8080:80"), ["127.0.0.1:8080:80/tcp"]);
        assert_eq!(shown("127.0.0.1::80"), ["127.0.0.1::80/tcp"]);
        assert_eq!(shown("[::1]:8080:80"), ["[::1]:8080:80/tcp"]);
        assert_eq!(shown("[::]::80/udp"), ["[::]::80/udp"]);
        assert_eq!(shown("::1:8080:80"), ["[::1]:8080:80/tcp"]);
        assert_eq!(shown(":80"), ["80/tcp"]);
        assert_eq!(shown("0:80"), ["80/tcp"]);
        assert_eq!(
            shown("7000-7002:7000-7002"),
            ["7000:7000/tcp", "7001:7001/tcp", "7002:7002/tcp"]
        );
        assert_eq!(
            shown("9090-9091:8080-8081"),
            ["9090:8080/tcp", "9091:8081/tcp"]
        );
        assert_eq!(shown("3000-3001"), ["3000/tcp", "3001/tcp"]);
        assert_eq!(shown("8000-8010:80"), ["8000-8010:80/tcp"]);
        assert_eq!(shown("127.0.0.1:5000-5010:5000-5010/udp").len(), 11);
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for text in [
            "80/tcp",
            "127.0.0.1::80/tcp",
            "[::1]:8080:80/udp",
            "8000-8010:80/tcp",
        ] {
            assert_eq!(shown(text), [text]);
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (text, cause) in [
            ("", "no port specified"),
            ("8080:", "no port specified"),
            ("80:abc", "invalid containerPort: abc"),
            ("abc:80", "invalid hostPort: abc"),
            ("80:70000", "invalid containerPort: 70000"),
            ("80:0", "invalid containerPort: 0"),
            ("90-80", "invalid containerPort: 90-80"),
            ("80/icmp", "invalid proto: icmp"),
            ("localhost:80:80", "invalid IP address: localhost"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            (
                "80-81:90-93",
                "invalid ranges specified for container and host Ports: 90-93 and 80-81",
            ),
            ("+80:80", "invalid hostPort: +80"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }

    #[test]
    fn exposed_ports() {
        assert_eq!(parse_expose("80-82/udp").unwrap().len(), 3);
        assert_eq!(
            "53/udp".parse::<ContainerPort>().unwrap().to_string(),
            "53/udp"
        );
        assert!("80-81".parse::<ContainerPort>().is_err());
        assert!(parse_expose("8080:80").is_err());
        assert_eq!(parse_expose("1-65535").unwrap().len(), 65535);
    }
}
