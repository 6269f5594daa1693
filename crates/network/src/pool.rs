//! Which subnets a new network gets: what was asked for, checked, or a slice nobody uses.
//!
//! Automatic slices: 172.18.0.0 to 172.31.0.0 in `/20`s, then 192.168.0.0 in `/20`s: 240 networks of 4,094 addresses
//! (Docker's `/16`s end after 30). One that meets a route of the host (a VPN, another engine) is passed over. The
//! configuration may name other pools (`default-address-pools`).
//!
//! Source: RFC 1918, RFC 4193 (IPv6 prefixes are `fd` and 40 random bits); dockerd reference for `default-address-pools`.

use crate::record::{Driver, NetworkRecord, Pool};
use crate::subnet::{Subnet, SubnetError};
use model::network::{IpamConfig, NetworkSpec};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use sys::netlink::{self, RouteSocket};

/// Why no subnet was found or the wanted one is not possible.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error(transparent)]
    Subnet(#[from] SubnetError),
    #[error(
        "invalid pool request: Pool overlaps with other one on this address space ({subnet} meets {other})"
    )]
    Overlap { subnet: Subnet, other: String },
    #[error("subnet {subnet} has no room for a gateway and a container: use a shorter prefix")]
    TooSmall { subnet: Subnet },
    #[error("{what} {value:?} is not an IP address")]
    Address { what: &'static str, value: String },
    #[error("no matching subnet for {what} {address}")]
    Outside { what: &'static str, address: String },
    #[error("a gateway, ip-range or aux-address needs a subnet: give one with --subnet")]
    NoSubnet,
    #[error("{family} is off for this network: take the subnet {subnet} away, or turn {family} on")]
    Off {
        subnet: Subnet,
        family: &'static str,
    },
    #[error("network has several {family} subnets; a bridge carries one")]
    Several { family: &'static str },
    #[error(
        "invalid default address pool {base} of size {size}: the size lies between {base}'s prefix and {most}"
    )]
    Slice { base: Subnet, size: u8, most: u8 },
    #[error(
        "all predefined address pools have been fully subnetted: remove networks nobody uses (network prune), or give one with --subnet"
    )]
    Exhausted,
    #[error("cannot read the host's routes")]
    Routes { source: netlink::Error },
    #[error("cannot draw a random subnet")]
    Random { source: io::Error },
}

/// Where networks get subnets that ask for none: `base` in slices with a prefix of `size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    pub base: Subnet,
    pub size: u8,
}

/// The pools in the order they are used in; of a family that has none here the built-in ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPools(Vec<AddressPool>);

impl AddressPools {
    pub fn new(pools: Vec<AddressPool>) -> Result<Self, PoolError> {
        for AddressPool { base, size } in pools.iter().copied() {
            // A gateway and a container must fit.
            let most = if base.is_ipv4() { 30 } else { 126 };
            if !(base.prefix()..=most).contains(&size) {
                return Err(PoolError::Slice { base, size, most });
            }
        }
        Ok(Self(pools))
    }

    fn free(&self, v4: bool, taken: &[Taken]) -> Result<Subnet, PoolError> {
        let of_family: Vec<&AddressPool> = self
            .0
            .iter()
            .filter(|pool| pool.base.is_ipv4() == v4)
            .collect();
        let found = match (of_family.is_empty(), v4) {
            (true, true) => free(slices(), taken),
            (true, false) => Some(unique_local()?),
            (false, _) => of_family.iter().find_map(|pool| pool.free(taken)),
        };
        found.ok_or(PoolError::Exhausted)
    }
}

impl AddressPool {
    /// Past what a slice meets in one step: a large pool may have more slices than one can walk.
    fn free(&self, taken: &[Taken]) -> Option<Subnet> {
        let mut offset = 0u128;
        while let Some(address) = self.base.nth(offset) {
            let slice = Subnet::around(address, self.size);
            let Some(met) = taken.iter().find(|taken| taken.meets(&slice)) else {
                return Some(slice);
            };
            let over = if met.subnet.prefix() < self.size {
                met.subnet
            } else {
                slice
            };
            let begin = self.base.offset_of(over.address()).unwrap_or_default();
            offset = begin.checked_add(over.size())?;
        }
        None
    }
}

/// Something the subnet must not meet.
struct Taken {
    subnet: Subnet,
    what: String,
    /// A route that leads to an interface of the host itself, not through a gateway.
    on_link: bool,
}

/// The pools of a new network; a bridge has at most one a family.
pub(crate) fn choose(
    spec: &NetworkSpec,
    driver: Driver,
    others: &[NetworkRecord],
    defaults: &AddressPools,
) -> Result<Vec<Pool>, PoolError> {
    let mut taken = of_networks(others);
    let routes = of_routes(others)?;
    // A macvlan or ipvlan is on a network that the host is on, too.
    let on_link = routes
        .iter()
        .filter(|r| r.on_link && driver == Driver::Bridge);
    let forbidden: Vec<&Taken> = taken.iter().chain(on_link).collect();
    let mut pools = asked_pools(spec, &forbidden)?;
    for (v4, family) in [(true, "IPv4"), (false, "IPv6")] {
        let of_family = pools.iter().filter(|pool| pool.subnet.is_ipv4() == v4);
        if driver == Driver::Bridge && of_family.count() > 1 {
            return Err(PoolError::Several { family });
        }
    }
    let has = |v4| pools.iter().any(|pool: &Pool| pool.subnet.is_ipv4() == v4);
    let (wants_v4, wants_v6) = (
        spec.ipv4 != Some(false) && !has(true),
        spec.ipv6 == Some(true) && !has(false),
    );
    taken.extend(routes);
    if wants_v4 {
        pools.insert(0, with_first_as_gateway(defaults.free(true, &taken)?)?);
    }
    if wants_v6 {
        pools.push(with_first_as_gateway(defaults.free(false, &taken)?)?);
    }
    Ok(pools)
}

/// The subnets that are asked for, of families that the network has.
fn asked_pools(spec: &NetworkSpec, forbidden: &[&Taken]) -> Result<Vec<Pool>, PoolError> {
    let mut pools: Vec<Pool> = Vec::new();
    for config in &spec.ipam {
        let Some(text) = config.subnet.as_deref().filter(|text| !text.is_empty()) else {
            if config.gateway.is_some()
                || config.ip_range.is_some()
                || !config.aux_addresses.is_empty()
            {
                return Err(PoolError::NoSubnet);
            }
            continue;
        };
        let pool = asked(text.parse()?, config)?;
        let subnet = pool.subnet;
        let off = if subnet.is_ipv4() {
            spec.ipv4
        } else {
            spec.ipv6
        } == Some(false);
        if off {
            let family = if subnet.is_ipv4() { "IPv4" } else { "IPv6" };
            return Err(PoolError::Off { subnet, family });
        }
        if let Some(met) = forbidden.iter().find(|taken| taken.meets(&subnet)) {
            let other = met.what.clone();
            return Err(PoolError::Overlap { subnet, other });
        }
        if let Some(own) = pools.iter().find(|own| own.subnet.overlaps(&subnet)) {
            let other = format!("{} of the same network", own.subnet);
            return Err(PoolError::Overlap { subnet, other });
        }
        pools.push(pool);
    }
    Ok(pools)
}

/// 172.17.0.0/16 as Docker's, or another slice where that is taken.
pub(crate) fn for_default_bridge(others: &[NetworkRecord]) -> Result<Pool, PoolError> {
    let mut taken = of_networks(others);
    taken.extend(of_routes(others)?);
    let first = Subnet::around(Ipv4Addr::new(172, 17, 0, 0).into(), 16);
    let subnet =
        free(std::iter::once(first).chain(slices()), &taken).ok_or(PoolError::Exhausted)?;
    with_first_as_gateway(subnet)
}

fn slices() -> impl Iterator<Item = Subnet> {
    let twenty = |base: [u8; 2]| {
        (0..16u8)
            .map(move |n| Subnet::around(Ipv4Addr::new(base[0], base[1], n * 16, 0).into(), 20))
    };
    (18..=31u8)
        .flat_map(move |n| twenty([172, n]))
        .chain(twenty([192, 168]))
}

fn free(candidates: impl Iterator<Item = Subnet>, taken: &[Taken]) -> Option<Subnet> {
    candidates
        .into_iter()
        .find(|candidate| !taken.iter().any(|t| t.meets(candidate)))
}

impl Taken {
    fn meets(&self, subnet: &Subnet) -> bool {
        self.subnet.overlaps(subnet)
    }
}

fn of_networks(others: &[NetworkRecord]) -> Vec<Taken> {
    let each = |network: &NetworkRecord| {
        let what = format!("network {}", network.name);
        network
            .pools
            .iter()
            .map(move |pool| Taken {
                subnet: pool.subnet,
                what: what.clone(),
                on_link: true,
            })
            .collect::<Vec<_>>()
    };
    others.iter().flat_map(each).collect()
}

/// The host's routes, except default ones and those of our own bridges (their networks are counted already).
fn of_routes(others: &[NetworkRecord]) -> Result<Vec<Taken>, PoolError> {
    let socket = RouteSocket::open().map_err(|source| PoolError::Routes { source })?;
    let routes = socket
        .routes()
        .map_err(|source| PoolError::Routes { source })?;
    let mut taken = Vec::new();
    for route in routes {
        let multicast = route.destination.is_multicast();
        let link_local = matches!(route.destination, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if route.prefix == 0 || multicast || link_local {
            continue;
        }
        let interface = route
            .interface
            .and_then(|index| socket.name_of(index))
            .unwrap_or_default();
        if others.iter().any(|network| network.bridge == interface) {
            continue;
        }
        let subnet = Subnet::around(route.destination, route.prefix);
        let what = format!("the host's route {subnet} dev {interface}");
        taken.push(Taken {
            subnet,
            what,
            on_link: route.gateway.is_none(),
        });
    }
    Ok(taken)
}

fn unique_local() -> Result<Subnet, PoolError> {
    let random: [u8; 5] = crate::random::bytes().map_err(|source| PoolError::Random { source })?;
    let mut bytes = [0u8; 16];
    bytes[0] = 0xfd;
    bytes[1..6].copy_from_slice(&random);
    Ok(Subnet::around(Ipv6Addr::from(bytes).into(), 64))
}

fn with_first_as_gateway(subnet: Subnet) -> Result<Pool, PoolError> {
    let gateway = subnet
        .nth(1)
        .filter(|_| subnet.size() >= 4)
        .ok_or(PoolError::TooSmall { subnet })?;
    Ok(Pool {
        subnet,
        gateway,
        ip_range: None,
        aux_addresses: BTreeMap::new(),
    })
}

/// A pool as the user wants it: everything in it must lie in its subnet.
fn asked(subnet: Subnet, config: &IpamConfig) -> Result<Pool, PoolError> {
    let mut pool = with_first_as_gateway(subnet)?;
    if let Some(text) = config.ip_range.as_deref().filter(|text| !text.is_empty()) {
        // Docker takes an ip-range with host bits, too.
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let range = match (address.parse::<IpAddr>(), prefix.parse::<u8>()) {
            (Ok(address), Ok(prefix)) if prefix <= if address.is_ipv4() { 32 } else { 128 } => {
                Subnet::around(address, prefix)
            }
            _ => return Err(SubnetError::Form { text: text.into() }.into()),
        };
        if !range.is_within(&subnet) {
            return Err(PoolError::Outside {
                what: "range",
                address: text.into(),
            });
        }
        pool.ip_range = Some(range);
    }
    if let Some(text) = config.gateway.as_deref().filter(|text| !text.is_empty()) {
        pool.gateway = inside("gateway", text, &subnet)?;
    }
    for (name, text) in &config.aux_addresses {
        pool.aux_addresses
            .insert(name.clone(), inside("aux-address", text, &subnet)?);
    }
    Ok(pool)
}

fn inside(what: &'static str, text: &str, subnet: &Subnet) -> Result<IpAddr, PoolError> {
    // The gateway may be written with its prefix, as Docker accepts.
    let bare = text.split('/').next().unwrap_or(text);
    let address: IpAddr = bare.parse().map_err(|_| PoolError::Address {
        what,
        value: text.into(),
    })?;
    if !subnet.is_host(address) {
        return Err(PoolError::Outside {
            what,
            address: text.into(),
        });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Taken {
        Taken {
            subnet: text.parse().unwrap(),
            what: text.into(),
            on_link: true,
        }
    }

    #[test]
    fn slices_avoid_what_is_taken_and_end_after_240() {
        assert_eq!(free(slices(), &[]).unwrap().to_string(), "172.18.0.0/20");
        let vpn = [taken("172.16.0.0/12")];
        assert_eq!(free(slices(), &vpn).unwrap().to_string(), "192.168.0.0/20");
        let all = [taken("172.16.0.0/12"), taken("192.168.0.0/16")];
        assert_eq!(free(slices(), &all), None);
        assert_eq!(slices().count(), 240);
    }

    #[test]
    fn configured_pools_are_cut_into_slices_of_their_size() {
        let pool = |base: &str, size| AddressPool {
            base: base.parse().unwrap(),
            size,
        };
        let pools = AddressPools::new(vec![
            pool("10.8.0.0/22", 24),
            pool("10.99.0.0/28", 28),
            pool("fd12::/16", 64),
        ])
        .unwrap();
        let next = |v4: bool, all: &[&str]| {
            let all: Vec<Taken> = all.iter().map(|text| taken(text)).collect();
            pools.free(v4, &all).map(|subnet| subnet.to_string())
        };
        assert_eq!(next(true, &[]).unwrap(), "10.8.0.0/24");
        assert_eq!(
            next(true, &["10.8.0.0/23", "10.8.2.7/32"]).unwrap(),
            "10.8.3.0/24"
        );
        assert_eq!(
            next(true, &["10.8.0.0/16"]).unwrap(),
            "10.99.0.0/28",
            "the next pool"
        );
        assert!(matches!(
            next(true, &["10.0.0.0/8"]),
            Err(PoolError::Exhausted)
        ));
        assert_eq!(
            next(false, &["fd12::/17"]).unwrap(),
            "fd12:8000::/64",
            "in one step"
        );
        for (base, size) in [("10.0.0.0/16", 8), ("10.0.0.0/16", 31), ("fd00::/8", 127)] {
            assert!(
                AddressPools::new(vec![pool(base, size)]).is_err(),
                "{base} {size}"
            );
        }
    }

    #[test]
    fn an_asked_pool_must_hold_its_gateway_range_and_aux_addresses() {
        let subnet: Subnet = "172.16.238.0/24".parse().unwrap();
        let config = |gateway: &str, range: &str, aux: &str| IpamConfig {
            subnet: None,
            gateway: Some(gateway.into()),
            ip_range: Some(range.into()),
            aux_addresses: [("router".to_owned(), aux.to_owned())].into(),
        };
        let pool = asked(
            subnet,
            &config("172.16.238.1", "172.16.238.128/25", "172.16.238.5"),
        )
        .unwrap();
        assert_eq!(pool.ip_range.unwrap().to_string(), "172.16.238.128/25");
        let refused = |gateway, range, aux| {
            asked(subnet, &config(gateway, range, aux))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused("10.0.0.1", "", ""),
            "no matching subnet for gateway 10.0.0.1"
        );
        assert!(
            refused("172.16.238.255", "", "").contains("gateway"),
            "the broadcast address is no host"
        );
        assert!(refused("172.16.238.1", "10.0.0.0/25", "").contains("range 10.0.0.0/25"));
        assert!(refused("172.16.238.1", "172.16.238.0/24", "x").contains("aux-address \"x\""));
        let small = asked("10.0.0.0/31".parse().unwrap(), &IpamConfig::default()).unwrap_err();
        assert!(small.to_string().contains("no room"));
    }
}
