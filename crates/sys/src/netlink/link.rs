//! Interfaces, addresses and routes as requests, many in one datagram.
//!
//! A veth's far end is born in the other namespace (`IFLA_NET_NS_FD` inside the peer's attributes), the near end is
//! born up and enslaved. The far end cannot be born up (the kernel says ENOTCONN): that goes with its addresses.
//!
//! Source: rtnetlink(7), kernel `drivers/net/veth.c` (`veth_newlink`), `net/core/rtnetlink.c`.

use super::{Channel, Datagram, Error, NLM_F_ACK, NLM_F_REQUEST, ROUTE};
use netlink_packet_core::{
    DefaultNla, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// One thing to do to the interfaces of a namespace.
#[derive(Debug, Clone)]
pub enum Request<'a> {
    CreateBridge {
        name: &'a str,
        mac: [u8; 6],
        mtu: Option<u32>,
    },
    /// A pair: `name` here, up and a port of the bridge `master`; `peer` in `netns`, down.
    CreateVeth {
        name: &'a str,
        master: u32,
        mtu: Option<u32>,
        peer: &'a str,
        peer_mac: [u8; 6],
        netns: BorrowedFd<'a>,
    },
    /// How the bridge treats its port `name`.
    BridgePort {
        name: &'a str,
        /// No frames between this and other isolated ports.
        isolated: bool,
        /// Frames may go back where they came from.
        hairpin: bool,
    },
    /// The bridge port `name` may send frames back where they came from, whatever else holds for it.
    Hairpin {
        name: &'a str,
    },
    Up {
        index: u32,
    },
    /// Up, and announced by gratuitous ARP, so that neighbours forget an earlier owner of its addresses. The
    /// addresses come before it in the datagram.
    UpAnnounced {
        index: u32,
    },
    Rename {
        index: u32,
        name: &'a str,
    },
    /// Into another namespace, by another name or the same, in one step. Its addresses are lost on the way, and it is down.
    Move {
        index: u32,
        name: &'a str,
        netns: BorrowedFd<'a>,
    },
    /// Present already is as good.
    AddAddress {
        index: u32,
        address: IpAddr,
        prefix: u8,
    },
    /// `destination` `None`: the default route.
    AddRoute {
        destination: Option<(IpAddr, u8)>,
        gateway: Option<IpAddr>,
        index: u32,
    },
    /// Packets for `address` that come in by the interface are the host's own.
    AddLocalRoute {
        address: IpAddr,
        index: u32,
    },
    /// One that is not there is as good.
    DeleteAddress {
        index: u32,
        address: IpAddr,
        prefix: u8,
    },
    DeleteRoute {
        destination: Option<(IpAddr, u8)>,
        gateway: Option<IpAddr>,
        index: u32,
    },
    DeleteLink {
        name: &'a str,
    },
}

/// An rtnetlink socket in the namespace it was opened in.
#[derive(Debug)]
pub struct RouteSocket {
    pub(super) channel: Channel,
}

impl RouteSocket {
    pub fn open() -> Result<Self, Error> {
        Ok(Self {
            channel: Channel::open(ROUTE)?,
        })
    }

    pub fn open_in(netns: BorrowedFd<'_>) -> Result<Self, Error> {
        Ok(Self {
            channel: Channel::open_in(ROUTE, netns)?,
        })
    }

    /// The interface's index; `None` when there is no such interface.
    pub fn index_of(&self, name: &str) -> io::Result<Option<u32>> {
        match rustix::net::netdevice::name_to_index(self.channel.fd(), name) {
            Ok(index) => Ok(Some(index)),
            Err(rustix::io::Errno::NODEV) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Carries all requests in one datagram. The kernel does them in order and goes on after a refusal; the first
    /// refusal is returned.
    pub fn apply(&self, requests: &[Request<'_>]) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        let mut datagram = Datagram::default();
        for (at, request) in requests.iter().enumerate() {
            let ack = if at + 1 == requests.len() {
                NLM_F_ACK
            } else {
                0
            };
            push(&mut datagram, request, ack);
        }
        let last = datagram.labels.len() as u32;
        self.channel.transact(&datagram, last)
    }
}

fn push(datagram: &mut Datagram, request: &Request<'_>, ack: u16) {
    let (label, flags, payload) = message(request);
    let sequence = datagram.next_sequence(label);
    append(datagram, payload, NLM_F_REQUEST | flags | ack, sequence);
}

/// Serialises one message behind what the datagram holds.
pub(super) fn append(
    datagram: &mut Datagram,
    payload: RouteNetlinkMessage,
    flags: u16,
    sequence: u32,
) {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(payload));
    message.finalize();
    let start = datagram.bytes.len();
    datagram
        .bytes
        .resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut datagram.bytes[start..]);
}

const CREATE: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// What a request is called in an error, its flags and its message.
fn message(request: &Request<'_>) -> (String, u16, RouteNetlinkMessage) {
    use RouteNetlinkMessage as M;
    match *request {
        Request::CreateBridge { name, mac, mtu } => (
            format!("create the bridge {name}"),
            CREATE,
            M::NewLink(bridge(name, mac, mtu)),
        ),
        Request::CreateVeth {
            name,
            master,
            mtu,
            peer,
            peer_mac,
            netns,
        } => (
            format!("create the interface {peer} of a container (host end {name})"),
            CREATE,
            M::NewLink(veth(name, master, mtu, peer, peer_mac, netns)),
        ),
        Request::BridgePort {
            name,
            isolated,
            hairpin,
        } => (
            format!("set up the bridge port {name}"),
            0,
            M::NewLink(bridge_port(name, isolated, hairpin)),
        ),
        Request::Hairpin { name } => (
            format!("set up the bridge port {name}"),
            0,
            M::NewLink(port_settings(name, vec![InfoBridgePort::HairpinMode(true)])),
        ),
        Request::Up { index } => (
            format!("bring interface {index} up"),
            0,
            M::NewLink(up(index)),
        ),
        Request::UpAnnounced { index } => {
            let mut message = up(index);
            message.attributes.push(announce());
            (
                format!("bring interface {index} up"),
                0,
                M::NewLink(message),
            )
        }
        Request::Rename { index, name } => {
            let mut message = LinkMessage::default();
            message.header.index = index;
            message.attributes.push(LinkAttribute::IfName(name.into()));
            (format!("name an interface {name}"), 0, M::NewLink(message))
        }
        Request::Move { index, name, netns } => {
            let mut message = LinkMessage::default();
            message.header.index = index;
            let target = LinkAttribute::NetNsFd(netns.as_raw_fd());
            message.attributes = vec![LinkAttribute::IfName(name.into()), target];
            (
                format!("move an interface into the container as {name}"),
                0,
                M::NewLink(message),
            )
        }
        Request::AddAddress {
            index,
            address,
            prefix,
        } => (
            format!("give interface {index} the address {address}/{prefix}"),
            NLM_F_CREATE | NLM_F_REPLACE,
            M::NewAddress(interface_address(index, address, prefix)),
        ),
        Request::AddRoute {
            destination,
            gateway,
            index,
        } => (
            format!("add the route {}", route_text(destination, gateway)),
            NLM_F_CREATE | NLM_F_REPLACE,
            M::NewRoute(route(destination, gateway, index)),
        ),
        Request::AddLocalRoute { address, index } => (
            format!("add the local route {address}"),
            NLM_F_CREATE | NLM_F_REPLACE,
            M::NewRoute(local_route(address, index)),
        ),
        Request::DeleteAddress {
            index,
            address,
            prefix,
        } => (
            format!("take the address {address}/{prefix} from interface {index}"),
            0,
            M::DelAddress(interface_address(index, address, prefix)),
        ),
        Request::DeleteRoute {
            destination,
            gateway,
            index,
        } => (
            format!("delete the route {}", route_text(destination, gateway)),
            0,
            M::DelRoute(route(destination, gateway, index)),
        ),
        Request::DeleteLink { name } => {
            let mut message = LinkMessage::default();
            message.attributes.push(LinkAttribute::IfName(name.into()));
            (
                format!("delete the interface {name}"),
                0,
                M::DelLink(message),
            )
        }
    }
}

fn route_text(destination: Option<(IpAddr, u8)>, gateway: Option<IpAddr>) -> String {
    let to = destination.map_or("default".into(), |(address, prefix)| {
        format!("{address}/{prefix}")
    });
    gateway.map_or(to.clone(), |gateway| format!("{to} via {gateway}"))
}

fn bridge(name: &str, mac: [u8; 6], mtu: Option<u32>) -> LinkMessage {
    let mut message = up(0);
    // An address of its own: else the bridge takes its lowest port's, which changes as containers come and go.
    message.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message
}

fn veth(
    name: &str,
    master: u32,
    mtu: Option<u32>,
    peer: &str,
    peer_mac: [u8; 6],
    netns: BorrowedFd<'_>,
) -> LinkMessage {
    let mut far = LinkMessage::default();
    far.attributes = vec![
        LinkAttribute::IfName(peer.into()),
        LinkAttribute::Address(peer_mac.to_vec()),
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
    ];
    far.attributes.extend(mtu.map(LinkAttribute::Mtu));
    let mut near = up(0);
    near.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::Controller(master),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
        ]),
    ];
    near.attributes.extend(mtu.map(LinkAttribute::Mtu));
    near
}

fn bridge_port(name: &str, isolated: bool, hairpin: bool) -> LinkMessage {
    let settings = vec![
        InfoBridgePort::Isolated(isolated),
        InfoBridgePort::HairpinMode(hairpin),
    ];
    port_settings(name, settings)
}

fn port_settings(name: &str, settings: Vec<InfoBridgePort>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(settings)),
        ]),
    ];
    message
}

fn up(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

/// `IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { IPV4_DEVCONF_ARP_NOTIFY = 1 } } }`: the sysctl `arp_notify` of this one
/// interface, without opening a file in the other namespace.
fn announce() -> LinkAttribute {
    const IFLA_AF_SPEC: u16 = 26;
    const NLA_F_NESTED: u16 = 0x8000;
    const AF_INET: u16 = 2;
    const IFLA_INET_CONF: u16 = 1;
    const IPV4_DEVCONF_ARP_NOTIFY: u16 = 22;
    let mut value = Vec::with_capacity(16);
    for (length, kind) in [
        (16u16, AF_INET | NLA_F_NESTED),
        (12, IFLA_INET_CONF | NLA_F_NESTED),
    ] {
        value.extend_from_slice(&length.to_ne_bytes());
        value.extend_from_slice(&kind.to_ne_bytes());
    }
    value.extend_from_slice(&8u16.to_ne_bytes());
    value.extend_from_slice(&IPV4_DEVCONF_ARP_NOTIFY.to_ne_bytes());
    value.extend_from_slice(&1u32.to_ne_bytes());
    LinkAttribute::Other(DefaultNla::new(IFLA_AF_SPEC | NLA_F_NESTED, value))
}

fn interface_address(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
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

fn route(destination: Option<(IpAddr, u8)>, gateway: Option<IpAddr>, index: u32) -> RouteMessage {
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
fn local_route(address: IpAddr, index: u32) -> RouteMessage {
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

pub(super) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}
