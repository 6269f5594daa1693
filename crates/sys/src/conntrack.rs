//! Connection tracking: the UDP flows the kernel remembers, and forgetting single ones; the TCP connections that are open.
//!
//! A rewritten destination is decided once for a flow. Where the rules have changed since, a client that keeps its port would
//! go on to be sent to the old place as long as it talks. Which flows are meant is decided elsewhere.
//!
//! Source: kernel `include/uapi/linux/netfilter/nfnetlink_conntrack.h`, `net/netfilter/nf_conntrack_netlink.c`.

use crate::netlink::{Attributes, Channel, Datagram, Error, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use crate::nft::NftSocket;
use crate::nft::encode::Writer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_GET: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 1;
const IPCTNL_MSG_CT_DELETE: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_PROTOINFO: u16 = 4;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
const CTA_PROTOINFO_TCP_FLAGS_REPLY: u16 = 5;
/// `IP_CT_TCP_FLAG_CLOSE_INIT`: this side closed first.
const CLOSED_FIRST: u8 = 0x04;
const CTA_ZONE: u16 = 18;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// `enum tcp_conntrack`: from `SYN_SENT` to `CLOSE_WAIT` bytes may still come; after it the rest is acknowledgement.
const OPEN: std::ops::RangeInclusive<u8> = 1..=5;
/// One side has closed, and the other has acknowledged it.
const CLOSE_WAIT: u8 = 5;

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    pub source: IpAddr,
    pub source_port: u16,
    pub destination: IpAddr,
    pub destination_port: u16,
}

/// A UDP flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// As the client sent it.
    pub original: Tuple,
    /// As the answer comes: its source is where the flow really leads.
    pub reply: Tuple,
    family: u8,
    /// The kernel's own name of it.
    tuple: Vec<u8>,
    zone: Option<Vec<u8>>,
}

/// The tracking table of a namespace.
#[derive(Debug)]
pub struct Conntrack<'a> {
    channel: &'a Channel,
}

impl<'a> Conntrack<'a> {
    /// Over a socket that is open already: both are netfilter's.
    pub fn over(socket: &'a NftSocket) -> Self {
        Self {
            channel: &socket.channel,
        }
    }

    /// All UDP flows, of both families.
    pub fn udp_flows(&self) -> Result<Vec<Flow>, Error> {
        let mut flows = Vec::new();
        let mut datagram = Datagram::default();
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        Writer::new(&mut datagram).foreign(
            IPCTNL_MSG_CT_GET,
            flags,
            0,
            "list the tracked flows",
            |_| {},
        );
        self.channel
            .dump(&datagram, |message| flows.extend(parse(message.payload)))?;
        Ok(flows)
    }

    /// How many TCP connections to these addresses are open, by where they really lead.
    pub fn open_connections(&self, to: &[IpAddr]) -> Result<usize, Error> {
        let mut count = 0;
        let mut datagram = Datagram::default();
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        let label = "list the tracked connections";
        Writer::new(&mut datagram).foreign(IPCTNL_MSG_CT_GET, flags, 0, label, |_| {});
        self.channel.dump(&datagram, |message| {
            let leads_to = open_connection(message.payload);
            count += usize::from(leads_to.is_some_and(|address| to.contains(&address)));
        })?;
        Ok(count)
    }

    /// Forgets one flow; its next packet is judged anew. One that ended meanwhile is as good.
    pub fn forget(&self, flow: &Flow) -> Result<(), Error> {
        const NLA_F_NESTED: u16 = 0x8000;
        let mut datagram = Datagram::default();
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        let label = "forget a tracked flow";
        Writer::new(&mut datagram).foreign(IPCTNL_MSG_CT_DELETE, flags, flow.family, label, |w| {
            w.bytes(CTA_TUPLE_ORIG | NLA_F_NESTED, &flow.tuple);
            if let Some(zone) = &flow.zone {
                w.bytes(CTA_ZONE, zone);
            }
        });
        match self.channel.transact(&datagram, 1) {
            Err(e) if e.is_missing() => Ok(()),
            other => other,
        }
    }
}

fn parse(payload: &[u8]) -> Option<Flow> {
    /// `struct nfgenmsg`.
    const GENERIC_LEN: usize = 4;
    let (mut original, mut reply, mut zone) = (None, None, None);
    let mut tuple_bytes = Vec::new();
    for (kind, value) in Attributes(payload.get(GENERIC_LEN..)?) {
        match kind {
            CTA_TUPLE_ORIG => {
                original = tuple(value, UDP);
                tuple_bytes = value.to_vec();
            }
            CTA_TUPLE_REPLY => reply = tuple(value, UDP),
            CTA_ZONE => zone = Some(value.to_vec()),
            _ => {}
        }
    }
    Some(Flow {
        original: original?,
        reply: reply?,
        family: payload[0],
        tuple: tuple_bytes,
        zone,
    })
}

/// Where an open TCP connection leads; `None` for anything else.
fn open_connection(payload: &[u8]) -> Option<IpAddr> {
    const GENERIC_LEN: usize = 4;
    let (mut reply, mut open) = (None, false);
    for (kind, value) in Attributes(payload.get(GENERIC_LEN..)?) {
        match kind {
            CTA_TUPLE_REPLY => reply = tuple(value, TCP),
            CTA_PROTOINFO => open = is_open(value).unwrap_or(false),
            _ => {}
        }
    }
    reply.filter(|_| open).map(|reply| reply.source)
}

/// Whether whom the connection leads to may still have something to say: not when it has closed first and was understood.
fn is_open(protocol: &[u8]) -> Option<bool> {
    let (_, tcp) = Attributes(protocol).find(|(kind, _)| *kind == CTA_PROTOINFO_TCP)?;
    let first = |wanted: u16| {
        let found = Attributes(tcp).find(|(kind, _)| *kind == wanted);
        found.and_then(|(_, value)| value.first().copied())
    };
    let state = first(CTA_PROTOINFO_TCP_STATE)?;
    let flags = first(CTA_PROTOINFO_TCP_FLAGS_REPLY).unwrap_or(0);
    let is_over = state == CLOSE_WAIT && flags & CLOSED_FIRST != 0;
    Some(OPEN.contains(&state) && !is_over)
}

/// `CTA_TUPLE_IP` and `CTA_TUPLE_PROTO`; `None` for what is of another protocol.
fn tuple(bytes: &[u8], wanted: u8) -> Option<Tuple> {
    let (mut addresses, mut ports) = ([None; 2], [None; 2]);
    let mut protocol = 0;
    for (kind, nest) in Attributes(bytes) {
        for (inner, value) in Attributes(nest) {
            match (kind, inner) {
                (1, 1 | 3) => addresses[0] = address(value),
                (1, 2 | 4) => addresses[1] = address(value),
                (2, 1) => protocol = *value.first()?,
                (2, 2) => {
                    ports[0] = value
                        .first_chunk::<2>()
                        .map(|port| u16::from_be_bytes(*port))
                }
                (2, 3) => {
                    ports[1] = value
                        .first_chunk::<2>()
                        .map(|port| u16::from_be_bytes(*port))
                }
                _ => {}
            }
        }
    }
    (protocol == wanted).then_some(())?;
    Some(Tuple {
        source: addresses[0]?,
        source_port: ports[0]?,
        destination: addresses[1]?,
        destination_port: ports[1]?,
    })
}

fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => value
            .first_chunk::<4>()
            .map(|bytes| Ipv4Addr::from(*bytes).into()),
        16 => value
            .first_chunk::<16>()
            .map(|bytes| Ipv6Addr::from(*bytes).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_entries_are_passed_over() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[2, 0, 0, 0]), None);
        assert_eq!(parse(&[2, 0, 0, 0, 8, 0, 1, 0x80, 0, 0, 0, 0]), None);
        assert_eq!(tuple(&[0xff; 9], UDP), None);
        assert_eq!(open_connection(&[]), None);
        assert_eq!(
            open_connection(&[2, 0, 0, 0, 8, 0, 4, 0x80, 0, 0, 0, 0]),
            None
        );
    }

    #[test]
    fn a_connection_is_over_when_the_server_has_closed_it() {
        // CTA_PROTOINFO_TCP { STATE, FLAGS_REPLY }.
        let info = |state: u8, flags: u8| {
            let tcp = [5, 0, 1, 0, state, 0, 0, 0, 6, 0, 5, 0, flags, 0xff, 0, 0];
            [&[20, 0, 1, 0x80][..], &tcp].concat()
        };
        for (state, flags, open) in [(3, 0, true), (4, 4, true), (5, 4, false), (5, 3, true)] {
            assert_eq!(is_open(&info(state, flags)), Some(open), "{state} {flags}");
        }
        for state in [0, 6, 7, 8] {
            assert_eq!(is_open(&info(state, 0)), Some(false), "{state}");
        }
        assert_eq!(is_open(&[8, 0, 1, 0x80, 4, 0, 1, 0]), None);
    }
}
