//! Which sockets of a network namespace wait for clients: one question to the kernel, however many there are.
//!
//! Source: sock_diag(7), kernel `include/uapi/linux/inet_diag.h`. SCTP has no such table: `/proc/net/sctp/eps` is read.

use crate::netlink::{Channel, Datagram, Error, NLM_F_DUMP, NLM_F_REQUEST};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `NETLINK_SOCK_DIAG`.
const SOCK_DIAG: isize = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct inet_diag_sockid`, after four bytes in an answer and eight in a request.
const SOCKET_ID: usize = 48;
const TCP_LISTEN: u32 = 10;
/// What a UDP socket is in that is not connected: `TCP_CLOSE`.
const UDP_OPEN: u32 = 7;

/// Protocols as IANA counts them.
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const SCTP: u8 = 132;

/// A socket that takes what comes for its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listener {
    pub address: IpAddr,
    pub port: u16,
    /// By which the process that has it is found.
    pub inode: u64,
}

/// The listening sockets of `protocol` in the namespace of the calling thread, of both families.
pub fn listeners(protocol: u8) -> Result<Vec<Listener>, Error> {
    if protocol == SCTP {
        let text = std::fs::read_to_string("/proc/thread-self/net/sctp/eps").unwrap_or_default();
        return Ok(text.lines().skip(1).flat_map(sctp_endpoint).collect());
    }
    let channel = Channel::open(SOCK_DIAG)?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        channel.dump(&request(family as u8, protocol), |message| {
            found.extend(parse(message.payload))
        })?;
    }
    Ok(found)
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(family: u8, protocol: u8) -> Datagram {
    let states = 1u32
        << if protocol == TCP {
            TCP_LISTEN
        } else {
            UDP_OPEN
        };
    let mut datagram = Datagram::default();
    let sequence = datagram.next_sequence("list the listening sockets");
    let length = 16 + 8 + SOCKET_ID as u32;
    let bytes = &mut datagram.bytes;
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&0u32.to_ne_bytes());
    bytes.extend_from_slice(&[family, protocol, 0, 0]);
    bytes.extend_from_slice(&states.to_ne_bytes());
    bytes.resize(length as usize, 0);
    datagram
}

/// `struct inet_diag_msg`: family, state, timer, retransmissions, the id, then five words, the last one the inode.
fn parse(payload: &[u8]) -> Option<Listener> {
    let family = i32::from(*payload.first()?);
    let id = payload.get(4..4 + SOCKET_ID)?;
    let port = u16::from_be_bytes(*id.first_chunk()?);
    let address = id.get(4..20)?;
    let address = match family {
        libc::AF_INET => Ipv4Addr::from(*address.first_chunk::<4>()?).into(),
        libc::AF_INET6 => {
            let v6 = Ipv6Addr::from(*address.first_chunk::<16>()?);
            v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
        }
        _ => return None,
    };
    let inode = payload.get(4 + SOCKET_ID + 16..)?.first_chunk::<4>()?;
    let inode = u64::from(u32::from_ne_bytes(*inode));
    Some(Listener {
        address,
        port,
        inode,
    })
}

/// `ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS…`.
fn sctp_endpoint(line: &str) -> Vec<Listener> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| {
        words
            .get(at)
            .and_then(|word: &&str| word.parse::<u64>().ok())
    };
    let (Some(port), Some(inode)) = (number(5), number(7)) else {
        return Vec::new();
    };
    let addresses = words.iter().skip(8).filter_map(|word| word.parse().ok());
    addresses
        .map(|address| Listener {
            address,
            port: port as u16,
            inode,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_listeners_are_found_and_what_is_connected_is_not() {
        let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (four_at, udp_at) = (four.local_addr().unwrap(), udp.local_addr().unwrap());
        let client = std::net::TcpStream::connect(four_at).unwrap();
        let tcp = listeners(TCP).unwrap();
        let has = |found: &[Listener], at: std::net::SocketAddr| {
            found
                .iter()
                .any(|l| (l.address, l.port) == (at.ip(), at.port()) && l.inode > 0)
        };
        assert!(has(&tcp, four_at) && !has(&tcp, client.local_addr().unwrap()));
        assert!(has(&listeners(UDP).unwrap(), udp_at));
    }

    #[test]
    fn damaged_answers_are_passed_over() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[2; 60]), None);
        assert_eq!(parse(&[99; 200]), None);
        assert!(sctp_endpoint("f 1 2 3").is_empty());
        let line = "ffff 0 2 10 29 9999 0 4711 0.0.0.0 127.0.0.1";
        assert_eq!(
            sctp_endpoint(line)[1],
            Listener {
                address: Ipv4Addr::LOCALHOST.into(),
                port: 9999,
                inode: 4711
            }
        );
    }
}
