//! Inside the container's namespace: port 53 of 127.0.0.11 leads to the port the responder listens on.
//!
//! ```text
//! table ip dockless-dns { chain output { type nat hook output priority dstnat;
//!     ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:PORT     # and tcp
//! } }
//! ```
//! Not `redirect`: that would lead to 127.0.0.1.

use super::ADDRESS;
use std::os::fd::BorrowedFd;
use sys::netlink;
use sys::nft::expr::{Base, Meta, Reg};
use sys::nft::{ChainKind, Change, Expr, Hook, HookPoint, IPV4, NftSocket, Table};

/// Replaces what an earlier responder of the namespace may have left.
pub(super) fn lead_here(netns: BorrowedFd<'_>, port: u16) -> Result<(), netlink::Error> {
    const UDP: u8 = 17;
    const TCP: u8 = 6;
    const DSTNAT: i32 = -100;
    let hook = Some(Hook {
        kind: ChainKind::Nat,
        point: HookPoint::Output,
        priority: DSTNAT,
    });
    let table = Table {
        family: IPV4,
        name: "dockless-dns",
    };
    let content = vec![
        Change::AddChain {
            name: "output",
            hook,
        },
        Change::AddRule {
            chain: "output",
            expressions: rule(UDP, port),
        },
        Change::AddRule {
            chain: "output",
            expressions: rule(TCP, port),
        },
    ];
    NftSocket::open_in(netns)?.replace_table(table, content)
}

fn rule(protocol: u8, port: u16) -> Vec<Expr> {
    let address = ADDRESS.octets().to_vec();
    vec![
        Expr::Meta {
            key: Meta::Protocol,
            to: Reg(0),
        },
        Expr::Equal {
            from: Reg(0),
            value: vec![protocol],
        },
        Expr::Payload {
            base: Base::Network,
            offset: 16,
            length: 4,
            to: Reg(0),
        },
        Expr::Equal {
            from: Reg(0),
            value: address.clone(),
        },
        Expr::Payload {
            base: Base::Transport,
            offset: 2,
            length: 2,
            to: Reg(0),
        },
        Expr::Equal {
            from: Reg(0),
            value: 53u16.to_be_bytes().to_vec(),
        },
        Expr::Load {
            to: Reg(0),
            value: address,
        },
        Expr::Load {
            to: Reg(1),
            value: port.to_be_bytes().to_vec(),
        },
        Expr::Dnat {
            family: IPV4,
            address: Reg(0),
            port: Some(Reg(1)),
        },
    ]
}
