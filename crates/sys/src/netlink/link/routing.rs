//! Addresses and routes as rtnetlink has them.

use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use std::net::IpAddr;

pub(super) fn interface_address(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = prefix;
    message.header.index = index;
    message.header.scope = AddressScope::Universe;
    message.attributes.push(AddressAttribute::Address(address));
    message.attributes.push(AddressAttribute::Local(address));
    if let IpAddr::V4(v4) = address
        && prefix < 31
    {
        let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        message.attributes.push(AddressAttribute::Broadcast(
            (u32::from(v4) | host_bits).into(),
        ));
    }
    if address.is_ipv6() {
        // Leases make it unique; waiting a second for duplicate address detection would only delay the start.
        message
            .attributes
            .push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

pub(super) fn route(
    destination: Option<(IpAddr, u8)>,
    gateway: Option<IpAddr>,
    index: u32,
) -> RouteMessage {
    let mut message = RouteMessage::default();
    let any = destination.map(|(address, _)| address).or(gateway);
    message.header.address_family = any.map_or(AddressFamily::Inet, family);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.header.scope = if gateway.is_some() {
        RouteScope::Universe
    } else {
        RouteScope::Link
    };
    if let Some((address, prefix)) = destination {
        message.header.destination_prefix_length = prefix;
        message
            .attributes
            .push(RouteAttribute::Destination(RouteAddress::from(address)));
    }
    message
        .attributes
        .extend(gateway.map(|address| RouteAttribute::Gateway(RouteAddress::from(address))));
    message.attributes.push(RouteAttribute::Oif(index));
    message
}

/// Behind the kernel's own routes of the table, so that nothing that goes out changes its way.
pub(super) fn local_route(address: IpAddr, index: u32) -> RouteMessage {
    const RT_TABLE_LOCAL: u8 = 255;
    const LAST: u32 = 1 << 20;
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    let mut message = route(Some((address, prefix)), None, index);
    message.header.table = RT_TABLE_LOCAL;
    message.header.kind = RouteType::Local;
    message.header.scope = RouteScope::Host;
    message.attributes.push(RouteAttribute::Priority(LAST));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}
