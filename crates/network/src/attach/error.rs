//! Why a namespace could not be joined, or was not left as it should.

use crate::{bridge, endpoint_rules, firewall, lease, ports};
use state::record;
use std::io;
use sys::netlink;

/// Why a namespace could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("container {container} cannot join network {network}: its driver is {driver}")]
    NotABridge {
        container: String,
        network: String,
        driver: &'static str,
    },
    #[error(
        "invalid MAC address {mac:?} for network {network}: six hexadecimal pairs, the first one even"
    )]
    Mac { network: String, mac: String },
    #[error("invalid interface name {name:?} for network {network}")]
    InterfaceName { network: String, name: String },
    #[error(
        "user specified IP address is supported only when connecting to networks with user configured subnets ({network} has no {family} subnet)"
    )]
    NoSubnet {
        network: String,
        family: &'static str,
    },
    #[error("container {container} is already connected to network {network}")]
    AlreadyConnected { container: String, network: String },
    #[error("container {container} is not connected to network {network}")]
    NotConnected { container: String, network: String },
    #[error("invalid option {option:?} for container {container} on network {network}: {cause}")]
    EndpointOption {
        container: String,
        network: String,
        option: String,
        cause: &'static str,
    },
    #[error(
        "container {container} cannot join network {network} on the host's interface {parent}: {cause}"
    )]
    Parent {
        container: String,
        network: String,
        parent: String,
        cause: &'static str,
    },
    #[error("cannot set {option} of container {container}")]
    EndpointSysctl {
        container: String,
        option: String,
        source: io::Error,
    },
    #[error(
        "container {container} cannot have --deny-egress on network {network}: the host does not see what leaves by {driver}"
    )]
    Unconfinable {
        container: String,
        network: String,
        driver: &'static str,
    },
    #[error("cannot give container {container} an address")]
    Lease {
        container: String,
        source: lease::Error,
    },
    #[error(transparent)]
    Bridge(#[from] bridge::Error),
    #[error(transparent)]
    Firewall(#[from] firewall::Error),
    /// Docker's words, so that scripts find them.
    #[error(
        "failed to set up container networking: driver failed programming external connectivity on endpoint {container}: {source}"
    )]
    Ports {
        container: String,
        source: ports::Error,
    },
    #[error("cannot connect container {container}")]
    Netlink {
        container: String,
        source: netlink::Error,
    },
    #[error("cannot find the new interface {interface} of container {container}")]
    Interface {
        container: String,
        interface: String,
        source: io::Error,
    },
    #[error("cannot register the names of container {container}")]
    Names {
        container: String,
        source: record::Error,
    },
    #[error("cannot set the rules of container {container}")]
    Rules {
        container: String,
        source: Box<endpoint_rules::Error>,
    },
    #[error("cannot draw a random id")]
    Random { source: io::Error },
}

pub(super) fn netlink_error(container: &str, source: netlink::Error) -> Error {
    Error::Netlink {
        container: container.into(),
        source,
    }
}
