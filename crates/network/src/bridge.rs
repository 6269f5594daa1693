//! The bridge of a network: made when the first container joins (and again after a reboot), recognised after that.
//!
//! `networks/<name>/bridge` under the run root remembers the interface index it was set up with; while the name still
//! leads to that index there is nothing to do. Set-up covers the addresses, `route_localnet` (so that 127.0.0.1 of the
//! host reaches published ports), forwarding, and the network's place in the packet filter.
//!
//! Source: kernel `Documentation/networking/ip-sysctl.rst`, `bridge.rst`.

use crate::firewall;
use crate::record::NetworkRecord;
use serde::{Deserialize, Serialize};
use state::{Durability, Layout, record};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use sys::lock::FileLock;
use sys::netlink::{self, Request, RouteSocket};

/// Why a bridge is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot look up the interface {bridge}")]
    Lookup { bridge: String, source: io::Error },
    #[error("cannot set up the bridge of network {network}")]
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

/// What is remembered of a bridge that was set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    bridge: String,
    index: u32,
    /// We made the interface, so we take it away.
    made: bool,
}

/// The bridge's interface index; makes the bridge when it is not there.
pub(crate) fn ensure(
    layout: &Layout,
    socket: &RouteSocket,
    network: &NetworkRecord,
) -> Result<u32, Error> {
    let index = index_of(socket, network)?;
    let marker: Option<Marker> = record::read(&marker_path(layout, network)).unwrap_or_default();
    if let (Some(index), Some(marker)) = (index, &marker)
        && marker.index == index
    {
        return Ok(index);
    }
    let dir = layout.run_network(&network.name);
    std::fs::create_dir_all(&dir).map_err(|source| Error::Directory { path: dir, source })?;
    let _lock = FileLock::exclusive(&layout.lock("network", &network.name)).map_err(|source| {
        Error::Lock {
            network: network.name.clone(),
            source,
        }
    })?;
    set_up(layout, socket, network)
}

fn set_up(layout: &Layout, socket: &RouteSocket, network: &NetworkRecord) -> Result<u32, Error> {
    let netlink = |source| Error::Netlink {
        network: network.name.clone(),
        source,
    };
    let before = index_of(socket, network)?;
    let remembered: Option<Marker> =
        record::read(&marker_path(layout, network)).unwrap_or_default();
    if before.is_none() {
        let request = Request::CreateBridge {
            name: &network.bridge,
            mac: mac(network),
            mtu: network.mtu(),
        };
        socket.apply(&[request]).map_err(netlink)?;
    }
    let index = match before {
        Some(index) => index,
        None => index_of(socket, network)?.ok_or_else(|| Error::Lookup {
            bridge: network.bridge.clone(),
            source: io::ErrorKind::NotFound.into(),
        })?,
    };
    // Before it is up: a container may send router advertisements, and the host would take its routes from them
    // (CVE-2020-13401). A host without IPv6 has no such setting.
    let advertised = format!("net/ipv6/conf/{}/accept_ra", network.bridge);
    if Path::new("/proc/sys").join(&advertised).exists() {
        write_sysctl(&advertised, "0")?;
    }
    let mut requests = vec![Request::Up { index }];
    if network.pool_v6().is_some() {
        write_sysctl(
            &format!("net/ipv6/conf/{}/disable_ipv6", network.bridge),
            "0",
        )?;
    }
    requests.extend(network.pools.iter().map(|pool| Request::AddAddress {
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
    socket.apply(&requests).map_err(netlink)?;
    forward(network)?;
    firewall::remember(layout, network).map_err(|source| Error::Firewall {
        network: network.name.clone(),
        source: Box::new(source),
    })?;
    let made = before.is_none()
        || remembered.is_some_and(|marker| marker.made && Some(marker.index) == before);
    record::write(
        &marker_path(layout, network),
        &Marker {
            bridge: network.bridge.clone(),
            index,
            made,
        },
        Durability::Volatile,
    )?;
    Ok(index)
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

/// Takes the bridge of a network away, if we made it, and the network's run-time files. Called when nobody is on it;
/// needs no record, so what a removal that was killed left behind goes too.
pub(crate) fn remove(layout: &Layout, network: &str) -> Result<(), Error> {
    let dir = layout.run_network(network);
    let marker: Option<Marker> = record::read(&dir.join("bridge")).unwrap_or_default();
    if let Some(marker) = marker.filter(|marker| marker.made) {
        delete(network, &marker)?;
    }
    match std::fs::remove_dir_all(&dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Directory {
            path: dir,
            source: e,
        }),
        _ => Ok(()),
    }
}

fn delete(network: &str, marker: &Marker) -> Result<(), Error> {
    let netlink = |source| Error::Netlink {
        network: network.into(),
        source,
    };
    let socket = RouteSocket::open().map_err(netlink)?;
    let lookup = |source| Error::Lookup {
        bridge: marker.bridge.clone(),
        source,
    };
    if socket.index_of(&marker.bridge).map_err(lookup)? != Some(marker.index) {
        return Ok(()); // gone, or somebody else's by now
    }
    match socket.apply(&[Request::DeleteLink {
        name: &marker.bridge,
    }]) {
        Err(e) if !e.is_missing() => Err(netlink(e)),
        _ => Ok(()),
    }
}

/// Whether the network was set up since the boot.
pub(crate) fn is_set_up(layout: &Layout, network: &NetworkRecord) -> bool {
    marker_path(layout, network).exists()
}

fn index_of(socket: &RouteSocket, network: &NetworkRecord) -> Result<Option<u32>, Error> {
    socket
        .index_of(&network.bridge)
        .map_err(|source| Error::Lookup {
            bridge: network.bridge.clone(),
            source,
        })
}

fn marker_path(layout: &Layout, network: &NetworkRecord) -> PathBuf {
    layout.run_network(&network.name).join("bridge")
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

fn rewrite(name: &str, value: &str) -> io::Result<()> {
    let proc = sys::mount::open_root(Path::new("/proc"))?;
    let path = Path::new("sys").join(name);
    sys::path::write_proc(proc.as_fd(), &path, value.as_bytes())
}
