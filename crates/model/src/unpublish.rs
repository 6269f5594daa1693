//! Which published ports are meant to go (`update --publish-rm`).

use crate::ParseError;
use crate::port::{self, HostPort, PortBinding, Protocol};
use std::fmt;
use std::str::FromStr;

/// A port as it was published (`8080:80/udp`), or one number: of the host, else of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublish {
    text: String,
    bindings: Vec<PortBinding>,
}

impl Unpublish {
    /// Those of `ports` that are meant.
    pub fn of(&self, ports: &[PortBinding]) -> Vec<PortBinding> {
        let exactly: Vec<PortBinding> = pick(ports, |port| self.bindings.contains(port));
        if self.text.contains(':') || !exactly.is_empty() {
            return exactly;
        }
        let meant = |number: u16, protocol: Protocol| {
            self.bindings
                .iter()
                .any(|b| (b.container_port, b.protocol) == (number, protocol))
        };
        let by_host = pick(ports, |port| match port.host_port {
            HostPort::Exact(number) => meant(number, port.protocol),
            _ => false,
        });
        if !by_host.is_empty() {
            return by_host;
        }
        pick(ports, |port| meant(port.container_port, port.protocol))
    }
}

fn pick(ports: &[PortBinding], wanted: impl Fn(&PortBinding) -> bool) -> Vec<PortBinding> {
    ports.iter().filter(|port| wanted(port)).copied().collect()
}

impl FromStr for Unpublish {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self {
            text: text.to_owned(),
            bindings: port::parse(text)?,
        })
    }
}

impl fmt::Display for Unpublish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(published: &[&str], removed: &str) -> Vec<String> {
        let ports: Vec<PortBinding> = published
            .iter()
            .flat_map(|text| port::parse(text).unwrap())
            .collect();
        let gone = removed.parse::<Unpublish>().unwrap().of(&ports);
        ports
            .iter()
            .filter(|port| !gone.contains(port))
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_number_is_the_host_s_port_before_it_is_the_container_s() {
        let published = ["8080:80", "80:8080", "8080:90/udp", "127.0.0.1:7:7"];
        assert_eq!(
            left(&published, "8080"),
            ["80:8080/tcp", "8080:90/udp", "127.0.0.1:7:7/tcp"]
        );
        assert_eq!(
            left(&published, "90/udp"),
            ["8080:80/tcp", "80:8080/tcp", "127.0.0.1:7:7/tcp"]
        );
        assert_eq!(left(&published, "127.0.0.1:7:7").len(), 3);
        assert_eq!(left(&published, "7:7").len(), 4, "of another address");
        assert_eq!(left(&["8000-8009:8000-8009"], "8000-8004").len(), 5);
        assert_eq!(left(&["80", "81"], "80"), ["81/tcp"], "one that was drawn");
    }
}
