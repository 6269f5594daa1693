//! Interfaces, addresses and routes as requests, many in one datagram.
//!
//! A veth's far end is born in the other namespace (`IFLA_NET_NS_FD` inside the peer's attributes), the near end is
//! born up and enslaved. The far end cannot be born up (the kernel says ENOTCONN): that goes with its addresses.
//!
//! Source: rtnetlink(7), kernel `drivers/net/veth.c` (`veth_newlink`), `net/core/rtnetlink.c`.

mod interface;
mod message;
mod routing;

use super::{Channel, Datagram, Error, NLM_F_ACK, NLM_F_REQUEST, ROUTE};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// Which of its siblings a macvlan reaches: `Documentation/networking` has none, `uapi/linux/if_link.h` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    Private,
    Vepa,
    Bridge,
    Passthru,
}

/// Kernel `Documentation/networking/ipvlan.rst`, "IPvlan Mode Characteristics".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpvlanMode {
    L2,
    L3,
    L3s,
}

/// The same, "Mode flags".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpvlanFlag {
    Bridge,
    Private,
    Vepa,
}

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
    /// A pair in this namespace: `name` is up and works once `peer` is up too, with nobody at the other end.
    CreateStub {
        name: &'a str,
        peer: &'a str,
    },
    /// A VLAN of the interface `parent` (802.1Q).
    CreateVlan {
        name: &'a str,
        parent: u32,
        id: u16,
    },
    /// `name` in `netns`, down, with an address on the wire of its own at the interface `parent` of this namespace.
    CreateMacvlan {
        name: &'a str,
        parent: u32,
        mode: MacvlanMode,
        mac: [u8; 6],
        mtu: Option<u32>,
        netns: BorrowedFd<'a>,
    },
    /// The same with the parent's address on the wire.
    CreateIpvlan {
        name: &'a str,
        parent: u32,
        mode: IpvlanMode,
        flag: IpvlanFlag,
        mtu: Option<u32>,
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
    let sequence = datagram.next_sequence(message::label(request));
    let flags = NLM_F_REQUEST | message::flags(request) | ack;
    append(datagram, message::payload(request), flags, sequence);
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
