//! Where packets for published ports and for services go, and from where they may come.

use super::sets::SERVICES;
use super::{Rule, SLOTS, words};
use sys::nft::expr::{Base, Meta, Reg};
use sys::nft::{Expr, IPV4, IPV6};

/// What differs between the families in `publish4` and `publish6`: lengths in words.
pub(super) struct Family {
    number: u8,
    source_offset: u32,
    address_offset: u32,
    words: u8,
    maps: [&'static str; 3],
    services: &'static str,
    access: [&'static str; 2],
}

pub(super) const V4: Family = Family {
    number: IPV4,
    source_offset: 12,
    address_offset: 16,
    words: 1,
    maps: ["publish4", "shared4", "ranges4"],
    services: SERVICES[0],
    access: ["restricted4", "allowed4"],
};
pub(super) const V6: Family = Family {
    number: IPV6,
    source_offset: 8,
    address_offset: 24,
    words: 4,
    maps: ["publish6", "shared6", "ranges6"],
    services: SERVICES[1],
    access: ["restricted6", "allowed6"],
};

pub(super) fn publish(chain: &'static str, family: &Family) -> Vec<Rule> {
    let [publish, shared, ranges] = family.maps;
    let key = Reg(0);
    let (protocol, port, slot) = (
        Reg(family.words),
        Reg(family.words + 1),
        Reg(family.words + 2),
    );
    let (to, to_port) = (Reg(8), Reg(8 + family.words));
    let length = u32::from(family.words) * 4;
    let destination = family.address(family.address_offset, key);
    let anywhere = Expr::Load {
        to: key,
        value: vec![0; length as usize],
    };
    let rest = || protocol_and_port(protocol, port);
    let rule = |address: &Expr, map: &str, slots: bool, with_port: bool| {
        let mut rule = vec![address.clone()];
        rule.extend(rest());
        rule.extend(slots.then_some(Expr::Random {
            to: slot,
            below: SLOTS,
        }));
        rule.push(Expr::Map {
            map: map.into(),
            from: key,
            to,
        });
        rule.push(Expr::Dnat {
            family: family.number,
            address: to,
            port: with_port.then_some(to_port),
        });
        (chain, rule)
    };
    vec![
        rule(&destination, publish, false, true),
        rule(&anywhere, publish, false, true),
        rule(&destination, shared, true, true),
        rule(&anywhere, shared, true, true),
        rule(&destination, ranges, false, false),
    ]
}

/// A packet for a service's address goes to one of its containers, whatever its protocol.
pub(super) fn service(chain: &'static str, family: &Family) -> Rule {
    let (address, slot) = (Reg(4), Reg(4 + family.words));
    let to = Reg(slot.0 + 1);
    let mut rule = words::family(family.number);
    rule.extend([
        Expr::Meta {
            key: Meta::InputName,
            to: Reg(0),
        },
        family.address(family.address_offset, address),
        Expr::Random {
            to: slot,
            below: SLOTS,
        },
        Expr::Map {
            map: family.services.into(),
            from: Reg(0),
            to,
        },
        Expr::Dnat {
            family: family.number,
            address: to,
            port: None,
        },
    ]);
    (chain, rule)
}

/// Where a port is restricted, packets from elsewhere than is allowed are dropped.
pub(super) fn access(chain: &'static str, family: &Family) -> Rule {
    let [restricted, allowed] = family.access;
    let key = Reg(0);
    let (protocol, port, source) = (
        Reg(family.words),
        Reg(family.words + 1),
        Reg(family.words + 2),
    );
    let mut rule = vec![family.address(family.address_offset, key)];
    rule.extend(protocol_and_port(protocol, port));
    rule.extend([
        Expr::In {
            set: restricted.into(),
            from: key,
        },
        family.address(family.source_offset, source),
        Expr::NotIn {
            set: allowed.into(),
            from: key,
        },
        words::drop_it(),
    ]);
    (chain, rule)
}

fn protocol_and_port(protocol: Reg, port: Reg) -> [Expr; 2] {
    [
        Expr::Meta {
            key: Meta::Protocol,
            to: protocol,
        },
        Expr::Payload {
            base: Base::Transport,
            offset: 2,
            length: 2,
            to: port,
        },
    ]
}

impl Family {
    fn address(&self, offset: u32, to: Reg) -> Expr {
        Expr::Payload {
            base: Base::Network,
            offset,
            length: u32::from(self.words) * 4,
            to,
        }
    }
}
