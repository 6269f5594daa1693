//! Interfaces as rtnetlink has them: what is made, and how one is changed.

use super::{IpvlanFlag, IpvlanMode, MacvlanMode, Request};
use netlink_packet_core::DefaultNla;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoPortData, InfoPortKind,
    InfoVeth, InfoVlan, IpVlanFlags, IpVlanMode, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    MacVlanMode,
};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The message of a request that makes or changes an interface; of any other an empty one.
pub(super) fn message(request: &Request<'_>) -> LinkMessage {
    match *request {
        Request::CreateBridge { name, mac, mtu } => bridge(name, mac, mtu),
        Request::CreateVeth {
            name,
            master,
            mtu,
            peer,
            peer_mac,
            netns,
        } => veth(name, master, mtu, peer, peer_mac, netns),
        Request::CreateStub { name, peer } => stub(name, peer),
        Request::CreateVlan { name, parent, id } => vlan(name, parent, id),
        Request::CreateMacvlan {
            name,
            parent,
            mode,
            mac,
            mtu,
            netns,
        } => {
            let mut message = stacked(name, parent, macvlan(mode), mtu, netns);
            let address = LinkAttribute::Address(mac.to_vec());
            message.attributes.push(address);
            message
        }
        Request::CreateIpvlan {
            name,
            parent,
            mode,
            flag,
            mtu,
            netns,
        } => stacked(name, parent, ipvlan(mode, flag), mtu, netns),
        Request::BridgePort {
            name,
            isolated,
            hairpin,
        } => bridge_port(name, isolated, hairpin),
        Request::Hairpin { name } => port_settings(name, vec![InfoBridgePort::HairpinMode(true)]),
        Request::Up { index } => up(index),
        Request::UpAnnounced { index } => {
            let mut message = up(index);
            message.attributes.push(announce());
            message
        }
        Request::Rename { index, name } => {
            let mut message = named(name);
            message.header.index = index;
            message
        }
        Request::Move { index, name, netns } => {
            let mut message = named(name);
            message.header.index = index;
            let target = LinkAttribute::NetNsFd(netns.as_raw_fd());
            message.attributes.push(target);
            message
        }
        _ => LinkMessage::default(),
    }
}

pub(super) fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.into()));
    message
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

fn stub(name: &str, peer: &str) -> LinkMessage {
    let far = named(peer);
    let mut near = up(0);
    near.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
        ]),
    ];
    near
}

fn vlan(name: &str, parent: u32, id: u16) -> LinkMessage {
    let mut message = up(0);
    message.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::Link(parent),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vlan),
            LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(id)])),
        ]),
    ];
    message
}

/// An interface in `netns` upon the one with the index `parent`, which the kernel looks up where the socket is.
fn stacked(
    name: &str,
    parent: u32,
    info: Vec<LinkInfo>,
    mtu: Option<u32>,
    netns: BorrowedFd<'_>,
) -> LinkMessage {
    let mut message = named(name);
    message.attributes.extend([
        LinkAttribute::Link(parent),
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
        LinkAttribute::LinkInfo(info),
    ]);
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message
}

fn macvlan(mode: MacvlanMode) -> Vec<LinkInfo> {
    let mode = match mode {
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
    };
    vec![
        LinkInfo::Kind(InfoKind::MacVlan),
        LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)])),
    ]
}

fn ipvlan(mode: IpvlanMode, flag: IpvlanFlag) -> Vec<LinkInfo> {
    let mode = match mode {
        IpvlanMode::L2 => IpVlanMode::L2,
        IpvlanMode::L3 => IpVlanMode::L3,
        IpvlanMode::L3s => IpVlanMode::L3S,
    };
    let flags = match flag {
        IpvlanFlag::Bridge => IpVlanFlags::empty(),
        IpvlanFlag::Private => IpVlanFlags::Private,
        IpvlanFlag::Vepa => IpVlanFlags::Vepa,
    };
    let data = vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(flags)];
    vec![
        LinkInfo::Kind(InfoKind::IpVlan),
        LinkInfo::Data(InfoData::IpVlan(data)),
    ]
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
