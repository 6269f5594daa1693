//! The table as data. In nft's words (IPv6 has the same with 6):
//!
//! ```text
//! set bridges, masquerade, internal { type ifname }
//! set pairs, noicc  { type ifname . ifname }                               # (br, br) of each bridge
//! set confined4     { type ifname . ipv4_addr }                            # may not leave its networks
//! map publish4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//! map shared4  { type ipv4_addr . inet_proto . inet_service . slot : ipv4_addr . inet_service }
//! map ranges4  { type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval }
//! map services4 { type ifname . ipv4_addr . slot : ipv4_addr }             # the one address of a service
//! set restricted4 { type ipv4_addr . inet_proto . inet_service; flags interval }
//! set allowed4    { type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval }
//!
//! chain guard       { type filter hook prerouting priority raw;
//!                     ip daddr 127.0.0.0/8 iifname @bridges drop }
//! chain prerouting  { type nat hook prerouting priority dstnat;
//!                     ip daddr 127.0.0.0/8 return
//!                     iifname @bridges jump services
//!                     fib daddr type local jump access }
//! chain output      { type nat hook output priority dstnat;
//!                     ip6 daddr ::1 return                                 # only where bridged frames are filtered
//!                     fib daddr type local jump publish }
//! chain services    { dnat to  iifname . ip daddr . numgen random mod 64  map @services4 }
//! chain access      { meta nfproto ipv4 jump access4; meta nfproto ipv6 jump access6 }
//! chain access4     { ip daddr . meta l4proto . th dport @restricted4
//!                     ip daddr . meta l4proto . th dport . ip saddr != @allowed4 drop
//!                     jump publish4 }
//! chain publish     { meta nfproto ipv4 jump publish4; meta nfproto ipv6 jump publish6 }
//! chain publish4    { dnat to  ip daddr . meta l4proto . th dport  map @publish4
//!                     dnat to  0.0.0.0  . meta l4proto . th dport  map @publish4
//!                     the same two with `. numgen random mod 64` over @shared4
//!                     dnat to  ip daddr . meta l4proto . th dport  map @ranges4 }
//! chain postrouting { type nat hook postrouting priority srcnat;
//!                     oifname @bridges jump through_host
//!                     iifname @masquerade oifname != @bridges masquerade }
//! chain through_host {  ip saddr 127.0.0.0/8 masquerade                      # from the host's localhost, and so from ::1
//!                     ct status dnat iifname . oifname @pairs masquerade   # through the host back to the same bridge
//!                     ct status dnat iifname "" fib saddr type != local masquerade }  # the same, bridged
//! chain input       { type filter hook input priority filter;
//!                     ct state established,related accept; iifname @bridges jump confine }
//! chain confine     { meta l4proto ipv6-icmp accept
//!                     iifname . ip saddr @confined4 drop }
//! chain forward     { type filter hook forward priority filter;
//!                     ct state established,related accept
//!                     iifname @bridges jump isolate; oifname @bridges jump enter }
//! chain isolate     { iifname . oifname @noicc ct status ! dnat drop
//!                     iifname . oifname @pairs accept
//!                     iifname . ip saddr @confined4 drop
//!                     iifname @internal drop; oifname @internal drop
//!                     ct status dnat accept                                # published, from another network of ours
//!                     oifname @bridges drop                                # other networks
//!                     accept }
//! chain enter       { oifname @internal drop
//!                     ct status dnat accept                                # published, from outside
//!                     drop }
//! ```
//!
//! Every packet of the host passes these chains, so what most of them have comes first, and asks least: a packet of a
//! connection that exists costs one rule in each of `guard`, `input` and `forward`.
//!
//! A wildcard binding lies under 0.0.0.0, so one map serves bindings with and without an address. Slots are explained in
//! `ports::projection`. `guard` is what CVE-2020-8558 asks for once `route_localnet` is on; the `return` in
//! `prerouting` keeps a neighbour from reaching a port bound to 127.0.0.1 (moby#45610). An answer to ::1 is let in by a route
//! of its own (`bridge`); where bridged frames pass the packet filter the kernel drops it nevertheless (`ip6_rcv_core`
//! sees the address after it was put back), so there ::1 is left alone and refused at once: clients that try it
//! first go on to 127.0.0.1. What is not allowed in is dropped before its destination is rewritten: nobody else's rule is
//! to catch it.

mod publish;
mod sets;
mod words;

pub(crate) use sets::{CONFINED, SERVICES, membership};

use publish::{V4, V6};
use sets::{BRIDGES, INTERNAL, MASQUERADE, NO_ICC, PAIRS, SETS};
use sys::nft::{ChainKind, Change, Expr, Hook, HookPoint, IPV4, IPV6, Verdict};
use words::{
    accept, bridged, destination_is_local, destination_is_loopback6, dnatted, drop_it, established,
    family, input_in, join, jump, neighbour_discovery, output_in, output_not_in, pair_in,
    source_in, source_is_loopback6, source_or_destination_is_loopback,
};

/// Raised whenever the rules below change: an older table is rebuilt.
pub(crate) const VERSION: u32 = 3;
/// Into how many slots a shared port, or a service's address, is divided.
pub(crate) const SLOTS: u32 = 64;

/// Priorities by name, as nft(8) lists them.
const RAW: i32 = -300;
const DSTNAT: i32 = -100;
const FILTER: i32 = 0;
const SRCNAT: i32 = 100;

fn hooks() -> [(&'static str, Option<Hook>); 17] {
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
        ("input", hook(ChainKind::Filter, HookPoint::Input, FILTER)),
        ("publish", None),
        ("publish4", None),
        ("publish6", None),
        ("services", None),
        ("access", None),
        ("access4", None),
        ("access6", None),
        ("confine", None),
        ("isolate", None),
        ("enter", None),
        ("through_host", None),
    ]
}

/// Everything but the table itself and its elements.
///
/// `filtered`: bridged IPv6 frames pass the packet filter.
pub(crate) fn table(filtered: bool) -> Vec<Change<'static>> {
    let mut changes: Vec<Change<'static>> = SETS.into_iter().map(Change::AddSet).collect();
    changes.extend(
        hooks()
            .into_iter()
            .map(|(name, hook)| Change::AddChain { name, hook }),
    );
    changes.extend(
        all_rules(filtered)
            .into_iter()
            .map(|(chain, expressions)| Change::AddRule { chain, expressions }),
    );
    changes
}

/// How many rules a whole table has.
pub(crate) fn count(filtered: bool) -> usize {
    all_rules(filtered).len()
}

type Rule = (&'static str, Vec<Expr>);

fn all_rules(filtered: bool) -> Vec<Rule> {
    let mut rules = Vec::new();
    if filtered {
        let left_alone = vec![Expr::Verdict(Verdict::Return)];
        rules.push(("output", join([destination_is_loopback6(), left_alone])));
    }
    rules.extend([
        (
            "guard",
            join([
                source_or_destination_is_loopback(16),
                input_in(BRIDGES),
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
            join([input_in(BRIDGES), vec![jump("services")]]),
        ),
        (
            "prerouting",
            join([destination_is_local(), vec![jump("access")]]),
        ),
        (
            "output",
            join([destination_is_local(), vec![jump("publish")]]),
        ),
        ("publish", join([family(IPV4), vec![jump("publish4")]])),
        ("publish", join([family(IPV6), vec![jump("publish6")]])),
        ("access", join([family(IPV4), vec![jump("access4")]])),
        ("access", join([family(IPV6), vec![jump("access6")]])),
        publish::service("services", &V4),
        publish::service("services", &V6),
        publish::access("access4", &V4),
        publish::access("access6", &V6),
        ("access4", vec![jump("publish4")]),
        ("access6", vec![jump("publish6")]),
    ]);
    rules.extend(publish::publish("publish4", &V4));
    rules.extend(publish::publish("publish6", &V6));
    rules.extend(source_rules());
    rules.extend(filter_rules());
    rules
}

/// Where an answer must come back through us.
fn source_rules() -> Vec<Rule> {
    let back = |condition: Vec<Expr>| ("through_host", join([condition, vec![Expr::Masquerade]]));
    vec![
        (
            "postrouting",
            join([output_in(BRIDGES), vec![jump("through_host")]]),
        ),
        (
            "postrouting",
            join([
                input_in(MASQUERADE),
                output_not_in(BRIDGES),
                vec![Expr::Masquerade],
            ]),
        ),
        back(source_or_destination_is_loopback(12)),
        back(join([dnatted(true), pair_in(PAIRS)])),
        back(join([dnatted(true), bridged()])),
        back(source_is_loopback6()),
    ]
}

fn filter_rules() -> Vec<Rule> {
    let confined = |chain: &'static str, set: usize| {
        (
            chain,
            join([source_in(CONFINED[set], set == 0), vec![drop_it()]]),
        )
    };
    vec![
        ("input", join([established(), vec![accept()]])),
        ("input", join([input_in(BRIDGES), vec![jump("confine")]])),
        ("confine", join([neighbour_discovery(), vec![accept()]])),
        confined("confine", 0),
        confined("confine", 1),
        ("forward", join([established(), vec![accept()]])),
        ("forward", join([input_in(BRIDGES), vec![jump("isolate")]])),
        ("forward", join([output_in(BRIDGES), vec![jump("enter")]])),
        (
            "isolate",
            join([pair_in(NO_ICC), dnatted(false), vec![drop_it()]]),
        ),
        ("isolate", join([pair_in(PAIRS), vec![accept()]])),
        confined("isolate", 0),
        confined("isolate", 1),
        ("isolate", join([input_in(INTERNAL), vec![drop_it()]])),
        ("isolate", join([output_in(INTERNAL), vec![drop_it()]])),
        ("isolate", join([dnatted(true), vec![accept()]])),
        ("isolate", join([output_in(BRIDGES), vec![drop_it()]])),
        ("isolate", vec![accept()]),
        ("enter", join([output_in(INTERNAL), vec![drop_it()]])),
        ("enter", join([dnatted(true), vec![accept()]])),
        ("enter", vec![drop_it()]),
    ]
}
