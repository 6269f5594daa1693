//! Networks, addresses, names and ports.

use super::{bad_value, parse_all, parse_some};
use crate::failure::Failure;
use model::ContainerSpec;
use model::network::{self, EndpointSettings, ExtraHost, NetworkArg, NetworkMode};
use std::net::IpAddr;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct NetworkFlags {
    /// Connect a container to a network
    #[arg(long, alias = "net", value_name = "network")]
    network: Vec<String>,
    /// Add network-scoped alias for the container
    #[arg(long, alias = "net-alias", value_name = "list")]
    network_alias: Vec<String>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "ip")]
    ip: Option<String>,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "ip")]
    ip6: Option<String>,
    /// Container IPv4/IPv6 link-local addresses
    #[arg(long, value_name = "list")]
    link_local_ip: Vec<String>,
    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "string")]
    mac_address: Option<String>,
    /// Add link to another container
    #[arg(long, value_name = "list")]
    link: Vec<String>,
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "list")]
    add_host: Vec<String>,
    /// Set custom DNS servers
    #[arg(long, value_name = "list")]
    dns: Vec<String>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "list")]
    dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "list")]
    dns_search: Vec<String>,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "list")]
    expose: Vec<String>,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "list")]
    publish: Vec<String>,
    /// Let the container's own connections lead nowhere but to containers of its networks
    #[arg(long)]
    deny_egress: bool,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    publish_all: bool,
}

impl NetworkFlags {
    pub(super) fn apply(&self, spec: &mut ContainerSpec) -> Result<(), Failure> {
        let given = parse_all("network", &self.network, str::parse::<NetworkArg>)?;
        let (mode, endpoints) = network::combine(given)?;
        (spec.network_mode, spec.networks) = self.place(mode, endpoints)?;
        spec.links = self.link.clone();
        spec.extra_hosts = parse_all("add-host", &self.add_host, str::parse::<ExtraHost>)?;
        spec.dns = parse_all("dns", &self.dns, |text| {
            text.trim()
                .parse::<IpAddr>()
                .map_err(|_| format!("{text} is not an ip address"))
        })?;
        spec.dns_options = self.dns_option.clone();
        spec.dns_search = self.dns_search.clone();
        spec.expose = parse_all("expose", &self.expose, model::port::parse_expose)?.concat();
        for (ports, access) in parse_all("publish", &self.publish, model::access::parse_published)?
        {
            spec.ports.extend(ports);
            spec.port_access.extend(access);
        }
        spec.deny_egress = self.deny_egress;
        spec.publish_all = self.publish_all;
        Ok(())
    }

    fn has_endpoint_flags(&self) -> bool {
        let single = self.ip.is_some() || self.ip6.is_some() || self.mac_address.is_some();
        single || !self.network_alias.is_empty() || !self.link_local_ip.is_empty()
    }

    /// Puts `--ip`, `--network-alias` and so on into the first network.
    fn place(
        &self,
        mode: NetworkMode,
        mut endpoints: Vec<EndpointSettings>,
    ) -> Result<(NetworkMode, Vec<EndpointSettings>), Failure> {
        if !self.has_endpoint_flags() {
            return Ok((mode, endpoints));
        }
        let mode = match mode {
            NetworkMode::Default => {
                endpoints.push(EndpointSettings {
                    network: "bridge".into(),
                    ..Default::default()
                });
                NetworkMode::Networks
            }
            NetworkMode::Networks => NetworkMode::Networks,
            other => {
                return Err(Failure::said(format!(
                    "conflicting options: --ip, --ip6, --mac-address, --network-alias and --link-local-ip need a network; the network mode is {other}"
                ))
                .code(125));
            }
        };
        let first = &mut endpoints[0];
        first.aliases.extend(self.network_alias.iter().cloned());
        if let Some(ip) = parse_some("ip", self.ip.as_ref(), str::parse)? {
            first.ipv4_address = Some(ip);
        }
        if let Some(ip) = parse_some("ip6", self.ip6.as_ref(), str::parse)? {
            first.ipv6_address = Some(ip);
        }
        first.link_local_ips.extend(parse_all(
            "link-local-ip",
            &self.link_local_ip,
            str::parse::<IpAddr>,
        )?);
        if let Some(text) = &self.mac_address {
            let mac = network::mac_address(text).ok_or_else(|| {
                bad_value(
                    "mac-address",
                    text,
                    format_args!("{text} is not a valid mac address"),
                )
            })?;
            first.mac_address = Some(mac);
        }
        Ok((mode, endpoints))
    }
}
