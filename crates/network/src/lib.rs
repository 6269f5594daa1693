//! Networks and endpoints: bridges, veth pairs, packet filter, published ports, address leases, names and their DNS.
//!
//! Handed a network namespace, never a container: what a container id means, whether it lives, and where its record is
//! stays with the caller. Everything is rtnetlink and nf_tables spoken directly (`sys::netlink`, `sys::nft`).
//!
//! | step | module |
//! |---|---|
//! | what networks exist | [`registry`], [`create()`], [`record`], [`pool`], [`subnet`] |
//! | the host's side of one | [`bridge`] or [`parent`], [`interface`], [`firewall`] |
//! | a container joins | [`attach()`]: [`lease`], [`ports`], [`endpoint`], [`endpoint_rules`] |
//! | it looks names up | [`dns`], [`resolv_conf`] |
//! | something blocks its traffic | [`diagnose()`], [`reload`] |
//! | somebody died | [`sweep()`] |

mod attach;
mod bridge;
mod create;
mod diagnose;
pub mod dns;
mod endpoint;
mod endpoint_rules;
mod firewall;
mod interface;
mod lease;
mod parent;
mod pool;
mod ports;
mod random;
pub mod record;
pub mod registry;
mod resolv;
pub mod subnet;
mod sweep;
#[cfg(test)]
mod testing;

pub use attach::{
    Assigned, AttachRequest, Attached, Endpoint, Error as AttachError, access, attach, bindings,
    connect, detach, disconnect, rename, set_ports,
};
pub use bridge::Error as BridgeError;
pub use create::{create, create_from};
pub use diagnose::{Finding, diagnose};
pub use endpoint::{NameEntry, ServiceNames, names};
pub use endpoint_rules::Error as EndpointRulesError;
pub use firewall::{Error as FirewallError, Watch, reload};
pub use lease::{Error as LeaseError, Lease, list as leases};
pub use pool::{AddressPool, AddressPools, PoolError};
pub use ports::{
    Error as PortError, Holder, OpenPort, Process, PublishedPort, Reach, check_ports,
    open_connections, open_ports, readmit, set_serving, withdraw, withdrawn,
};
pub use record::{Driver, NetworkRecord, Pool};
pub use registry::{Error, find, list, remove};
pub use resolv::{ResolvConf, ResolvRequest, host_resolv_conf, hosts_file, resolv_conf};
pub use subnet::Subnet;
pub use sweep::{Error as SweepError, Swept, sweep, tear_down};
