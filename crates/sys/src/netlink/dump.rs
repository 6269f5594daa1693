//! What the kernel has: routes and addresses of a namespace.
//!
//! Source: rtnetlink(7), `RTM_GETROUTE` and `RTM_GETADDR` dumps.

use super::link::append;
use super::{Datagram, Error, NLM_F_DUMP, NLM_F_REQUEST, RouteSocket};
use netlink_packet_core::Parseable;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One unicast route of any table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteEntry {
    /// `0.0.0.0` or `::` with prefix 0: a default route.
    pub destination: IpAddr,
    pub prefix: u8,
    pub gateway: Option<IpAddr>,
    pub interface: Option<u32>,
}

/// One address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub interface: u32,
    pub address: IpAddr,
    pub prefix: u8,
    pub lifetime: Lifetime,
}

/// Where an address is from, as far as it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Given by somebody, for good and for the whole network.
    Given,
    /// Leased, made up by the kernel, or of this link or host only.
    Passing,
}

impl RouteSocket {
    /// All unicast routes, of both families.
    pub fn routes(&self) -> Result<Vec<RouteEntry>, Error> {
        let mut found = Vec::new();
        let request = RouteNetlinkMessage::GetRoute(RouteMessage::default());
        self.channel
            .dump(&dump_request("list the routes", request), |message| {
                if let Ok(route) = RouteMessage::parse(message.payload) {
                    found.extend(entry(&route));
                }
            })?;
        Ok(found)
    }

    /// All addresses, of both families.
    pub fn addresses(&self) -> Result<Vec<Address>, Error> {
        let mut found = Vec::new();
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.channel
            .dump(&dump_request("list the addresses", request), |message| {
                if let Ok(address) = AddressMessage::parse(message.payload) {
                    found.extend(interface_address(&address));
                }
            })?;
        Ok(found)
    }

    /// The name of the interface with this index, when it (still) exists.
    pub fn name_of(&self, index: u32) -> Option<String> {
        rustix::net::netdevice::index_to_name(self.channel.fd(), index).ok()
    }
}

fn dump_request(label: &'static str, payload: RouteNetlinkMessage) -> Datagram {
    let mut datagram = Datagram::default();
    let sequence = datagram.next_sequence(label);
    append(&mut datagram, payload, NLM_F_REQUEST | NLM_F_DUMP, sequence);
    datagram
}

fn entry(route: &RouteMessage) -> Option<RouteEntry> {
    if route.header.kind != RouteType::Unicast {
        return None;
    }
    let mut found = RouteEntry {
        destination: match u8::from(route.header.address_family) {
            2 => Ipv4Addr::UNSPECIFIED.into(),
            10 => Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        },
        prefix: route.header.destination_prefix_length,
        gateway: None,
        interface: None,
    };
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Destination(address) => found.destination = ip(address)?,
            RouteAttribute::Gateway(address) => found.gateway = ip(address),
            RouteAttribute::Oif(index) => found.interface = Some(*index),
            _ => {}
        }
    }
    Some(found)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

fn interface_address(message: &AddressMessage) -> Option<Address> {
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| {
        message.attributes.iter().find_map(wanted)
    };
    let local = find(|a| {
        if let AddressAttribute::Local(ip) = a {
            Some(*ip)
        } else {
            None
        }
    });
    let address = local.or_else(|| {
        find(|a| {
            if let AddressAttribute::Address(ip) = a {
                Some(*ip)
            } else {
                None
            }
        })
    })?;
    Some(Address {
        interface: message.header.index,
        address,
        prefix: message.header.prefix_len,
        lifetime: lifetime(message),
    })
}

fn lifetime(message: &AddressMessage) -> Lifetime {
    let permanent = message.attributes.iter().any(|attribute| {
        matches!(attribute, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Permanent))
    });
    if permanent && message.header.scope == AddressScope::Universe {
        Lifetime::Given
    } else {
        Lifetime::Passing
    }
}
