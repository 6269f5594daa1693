//! The table as data. In nft's words (IPv6 has the same `publish6`):
//!
//! ```text
//! set bridges, masquerade, internal { type ifname }
//! set pairs, noicc { type ifname . ifname }                                # (br, br) of each bridge
//! map publish4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//! map shared4  { type ipv4_addr . inet_proto . inet_service . slot : ipv4_addr . inet_service }
//! map ranges4  { type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval }
//!
//! chain guard       { type filter hook prerouting priority raw;
//!                     iifname @bridges ip daddr 127.0.0.0/8 drop }
//! chain prerouting  { type nat hook prerouting priority dstnat;
//!                     ip daddr 127.0.0.0/8 return; fib daddr type local jump publish }
//! chain output      { type nat hook output priority dstnat;
//!                     ip6 daddr ::1 return; fib daddr type local jump publish }
//! chain publish     { meta nfproto ipv4 jump publish4; meta nfproto ipv6 jump publish6 }
//! chain publish4    { dnat to  ip daddr . meta l4proto . th dport  map @publish4
//!                     dnat to  0.0.0.0  . meta l4proto . th dport  map @publish4
//!                     the same two with `. numgen random mod 64` over @shared4
//!                     dnat to  ip daddr . meta l4proto . th dport  map @ranges4 }
//! chain postrouting { type nat hook postrouting priority srcnat;
//!                     iifname . oifname @pairs ct status dnat masquerade   # through the host back to the same bridge
//!                     oifname @bridges ct status dnat iifname "" fib saddr type != local masquerade  # the same, bridged
//!                     oifname @bridges ip saddr 127.0.0.0/8 masquerade     # from the host's localhost
//!                     iifname @masquerade oifname != @bridges masquerade }
//! chain forward     { type filter hook forward priority filter;
//!                     iifname @bridges jump isolate; oifname @bridges jump isolate }
//! chain isolate     { ct state established,related accept
//!                     iifname . oifname @noicc ct status ! dnat drop
//!                     iifname . oifname @pairs accept
//!                     iifname @internal drop; oifname @internal drop
//!                     ct status dnat accept                                # published, from anywhere
//!                     oifname @bridges drop                                # other networks, and outside
//!                     accept }
//! ```
//!
//! A wildcard binding lies under 0.0.0.0, so one map serves bindings with and without an address. Slots are explained in
//! `ports::projection`. `guard` is what CVE-2020-8558 asks for once `route_localnet` is on; the `return` in
//! `prerouting` keeps a neighbour from reaching a port bound to 127.0.0.1 (moby#45610). ::1 is left alone, and so refused at once: the kernel routes no answer to it that comes from an interface
//! (`rt6_need_strict`), so clients that try ::1 first go on to 127.0.0.1.

mod words;

use crate::record::NetworkRecord;
use sys::nft::expr::{Base, Meta, Reg};
use sys::nft::{
    ChainKind, Change, Element, Expr, Field, Hook, HookPoint, IPV4, IPV6, SetSpec, Value, Verdict,
};
use words::{
    accept, bridged, destination_is_local, destination_is_loopback6, dnatted, drop_it, established,
    family, input_in, join, jump, output_in, output_not_in, pair_in,
    source_or_destination_is_loopback,
};

/// Raised whenever the rules below change: an older table is rebuilt.
pub(crate) const VERSION: u32 = 1;
/// Into how many slots a shared port is divided.
pub(crate) const SLOTS: u32 = 64;

const BRIDGES: &str = "bridges";
const MASQUERADE: &str = "masquerade";
const INTERNAL: &str = "internal";
const PAIRS: &str = "pairs";
const NO_ICC: &str = "noicc";

const NAME: &[Field] = &[Field::InterfaceName];
const NAMES: &[Field] = &[Field::InterfaceName, Field::InterfaceName];

const SETS: [SetSpec<'static>; 11] = [
    set(BRIDGES, NAME, &[]),
    set(MASQUERADE, NAME, &[]),
    set(INTERNAL, NAME, &[]),
    set(PAIRS, NAMES, &[]),
    set(NO_ICC, NAMES, &[]),
    set(
        "publish4",
        &[Field::Ipv4, Field::Protocol, Field::Port],
        &[Field::Ipv4, Field::Port],
    ),
    set(
        "publish6",
        &[Field::Ipv6, Field::Protocol, Field::Port],
        &[Field::Ipv6, Field::Port],
    ),
    set(
        "shared4",
        &[Field::Ipv4, Field::Protocol, Field::Port, Field::Number],
        &[Field::Ipv4, Field::Port],
    ),
    set(
        "shared6",
        &[Field::Ipv6, Field::Protocol, Field::Port, Field::Number],
        &[Field::Ipv6, Field::Port],
    ),
    SetSpec {
        interval: true,
        ..set(
            "ranges4",
            &[Field::Ipv4, Field::Protocol, Field::Port],
            &[Field::Ipv4],
        )
    },
    SetSpec {
        interval: true,
        ..set(
            "ranges6",
            &[Field::Ipv6, Field::Protocol, Field::Port],
            &[Field::Ipv6],
        )
    },
];

const fn set(
    name: &'static str,
    key: &'static [Field],
    data: &'static [Field],
) -> SetSpec<'static> {
    SetSpec {
        name,
        key,
        data,
        interval: false,
    }
}

/// Priorities by name, as nft(8) lists them.
const RAW: i32 = -300;
const DSTNAT: i32 = -100;
const FILTER: i32 = 0;
const SRCNAT: i32 = 100;

fn hooks() -> [(&'static str, Option<Hook>); 9] {
    let hook = |kind, point, priority| {
        Some(Hook {
            kind,
            point,
            priority,
        })
    };
    [
        ("guard", hook(ChainKind::Filter, HookPoint::Prerouting, RAW)),
        (
            "prerouting",
            hook(ChainKind::Nat, HookPoint::Prerouting, DSTNAT),
        ),
        ("output", hook(ChainKind::Nat, HookPoint::Output, DSTNAT)),
        (
            "postrouting",
            hook(ChainKind::Nat, HookPoint::Postrouting, SRCNAT),
        ),
        (
            "forward",
            hook(ChainKind::Filter, HookPoint::Forward, FILTER),
        ),
        ("publish", None),
        ("publish4", None),
        ("publish6", None),
        ("isolate", None),
    ]
}

/// Everything but the table itself and its elements.
pub(crate) fn table() -> Vec<Change<'static>> {
    let mut changes: Vec<Change<'static>> = SETS.into_iter().map(Change::AddSet).collect();
    changes.extend(
        hooks()
            .into_iter()
            .map(|(name, hook)| Change::AddChain { name, hook }),
    );
    changes.extend(
        all_rules()
            .into_iter()
            .map(|(chain, expressions)| Change::AddRule { chain, expressions }),
    );
    changes
}

/// How many rules a whole table has.
pub(crate) fn count() -> usize {
    all_rules().len()
}

type Rule = (&'static str, Vec<Expr>);

fn all_rules() -> Vec<Rule> {
    let mut rules = vec![
        (
            "guard",
            join([
                input_in(BRIDGES),
                source_or_destination_is_loopback(16),
                vec![drop_it()],
            ]),
        ),
        (
            "prerouting",
            join([
                source_or_destination_is_loopback(16),
                vec![Expr::Verdict(Verdict::Return)],
            ]),
        ),
        (
            "prerouting",
            join([destination_is_local(), vec![jump("publish")]]),
        ),
        (
            "output",
            join([
                destination_is_loopback6(),
                vec![Expr::Verdict(Verdict::Return)],
            ]),
        ),
        (
            "output",
            join([destination_is_local(), vec![jump("publish")]]),
        ),
        ("publish", join([family(IPV4), vec![jump("publish4")]])),
        ("publish", join([family(IPV6), vec![jump("publish6")]])),
    ];
    rules.extend(publish_rules("publish4", &V4));
    rules.extend(publish_rules("publish6", &V6));
    rules.extend([
        (
            "postrouting",
            join([
                output_in(BRIDGES),
                dnatted(true),
                bridged(),
                vec![Expr::Masquerade],
            ]),
        ),
        (
            "postrouting",
            join([pair_in(PAIRS), dnatted(true), vec![Expr::Masquerade]]),
        ),
        (
            "postrouting",
            join([
                output_in(BRIDGES),
                source_or_destination_is_loopback(12),
                vec![Expr::Masquerade],
            ]),
        ),
        (
            "postrouting",
            join([
                input_in(MASQUERADE),
                output_not_in(BRIDGES),
                vec![Expr::Masquerade],
            ]),
        ),
        ("forward", join([input_in(BRIDGES), vec![jump("isolate")]])),
        ("forward", join([output_in(BRIDGES), vec![jump("isolate")]])),
        ("isolate", join([established(), vec![accept()]])),
        (
            "isolate",
            join([pair_in(NO_ICC), dnatted(false), vec![drop_it()]]),
        ),
        ("isolate", join([pair_in(PAIRS), vec![accept()]])),
        ("isolate", join([input_in(INTERNAL), vec![drop_it()]])),
        ("isolate", join([output_in(INTERNAL), vec![drop_it()]])),
        ("isolate", join([dnatted(true), vec![accept()]])),
        ("isolate", join([output_in(BRIDGES), vec![drop_it()]])),
        ("isolate", vec![accept()]),
    ]);
    rules
}

/// What differs between the families in `publish4` and `publish6`: lengths in words.
struct Family {
    number: u8,
    address_offset: u32,
    words: u8,
    maps: [&'static str; 3],
}

const V4: Family = Family {
    number: IPV4,
    address_offset: 16,
    words: 1,
    maps: ["publish4", "shared4", "ranges4"],
};
const V6: Family = Family {
    number: IPV6,
    address_offset: 24,
    words: 4,
    maps: ["publish6", "shared6", "ranges6"],
};

fn publish_rules(chain: &'static str, family: &Family) -> Vec<Rule> {
    let [publish, shared, ranges] = family.maps;
    let key = Reg(0);
    let (protocol, port, slot) = (
        Reg(family.words),
        Reg(family.words + 1),
        Reg(family.words + 2),
    );
    let (to, to_port) = (Reg(8), Reg(8 + family.words));
    let length = u32::from(family.words) * 4;
    let destination = Expr::Payload {
        base: Base::Network,
        offset: family.address_offset,
        length,
        to: key,
    };
    let anywhere = Expr::Load {
        to: key,
        value: vec![0; length as usize],
    };
    let rest = || {
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
    };
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

/// The sets a network's bridge is in.
pub(crate) fn membership(network: &NetworkRecord) -> Vec<(&'static str, Vec<Element>)> {
    let bridge = &network.bridge;
    let name = || {
        vec![Element {
            key: Value::default().interface(bridge),
            ..Element::default()
        }]
    };
    let pair = || {
        let key = Value::default().interface(bridge).interface(bridge);
        vec![Element {
            key,
            ..Element::default()
        }]
    };
    let mut sets = vec![(BRIDGES, name()), (PAIRS, pair())];
    if network.internal {
        sets.push((INTERNAL, name()));
    }
    if network.masquerades() {
        sets.push((MASQUERADE, name()));
    }
    if !network.inter_container() {
        sets.push((NO_ICC, pair()));
    }
    sets
}
