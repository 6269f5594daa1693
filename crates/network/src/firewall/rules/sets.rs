//! The sets and maps of the table, and those a network's bridge is in.

use crate::record::NetworkRecord;
use sys::nft::{Element, Field, SetSpec, Value};

pub(super) const BRIDGES: &str = "bridges";
pub(super) const MASQUERADE: &str = "masquerade";
pub(super) const INTERNAL: &str = "internal";
pub(super) const PAIRS: &str = "pairs";
pub(super) const NO_ICC: &str = "noicc";
/// Of each family: addresses that may not leave their networks, and the addresses of services.
pub(crate) const CONFINED: [&str; 2] = ["confined4", "confined6"];
pub(crate) const SERVICES: [&str; 2] = ["services4", "services6"];

const NAME: &[Field] = &[Field::InterfaceName];
const NAMES: &[Field] = &[Field::InterfaceName, Field::InterfaceName];

const PORT4: &[Field] = &[Field::Ipv4, Field::Protocol, Field::Port];
const PORT6: &[Field] = &[Field::Ipv6, Field::Protocol, Field::Port];

pub(super) const SETS: [SetSpec<'static>; 19] = [
    set(BRIDGES, NAME, &[]),
    set(MASQUERADE, NAME, &[]),
    set(INTERNAL, NAME, &[]),
    set(PAIRS, NAMES, &[]),
    set(NO_ICC, NAMES, &[]),
    set(CONFINED[0], &[Field::InterfaceName, Field::Ipv4], &[]),
    set(CONFINED[1], &[Field::InterfaceName, Field::Ipv6], &[]),
    set("publish4", PORT4, &[Field::Ipv4, Field::Port]),
    set("publish6", PORT6, &[Field::Ipv6, Field::Port]),
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
    set(
        SERVICES[0],
        &[Field::InterfaceName, Field::Ipv4, Field::Number],
        &[Field::Ipv4],
    ),
    set(
        SERVICES[1],
        &[Field::InterfaceName, Field::Ipv6, Field::Number],
        &[Field::Ipv6],
    ),
    intervals("ranges4", PORT4, &[Field::Ipv4]),
    intervals("ranges6", PORT6, &[Field::Ipv6]),
    intervals("restricted4", PORT4, &[]),
    intervals("restricted6", PORT6, &[]),
    intervals(
        "allowed4",
        &[Field::Ipv4, Field::Protocol, Field::Port, Field::Ipv4],
        &[],
    ),
    intervals(
        "allowed6",
        &[Field::Ipv6, Field::Protocol, Field::Port, Field::Ipv6],
        &[],
    ),
];

const fn intervals(
    name: &'static str,
    key: &'static [Field],
    data: &'static [Field],
) -> SetSpec<'static> {
    SetSpec {
        interval: true,
        ..set(name, key, data)
    }
}

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
