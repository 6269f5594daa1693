//! The words the rules are put together from: short conditions and verdicts.

use sys::nft::expr::{ADDRESS_LOCAL, Base, CT_ESTABLISHED_RELATED, CT_STATUS_DNAT, Ct, Meta, Reg};
use sys::nft::{Expr, IPV4, IPV6, Verdict};

pub(super) fn join<const N: usize>(parts: [Vec<Expr>; N]) -> Vec<Expr> {
    parts.into_iter().flatten().collect()
}

pub(super) fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

pub(super) fn drop_it() -> Expr {
    Expr::Verdict(Verdict::Drop)
}

pub(super) fn jump(chain: &str) -> Expr {
    Expr::Verdict(Verdict::Jump(chain.into()))
}

pub(super) fn input_in(set: &str) -> Vec<Expr> {
    vec![
        Expr::Meta {
            key: Meta::InputName,
            to: Reg(0),
        },
        Expr::In {
            set: set.into(),
            from: Reg(0),
        },
    ]
}

pub(super) fn output_in(set: &str) -> Vec<Expr> {
    vec![
        Expr::Meta {
            key: Meta::OutputName,
            to: Reg(0),
        },
        Expr::In {
            set: set.into(),
            from: Reg(0),
        },
    ]
}

pub(super) fn output_not_in(set: &str) -> Vec<Expr> {
    vec![
        Expr::Meta {
            key: Meta::OutputName,
            to: Reg(0),
        },
        Expr::NotIn {
            set: set.into(),
            from: Reg(0),
        },
    ]
}

pub(super) fn pair_in(set: &str) -> Vec<Expr> {
    vec![
        Expr::Meta {
            key: Meta::InputName,
            to: Reg(0),
        },
        Expr::Meta {
            key: Meta::OutputName,
            to: Reg(4),
        },
        Expr::In {
            set: set.into(),
            from: Reg(0),
        },
    ]
}

pub(super) fn family(number: u8) -> Vec<Expr> {
    vec![
        Expr::Meta {
            key: Meta::Family,
            to: Reg(0),
        },
        Expr::Equal {
            from: Reg(0),
            value: vec![number],
        },
    ]
}

pub(super) fn destination_is_local() -> Vec<Expr> {
    let value = ADDRESS_LOCAL.to_ne_bytes().to_vec();
    vec![
        Expr::DestinationType { to: Reg(0) },
        Expr::Equal {
            from: Reg(0),
            value,
        },
    ]
}

/// An IPv4 address at `offset` of the header (12 source, 16 destination) in 127.0.0.0/8.
pub(super) fn source_or_destination_is_loopback(offset: u32) -> Vec<Expr> {
    let mut rule = family(IPV4);
    rule.push(Expr::Payload {
        base: Base::Network,
        offset,
        length: 1,
        to: Reg(0),
    });
    rule.push(Expr::Equal {
        from: Reg(0),
        value: vec![127],
    });
    rule
}

pub(super) fn destination_is_loopback6() -> Vec<Expr> {
    is_loopback6(24)
}

pub(super) fn source_is_loopback6() -> Vec<Expr> {
    is_loopback6(8)
}

/// The IPv6 address at `offset` of the header is ::1.
fn is_loopback6(offset: u32) -> Vec<Expr> {
    let mut rule = family(IPV6);
    rule.push(Expr::Payload {
        base: Base::Network,
        offset,
        length: 16,
        to: Reg(0),
    });
    rule.push(Expr::Equal {
        from: Reg(0),
        value: std::net::Ipv6Addr::LOCALHOST.octets().to_vec(),
    });
    rule
}

/// The bridge it came in by and its source are in the set.
pub(super) fn source_in(set: &str, v4: bool) -> Vec<Expr> {
    let (offset, length) = if v4 { (12, 4) } else { (8, 16) };
    let mut rule = family(if v4 { IPV4 } else { IPV6 });
    rule.push(Expr::Meta {
        key: Meta::InputName,
        to: Reg(0),
    });
    rule.push(Expr::Payload {
        base: Base::Network,
        offset,
        length,
        to: Reg(4),
    });
    rule.push(Expr::In {
        set: set.into(),
        from: Reg(0),
    });
    rule
}

/// What IPv6 finds its neighbours by (and pings).
pub(super) fn neighbour_discovery() -> Vec<Expr> {
    const ICMPV6: u8 = 58;
    let mut rule = family(IPV6);
    rule.push(Expr::Meta {
        key: Meta::Protocol,
        to: Reg(0),
    });
    rule.push(Expr::Equal {
        from: Reg(0),
        value: vec![ICMPV6],
    });
    rule
}

/// Passed along the bridge without being routed, which leaves the input unknown (`br_nf_post_routing`).
pub(super) fn bridged() -> Vec<Expr> {
    vec![
        Expr::Meta {
            key: Meta::InputName,
            to: Reg(0),
        },
        Expr::Equal {
            from: Reg(0),
            value: vec![0; 16],
        },
        Expr::SourceType { to: Reg(0) },
        Expr::NotEqual {
            from: Reg(0),
            value: ADDRESS_LOCAL.to_ne_bytes().to_vec(),
        },
    ]
}

fn connection(key: Ct, bits: u32, set: bool) -> Vec<Expr> {
    let zero = vec![0; 4];
    vec![
        Expr::Ct { key, to: Reg(0) },
        Expr::And {
            at: Reg(0),
            mask: bits.to_ne_bytes().to_vec(),
        },
        if set {
            Expr::NotEqual {
                from: Reg(0),
                value: zero,
            }
        } else {
            Expr::Equal {
                from: Reg(0),
                value: zero,
            }
        },
    ]
}

pub(super) fn established() -> Vec<Expr> {
    connection(Ct::State, CT_ESTABLISHED_RELATED, true)
}

pub(super) fn dnatted(yes: bool) -> Vec<Expr> {
    connection(Ct::Status, CT_STATUS_DNAT, yes)
}
