//! The bridge of a network: made when the first container joins (and again after a reboot), recognised after that.
//!
//! Set-up covers the addresses, `route_localnet` (so that 127.0.0.1 of the host reaches published ports), forwarding, and the
//! network's place in the packet filter. That it is done is remembered (`interface`).
//!
//! Source: kernel `Documentation/networking/ip-sysctl.rst`, `bridge.rst`.

use crate::firewall;
use crate::interface::{Marker, Role, index_of};
use crate::record::{NetworkRecord, Pool};
use state::{Layout, record};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use sys::lock::FileLock;
use sys::netlink::{self, Request, RouteSocket};

/// Why a network's interface on the host is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot look up the interface {interface}")]
    Lookup {
        interface: String,
        source: io::Error,
    },
    #[error("cannot set up the interface of network {network}")]
    Netlink {
        network: String,
        source: netlink::Error,
    },
    #[error("cannot set {path} to {value}: forwarding to containers needs it")]
    Sysctl {
        path: String,
        value: &'static str,
        source: io::Error,
    },
    #[error(
        "cannot set up network {network}: this host has no interface {parent} (-o parent= names one that is there, or NAME.ID for a VLAN of it)"
    )]
    NoParent { network: String, parent: String },
    #[error("cannot lock network {network}")]
    Lock { network: String, source: io::Error },
    #[error("cannot make {}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Record(#[from] record::Error),
    #[error("cannot let network {network} through the packet filter")]
    Firewall {
        network: String,
        source: Box<firewall::Error>,
    },
}

/// The bridge's interface index; makes the bridge when it is not there.
pub(crate) fn ensure(
    layout: &Layout,
    socket: &RouteSocket,
    network: &NetworkRecord,
) -> Result<u32, Error> {
    let index = index_of(socket, &network.bridge)?;
    let marker = Role::Bridge.read(layout, &network.name);
    if let (Some(index), Some(marker)) = (index, &marker)
        && marker.index == index
    {
        return Ok(index);
    }
    let _lock = own(layout, network)?;
    set_up(layout, socket, network)
}

/// The network's directory of run-time files, locked.
pub(crate) fn own(layout: &Layout, network: &NetworkRecord) -> Result<FileLock, Error> {
    let dir = layout.run_network(&network.name);
    std::fs::create_dir_all(&dir).map_err(|source| Error::Directory { path: dir, source })?;
    FileLock::exclusive(&layout.lock("network", &network.name)).map_err(|source| Error::Lock {
        network: network.name.clone(),
        source,
    })
}

fn set_up(layout: &Layout, socket: &RouteSocket, network: &NetworkRecord) -> Result<u32, Error> {
    let before = index_of(socket, &network.bridge)?;
    let remembered = Role::Bridge.read(layout, &network.name);
    let index = match before {
        Some(index) => index,
        None => create(socket, network)?,
    };
    // Before it is up: a container may send router advertisements, and the host would take its routes from them
    // (CVE-2020-13401). A host without IPv6 has no such setting.
    let advertised = format!("net/ipv6/conf/{}/accept_ra", network.bridge);
    if Path::new("/proc/sys").join(&advertised).exists() {
        write_sysctl(&advertised, "0")?;
    }
    if network.pool_v6().is_some() {
        let disabled = format!("net/ipv6/conf/{}/disable_ipv6", network.bridge);
        write_sysctl(&disabled, "0")?;
    }
    socket
        .apply(&addressing(network, index))
        .map_err(|source| netlink_error(network, source))?;
    forward(network)?;
    firewall::remember(layout, network).map_err(|source| Error::Firewall {
        network: network.name.clone(),
        source: Box::new(source),
    })?;
    let made = before.is_none()
        || remembered.is_some_and(|marker| marker.made && Some(marker.index) == before);
    let marker = Marker {
        interface: network.bridge.clone(),
        index,
        made,
    };
    Role::Bridge.write(layout, &network.name, &marker)?;
    Ok(index)
}

/// Makes the bridge; its index.
fn create(socket: &RouteSocket, network: &NetworkRecord) -> Result<u32, Error> {
    let request = Request::CreateBridge {
        name: &network.bridge,
        mac: mac(network),
        mtu: network.mtu(),
    };
    socket
        .apply(&[request])
        .map_err(|source| netlink_error(network, source))?;
    index_of(socket, &network.bridge)?.ok_or_else(|| Error::Lookup {
        interface: network.bridge.clone(),
        source: io::ErrorKind::NotFound.into(),
    })
}

fn netlink_error(network: &NetworkRecord, source: netlink::Error) -> Error {
    Error::Netlink {
        network: network.name.clone(),
        source,
    }
}

/// The bridge comes up and has the gateways' addresses.
fn addressing(network: &NetworkRecord, index: u32) -> Vec<Request<'static>> {
    let mut requests = vec![Request::Up { index }];
    let addressed = |pool: &&Pool| network.has_gateway(pool.subnet.is_ipv4());
    let gateways = network.pools.iter().filter(addressed);
    requests.extend(gateways.map(|pool| Request::AddAddress {
        index,
        address: pool.gateway,
        prefix: pool.subnet.prefix(),
    }));
    if network.pool_v6().is_some() {
        // What a container answers to ::1 of the host comes in by the bridge (`rt6_need_strict` asks for a route by just that
        // interface). From the wire nobody reaches ::1: `ip6_rcv_core` drops it before.
        requests.push(Request::AddLocalRoute {
            address: Ipv6Addr::LOCALHOST.into(),
            index,
        });
    }
    requests
}

/// Lets the kernel route between the bridge and the rest.
fn forward(network: &NetworkRecord) -> Result<(), Error> {
    write_sysctl(
        &format!("net/ipv4/conf/{}/route_localnet", network.bridge),
        "1",
    )?;
    write_sysctl("net/ipv4/ip_forward", "1")?;
    if network.pool_v6().is_some() {
        write_sysctl("net/ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Whether the network was set up since the boot.
pub(crate) fn is_set_up(layout: &Layout, network: &NetworkRecord) -> bool {
    Role::Bridge.path(layout, &network.name).exists()
}

/// Locally administered, from the network's id: the same after each reboot.
fn mac(network: &NetworkRecord) -> [u8; 6] {
    let mut mac = [0x02, 0x42, 0, 0, 0, 0];
    for (at, byte) in mac[2..].iter_mut().enumerate() {
        *byte =
            u8::from_str_radix(&network.id.as_str()[at * 2..at * 2 + 2], 16).unwrap_or_default();
    }
    mac
}

/// The container's address on the wire: Docker's `02:42` and the IPv4 address.
pub(crate) fn mac_for(address: IpAddr) -> [u8; 6] {
    let tail = match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            [octets[12], octets[13], octets[14], octets[15]]
        }
    };
    [0x02, 0x42, tail[0], tail[1], tail[2], tail[3]]
}

/// Writes a sysctl of the calling thread's network namespace, unless it has the value already (`/proc/sys` may be
/// read-only where somebody has set everything up for us).
fn write_sysctl(name: &str, value: &'static str) -> Result<(), Error> {
    let path = format!("/proc/sys/{name}");
    let failed = |source| Error::Sysctl {
        path: path.clone(),
        value,
        source,
    };
    let current = std::fs::read_to_string(&path).map_err(failed)?;
    if current.trim() == value {
        return Ok(());
    }
    rewrite(name, value).map_err(failed)
}

pub(crate) fn rewrite(name: &str, value: &str) -> io::Result<()> {
    let proc = sys::mount::open_root(Path::new("/proc"))?;
    let path = Path::new("sys").join(name);
    sys::path::write_proc(proc.as_fd(), &path, value.as_bytes())
}
