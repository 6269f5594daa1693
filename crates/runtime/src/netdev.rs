//! `linux.netDevices`: interfaces of the host that become the container's.
//!
//! An interface keeps the addresses somebody gave it for good; leased and link-local ones stay behind, since what made them valid
//! stays as well. When the container's network namespace ends, the kernel gives physical interfaces back and deletes virtual ones.
//! Source: runtime-spec `config-linux.md` "Network Devices"; rtnetlink(7), `dev_change_net_namespace` of the kernel.

use crate::error::{Error, InitError};
use oci_spec::runtime::Spec;
use std::os::fd::BorrowedFd;
use sys::netlink::{Address, Lifetime, Request, RouteSocket};

/// An interface and what it is called inside.
#[derive(Debug)]
struct Device<'a> {
    index: u32,
    name: &'a str,
    inside: &'a str,
}

/// What the spec asks for.
pub(crate) fn wanted(spec: &Spec) -> Vec<(&str, &str)> {
    let devices = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.net_devices().as_ref());
    let devices = devices.into_iter().flatten();
    devices
        .map(|(name, device)| {
            let inside = device.name().as_deref().filter(|inside| !inside.is_empty());
            (name.as_str(), inside.unwrap_or(name))
        })
        .collect()
}

/// Moves them all, once it is certain that all are there.
pub(crate) fn give(wanted: &[(&str, &str)], netns: BorrowedFd<'_>) -> Result<(), Error> {
    let host = RouteSocket::open().map_err(Error::NetDevices)?;
    let mut devices = Vec::new();
    for (name, inside) in wanted {
        let index = host
            .index_of(name)
            .ok()
            .flatten()
            .ok_or_else(|| Error::NoSuchInterface {
                name: (*name).to_owned(),
            })?;
        devices.push(Device {
            index,
            name,
            inside,
        });
    }
    // Before the move, which takes them away.
    let addresses = host.addresses().map_err(Error::NetDevices)?;
    let container = RouteSocket::open_in(netns).map_err(Error::NetDevices)?;
    for device in &devices {
        device.give(&host, &container, netns, &addresses)?;
    }
    Ok(())
}

/// In init: what a container reaches itself by, in a namespace that nobody has touched yet.
pub(crate) fn raise_loopback() -> Result<(), InitError> {
    /// The first interface of every namespace.
    const LOOPBACK: u32 = 1;
    RouteSocket::open()
        .and_then(|inside| inside.apply(&[Request::Up { index: LOOPBACK }]))
        .map_err(|error| InitError::Loopback {
            cause: crate::Errno(error.errno().unwrap_or(5)),
        })
}

impl Device<'_> {
    fn give(
        &self,
        host: &RouteSocket,
        container: &RouteSocket,
        netns: BorrowedFd<'_>,
        addresses: &[Address],
    ) -> Result<(), Error> {
        let failed = |source| Error::NetDevice {
            name: self.name.to_owned(),
            inside: self.inside.to_owned(),
            source,
        };
        host.apply(&[Request::Move {
            index: self.index,
            name: self.inside,
            netns,
        }])
        .map_err(failed)?;
        // Where its number was taken, it has another now.
        let index = container
            .index_of(self.inside)
            .ok()
            .flatten()
            .ok_or_else(|| Error::NoSuchInterface {
                name: self.inside.to_owned(),
            })?;
        let kept = addresses
            .iter()
            .filter(|known| known.interface == self.index && known.lifetime == Lifetime::Given);
        let mut requests: Vec<Request<'_>> = kept
            .map(|known| Request::AddAddress {
                index,
                address: known.address,
                prefix: known.prefix,
            })
            .collect();
        requests.push(Request::Up { index });
        container.apply(&requests).map_err(failed)
    }
}
