//! `network create`.

use crate::args::key_value;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::Run;
use clap::Args;
use engine::networks;
use model::network::{IpamConfig, NetworkSpec};
use std::net::IpAddr;

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Enable manual container attachment
    #[arg(long)]
    attachable: bool,
    /// Auxiliary IPv4 or IPv6 addresses used by Network driver
    #[arg(long, value_name = "map")]
    aux_address: Vec<String>,
    /// The network from which to copy the configuration
    #[arg(long, value_name = "string")]
    config_from: Option<String>,
    /// Create a configuration only network
    #[arg(long)]
    config_only: bool,
    /// Driver to manage the Network
    #[arg(short, long, value_name = "string", default_value = "bridge")]
    driver: String,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long, value_name = "strings")]
    gateway: Vec<String>,
    /// Create swarm routing-mesh network
    #[arg(long, hide = true)]
    ingress: bool,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container ip from a sub-range
    #[arg(long, value_name = "strings")]
    ip_range: Vec<String>,
    /// IP Address Management Driver
    #[arg(long, value_name = "string", default_value = "default")]
    ipam_driver: String,
    /// Set IPAM driver specific options
    #[arg(long, value_name = "map")]
    ipam_opt: Vec<String>,
    /// Enable or disable IPv4 address assignment
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    ipv4: Option<bool>,
    /// Enable or disable IPv6 address assignment
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    ipv6: Option<bool>,
    /// Set metadata on a network
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    /// Control the network's scope
    #[arg(long, value_name = "string", hide = true)]
    scope: Option<String>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "strings")]
    subnet: Vec<String>,
    #[arg(required = true)]
    network: String,
}

impl Run for Create {
    fn run(self, session: &Session) -> Outcome {
        if self.ingress {
            return Err(Failure::said(
                "--ingress belongs to Swarm, which is not supported",
            ));
        }
        if let Some(scope) = self.scope.as_deref().filter(|scope| *scope != "local") {
            return Err(Failure::said(format!(
                "scope {scope:?} is not supported: networks are local to this host"
            )));
        }
        let spec = NetworkSpec {
            name: self.network.clone(),
            driver: self.driver.clone(),
            driver_opts: key_value::map(&self.opt),
            ipam: self.pools()?,
            ipam_driver: Some(self.ipam_driver.clone()),
            ipam_options: key_value::strict_map("ipam-opt", &self.ipam_opt)?,
            internal: self.internal,
            attachable: self.attachable,
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            labels: key_value::map(&self.label),
            config_only: self.config_only,
            config_from: self.config_from.clone(),
        };
        output::line(networks::create(session.engine()?, &spec)?.id)?;
        Ok(0)
    }
}

impl Create {
    /// Each gateway, range and extra address goes to the subnet that contains it.
    fn pools(&self) -> Result<Vec<IpamConfig>, Failure> {
        let mut pools: Vec<IpamConfig> = self
            .subnet
            .iter()
            .map(|subnet| IpamConfig {
                subnet: Some(subnet.clone()),
                ..Default::default()
            })
            .collect();
        let home = |what: &str, address: &str| -> Result<usize, Failure> {
            let bare = address.split('/').next().unwrap_or(address);
            let inside = |subnet: &String| contains(subnet, bare);
            self.subnet.iter().position(inside).ok_or_else(|| {
                Failure::said(format!("no matching subnet for {what} {address}"))
                    .hint("give one with --subnet")
            })
        };
        for gateway in &self.gateway {
            pools[home("gateway", gateway)?].gateway = Some(gateway.clone());
        }
        for range in &self.ip_range {
            pools[home("range", range)?].ip_range = Some(range.clone());
        }
        for (name, address) in key_value::strict_map("aux-address", &self.aux_address)? {
            pools[home("aux-address", &address)?]
                .aux_addresses
                .insert(name, address);
        }
        Ok(pools)
    }
}

/// Whether a subnet in CIDR form contains an address; what cannot be read contains nothing (the engine tells why).
fn contains(subnet: &str, address: &str) -> bool {
    let parts = subnet
        .split_once('/')
        .and_then(|(base, bits)| Some((base.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?)));
    match (parts, address.parse::<IpAddr>()) {
        (Some((IpAddr::V4(base), bits)), Ok(IpAddr::V4(address))) if bits <= 32 => {
            let shift = |ip: std::net::Ipv4Addr| u64::from(ip.to_bits()) >> (32 - bits);
            shift(base) == shift(address)
        }
        (Some((IpAddr::V6(base), bits)), Ok(IpAddr::V6(address))) if bits <= 128 => {
            bits == 0 || base.to_bits() >> (128 - bits) == address.to_bits() >> (128 - bits)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn addresses_find_their_subnet() {
        assert!(contains("172.30.0.0/16", "172.30.9.1"));
        assert!(!contains("172.30.0.0/16", "172.31.0.1"));
        assert!(contains("fd00::/64", "fd00::1"));
        assert!(contains("0.0.0.0/0", "1.2.3.4") && contains("::/0", "::1"));
        for bad in ["x/8", "1.2.3.4", "1.2.3.4/99", "::/200", ""] {
            assert!(!contains(bad, "1.2.3.4"), "{bad}");
        }
    }
}
