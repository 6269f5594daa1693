//! Every open port of the host, with who holds it and who may reach it: published ones, and those processes listen on.
//!
//! What a foreign packet filter keeps out besides does not show here: `crate::diagnose` names it.

use super::claim::{Claim, claims};
use super::holder::{self, Process};
use super::{Error, projection};
use model::access::SourceNetwork;
use model::port::Protocol;
use state::Layout;
use std::collections::BTreeMap;
use std::net::IpAddr;
use sys::sockdiag;

/// A run of consecutive ports that one holder has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPort {
    pub protocol: Protocol,
    /// `None`: every address of the host.
    pub host_ip: Option<IpAddr>,
    pub first: u16,
    pub last: u16,
    pub holder: Holder,
    pub reach: Reach,
}

/// Who has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Container {
        id: String,
        name: String,
        /// What `first` leads to; the others follow.
        container_first: u16,
        /// Whether new connections come here: not to an unhealthy replica while another serves.
        serving: bool,
    },
    /// `None`: its process cannot be seen from here.
    Process(Option<Process>),
}

/// From where a port can be reached, as far as it is up to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    Everybody,
    /// Who can reach this address of the host.
    Address(IpAddr),
    /// Processes of the host alone.
    Host,
    /// The host, and these networks.
    Networks(Vec<SourceNetwork>),
}

/// All of them, in the order of their numbers.
pub fn open_ports(layout: &Layout) -> Result<Vec<OpenPort>, Error> {
    let mut found: Vec<OpenPort> = claims(layout)?.into_iter().map(published).collect();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        found.extend(listening(protocol));
    }
    let key = |port: &OpenPort| (port.first, port.last, port.protocol, port.host_ip);
    found.sort_by(|a, b| (key(a), name(&a.holder)).cmp(&(key(b), name(&b.holder))));
    Ok(found)
}

fn name(holder: &Holder) -> &str {
    match holder {
        Holder::Container { name, .. } => name,
        Holder::Process(process) => process.as_ref().map_or("", |process| &process.command),
    }
}

fn published(claim: Claim) -> OpenPort {
    OpenPort {
        protocol: claim.protocol,
        host_ip: claim.host_ip,
        first: claim.first,
        last: claim.last,
        reach: reach(claim.host_ip, claim.allow),
        holder: Holder::Container {
            id: claim.container,
            name: claim.container_name,
            container_first: claim.container_first,
            serving: claim.standing.serving,
        },
    }
}

fn reach(host_ip: Option<IpAddr>, allow: Option<Vec<SourceNetwork>>) -> Reach {
    match (host_ip, allow) {
        (Some(address), _) if address.is_loopback() => Reach::Host,
        (_, Some(networks)) if networks.is_empty() => Reach::Host,
        (_, Some(networks)) => Reach::Networks(networks),
        (Some(address), None) if !address.is_unspecified() => Reach::Address(address),
        _ => Reach::Everybody,
    }
}

fn listening(protocol: Protocol) -> Vec<OpenPort> {
    // A kernel that cannot be asked about a protocol has nobody who listens by it.
    let mut listeners =
        sockdiag::listeners(projection::protocol_number(protocol)).unwrap_or_default();
    listeners.sort_unstable();
    let inodes: Vec<u64> = listeners.iter().map(|listener| listener.inode).collect();
    let processes = holder::processes(&inodes);
    let mut seen: BTreeMap<(IpAddr, u16), OpenPort> = BTreeMap::new();
    for listener in listeners {
        // Several processes may share a port by SO_REUSEPORT: one row.
        seen.entry((listener.address, listener.port))
            .or_insert_with(|| OpenPort {
                protocol,
                host_ip: Some(listener.address),
                first: listener.port,
                last: listener.port,
                reach: reach(Some(listener.address), None),
                holder: Holder::Process(processes.get(&listener.inode).cloned()),
            });
    }
    seen.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_come_follows_from_the_address_and_the_list() {
        let ip = |text: &str| Some(text.parse().unwrap());
        assert_eq!(reach(None, None), Reach::Everybody);
        assert_eq!(reach(ip("0.0.0.0"), None), Reach::Everybody);
        assert_eq!(reach(ip("::1"), None), Reach::Host);
        assert_eq!(
            reach(ip("10.0.0.1"), None),
            Reach::Address(ip("10.0.0.1").unwrap())
        );
        assert_eq!(reach(None, Some(Vec::new())), Reach::Host);
        let list = vec!["10.0.0.0/8".parse().unwrap()];
        assert_eq!(reach(None, Some(list.clone())), Reach::Networks(list));
    }
}
