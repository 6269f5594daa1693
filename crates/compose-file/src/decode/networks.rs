//! A service on the network: ports, networks, names.

use super::{Cursor, Decoder};
use crate::project::{Exposed, Service, ServicePort};
use crate::tree::Map;
use model::access::SourceNetwork;
use model::network::EndpointSettings;
use model::port::{HostPort, PortBinding, Protocol};
use std::str::FromStr;

impl Decoder<'_> {
    pub(super) fn service_networking(&mut self, at: &Cursor<'_>, service: &mut Service) {
        service.ports = self.list(at, "ports", Self::port);
        if let Some(ours) = self.ours(at, &["deny-egress"]) {
            service.deny_egress = self.flag(&ours, "deny-egress").unwrap_or_default();
        }
        service.expose = self.parsed_list(at, "expose", |text| {
            model::port::parse_expose(text).map(|ports| Exposed {
                text: text.to_owned(),
                ports,
            })
        });
        for (name, cursor) in self.entries(at, "networks") {
            if cursor.node.as_map().is_some_and(Map::is_empty) {
                service.written.empty_networks.insert(name.to_owned());
            }
            let endpoint = self.endpoint(name, &cursor);
            service.networks.push(endpoint);
        }
        service.mac_address = self.mac_address(at);
        service.dns = self.parsed_list(at, "dns", |text| {
            text.parse()
                .map_err(|_| format!("{text:?} is no IP address of a name server"))
        });
        service.dns_opt = self.texts(at, "dns_opt");
        service.dns_search = self.texts(at, "dns_search");
        service.extra_hosts = self.parsed_list(at, "extra_hosts", str::parse);
        service.hostname = self.filled(at, "hostname");
        service.domainname = self.filled(at, "domainname");
        service.links = self.texts(at, "links");
        service.external_links = self.texts(at, "external_links");
    }

    fn port(&mut self, at: &Cursor<'_>) -> Option<ServicePort> {
        if !at.has("target") {
            let hint = "add \"target: PORT\", the port in the container";
            self.error_with_hint(at, "a port names no target", hint);
            return None;
        }
        let container_port = self.parsed(at, "target", port_number)?;
        let binding = PortBinding {
            host_ip: self.parsed(at, "host_ip", |text| {
                text.trim_matches(['[', ']'])
                    .parse()
                    .map_err(|_| format!("invalid IP address: {text}"))
            }),
            host_port: self
                .parsed(at, "published", host_port)
                .unwrap_or(HostPort::Random),
            container_port,
            protocol: self.typed::<Protocol>(at, "protocol").unwrap_or_default(),
        };
        Some(ServicePort {
            binding,
            name: self.filled(at, "name"),
            mode: self
                .word(at, "mode", &[("ingress", "ingress"), ("host", "host")])
                .map(str::to_owned),
            app_protocol: self.filled(at, "app_protocol"),
            allow: self.allow(at),
        })
    }

    /// `x-dockless: {allow: [10.0.0.0/8]}`.
    fn allow(&mut self, at: &Cursor<'_>) -> Option<Vec<SourceNetwork>> {
        let ours = self.ours(at, &["allow"])?;
        ours.has("allow")
            .then(|| self.parsed_list(&ours, "allow", SourceNetwork::from_str))
    }

    /// `x-dockless`, with no other keys than these: a misspelt one would leave a door open.
    pub(super) fn ours<'n>(&mut self, at: &Cursor<'n>, keys: &[&str]) -> Option<Cursor<'n>> {
        const KEY: &str = "x-dockless";
        let ours = at.child(KEY)?;
        for (key, entry) in self.entries(at, KEY) {
            if !keys.contains(&key) {
                let hint = format!("there is {}", keys.join(", "));
                self.error_with_hint(&entry, format!("unknown key {key:?} in {KEY}"), hint);
            }
        }
        if ours.node.as_map().is_none() {
            let hint = format!("write it as {KEY}: {{{}: …}}", keys.join(", "));
            self.error_with_hint(&ours, "must be a mapping", hint);
            return None;
        }
        Some(ours)
    }

    fn endpoint(&mut self, name: &str, at: &Cursor<'_>) -> EndpointSettings {
        let address = |text: &str| format!("invalid IP address: {text}");
        EndpointSettings {
            network: name.to_owned(),
            aliases: self.texts(at, "aliases"),
            ipv4_address: self.parsed(at, "ipv4_address", |text| {
                text.parse().map_err(|_| address(text))
            }),
            ipv6_address: self.parsed(at, "ipv6_address", |text| {
                text.parse().map_err(|_| address(text))
            }),
            link_local_ips: self.parsed_list(at, "link_local_ips", |text| {
                text.parse().map_err(|_| address(text))
            }),
            mac_address: self.mac_address(at),
            interface_name: self.filled(at, "interface_name"),
            driver_opts: self.table(at, "driver_opts"),
            gw_priority: self.integer(at, "gw_priority").unwrap_or_default(),
            priority: self.integer(at, "priority").unwrap_or_default(),
            ..EndpointSettings::default()
        }
    }

    fn mac_address(&mut self, at: &Cursor<'_>) -> Option<String> {
        self.parsed(at, "mac_address", |text| {
            model::network::mac_address(text).ok_or_else(|| {
                format!("invalid MAC address {text:?}; write it as 02:42:ac:11:00:02")
            })
        })
    }
}

fn port_number(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("{text:?} is no port; a port is a number from 1 to 65535"))
}

fn host_port(text: &str) -> Result<HostPort, String> {
    let number = |text: &str| {
        text.parse::<u16>()
            .map_err(|_| format!("{text:?} is no port; a port is a number from 1 to 65535"))
    };
    Ok(match text.split_once('-') {
        None => match number(text)? {
            0 => HostPort::Random,
            port => HostPort::Exact(port),
        },
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last || first == 0 {
                return Err(format!("invalid port range {text:?}"));
            }
            if first == last {
                HostPort::Exact(first)
            } else {
                HostPort::AnyOf { first, last }
            }
        }
    })
}
