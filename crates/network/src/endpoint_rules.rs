//! What single endpoints have in the packet filter: connections that may not leave their networks, and membership in a service
//! that has one address.
//!
//! One file each, `networks/<network>/rules/<container id>` under the run root, only for endpoints that have any of it. The
//! files are the truth; [`settle`] moves the kernel's sets and the bridge's addresses to what they say, under the packet
//! filter's lock.
//!
//! A service's address is leased to the service itself (`service:<name>`), so it stays the same while containers come and go,
//! as long as the network does. The bridge has it too, that somebody answers ARP and pings; its connections are led to the
//! containers in turn, and through the host, whose address the containers therefore see.
//!
//! Source: Swarm's `endpoint_mode: vip` (docs.docker.com, "Swarm mode key concepts"); compose-spec `deploy.endpoint_mode`.

use crate::firewall::{self, Firewall, rules};
use crate::lease::{self, Wish};
use crate::ports::{Standing, keep_best};
use crate::record::{NetworkRecord, Pool};
use crate::registry;
use serde::{Deserialize, Serialize};
use state::{Durability, Layout, record};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use sys::netlink::{self, Request, RouteSocket};
use sys::nft::{Change, Element, Value};

/// Why an endpoint's rules could not be set or taken back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot give service {service} an address on network {network}")]
    Lease {
        service: String,
        network: String,
        source: lease::Error,
    },
    #[error("cannot put the addresses of services on bridge {bridge}")]
    Bridge {
        bridge: String,
        source: netlink::Error,
    },
    #[error("cannot write the rules of an endpoint on network {network}")]
    Record {
        network: String,
        source: record::Error,
    },
    #[error(transparent)]
    Network(#[from] Box<registry::Error>),
    #[error(transparent)]
    Firewall(#[from] firewall::Error),
}

/// One endpoint's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointRule {
    pub(crate) v4: Option<Ipv4Addr>,
    pub(crate) v6: Option<Ipv6Addr>,
    /// Connections of its own lead nowhere but to its neighbours.
    pub(crate) confined: bool,
    pub(crate) service: Option<Member>,
}

/// A container of a service with one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) service: String,
    /// Nanoseconds since the epoch: members keep their order.
    since: u64,
    #[serde(flatten)]
    standing: Standing,
}

const HOLDER: &str = "service:";

/// The endpoint's rules come into force; the addresses of its service, if it is of one.
pub(crate) fn join(
    layout: &Layout,
    network: &NetworkRecord,
    container: &str,
    (v4, v6): (Option<Ipv4Addr>, Option<Ipv6Addr>),
    (confined, service): (bool, Option<&str>),
    serving: bool,
) -> Result<Vec<IpAddr>, Error> {
    let firewall = Firewall::open(layout)?;
    let mut addresses = Vec::new();
    if let Some(service) = service {
        let pools = [
            network.pool_v4().filter(|_| v4.is_some()),
            network.pool_v6().filter(|_| v6.is_some()),
        ];
        for pool in pools.into_iter().flatten() {
            addresses.push(address_of(layout, network, pool, service)?);
        }
    }
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let rule = EndpointRule {
        v4,
        v6,
        confined,
        service: service.map(|service| Member {
            service: service.into(),
            since: since.as_nanos() as u64,
            standing: Standing {
                serving,
                ..Standing::default()
            },
        }),
    };
    let written = |source| Error::Record {
        network: network.name.clone(),
        source,
    };
    let dir = directory(layout, &network.name);
    if !dir.is_dir() {
        std::fs::create_dir_all(&dir).map_err(|source| {
            written(record::Error::Write {
                path: dir.clone(),
                source,
            })
        })?;
    }
    record::write(&dir.join(container), &rule, Durability::Volatile).map_err(written)?;
    settle(layout, &firewall, network)?;
    Ok(addresses)
}

/// The endpoint's rules go; nothing to do where it has none.
pub(crate) fn leave(layout: &Layout, network: &str, container: &str) -> Result<(), Error> {
    let path = directory(layout, network).join(container);
    if !path.exists() {
        return Ok(());
    }
    let firewall = Firewall::open(layout)?;
    record::remove(&path).map_err(|source| Error::Record {
        network: network.into(),
        source,
    })?;
    match registry::find(layout, network) {
        Ok(network) => settle(layout, &firewall, &network),
        // Removed meanwhile, and its part of the table with it.
        Err(registry::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(Box::new(source).into()),
    }
}

/// Takes the rules of every container for which `gone` holds.
pub(crate) fn sweep(
    layout: &Layout,
    network: &str,
    gone: &dyn Fn(&str) -> bool,
) -> Result<(), Error> {
    for container in rules_of(layout, network).into_keys().filter(|id| gone(id)) {
        leave(layout, network, &container)?;
    }
    Ok(())
}

/// Whether a lease is a service's, and its service still has containers here.
pub(crate) fn keeps_lease(layout: &Layout, network: &str, holder: &str) -> bool {
    holder.strip_prefix(HOLDER).is_some_and(|service| {
        let rules = rules_of(layout, network);
        rules
            .values()
            .filter_map(|rule| rule.service.as_ref())
            .any(|member| member.service == service)
    })
}

/// Changes where a container stands in the balance of its service.
pub(crate) fn turn(
    layout: &Layout,
    container: &str,
    edit: &dyn Fn(&mut Standing),
) -> Result<(), Error> {
    let networks = std::fs::read_dir(layout.run_networks())
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    for name in networks.filter_map(|entry| entry.file_name().into_string().ok()) {
        let path = directory(layout, &name).join(container);
        let Ok(Some(mut rule)) = record::read::<EndpointRule>(&path) else {
            continue;
        };
        let Some(member) = &mut rule.service else {
            continue;
        };
        let before = member.standing;
        edit(&mut member.standing);
        if member.standing == before {
            continue;
        }
        let firewall = Firewall::open(layout)?;
        record::write(&path, &rule, Durability::Volatile).map_err(|source| Error::Record {
            network: name.clone(),
            source,
        })?;
        let network = registry::find(layout, &name).map_err(Box::new)?;
        settle(layout, &firewall, &network)?;
    }
    Ok(())
}

/// The address the service has in the pool; leased at the first call.
fn address_of(
    layout: &Layout,
    network: &NetworkRecord,
    pool: &Pool,
    service: &str,
) -> Result<IpAddr, Error> {
    let failed = |source| Error::Lease {
        service: service.into(),
        network: network.name.clone(),
        source,
    };
    let holder = format!("{HOLDER}{service}");
    let known = lease::list(layout, &network.name).map_err(failed)?;
    let mine = known
        .into_iter()
        .find(|lease| lease.holder == holder && pool.subnet.contains(lease.address));
    match mine {
        Some(lease) => Ok(lease.address),
        None => {
            lease::take_dynamic(layout, network, pool, Wish::default(), &holder).map_err(failed)
        }
    }
}

/// The kernel's sets and the bridge's addresses become what the files say.
fn settle(layout: &Layout, firewall: &Firewall<'_>, network: &NetworkRecord) -> Result<(), Error> {
    put_addresses(layout, network)?;
    let wanted = elements(layout, network);
    let of_bridge = Value::default().interface(&network.bridge).0;
    let mut changes = Vec::new();
    for set in rules::CONFINED.into_iter().chain(rules::SERVICES) {
        let there = firewall
            .elements(set)?
            .into_iter()
            .filter(|e| e.key.0.starts_with(&of_bridge));
        let there: BTreeMap<Value, Option<Value>> = there.map(|e| (e.key, e.data)).collect();
        let wanted: BTreeMap<Value, &Element> = wanted
            .iter()
            .filter(|(s, _)| *s == set)
            .map(|(_, e)| (e.key.clone(), e))
            .collect();
        let stale = there
            .iter()
            .filter(|(key, data)| wanted.get(*key).is_none_or(|e| e.data != **data));
        let stale: Vec<Element> = stale
            .map(|(key, data)| Element {
                key: key.clone(),
                data: data.clone(),
                ..Element::default()
            })
            .collect();
        let missing = wanted
            .iter()
            .filter(|(key, e)| there.get(*key) != Some(&e.data));
        let missing: Vec<Element> = missing.map(|(_, e)| (*e).clone()).collect();
        changes.extend(
            Element::split(stale)
                .into_iter()
                .map(|elements| Change::DeleteElements { set, elements }),
        );
        changes.extend(
            Element::split(missing)
                .into_iter()
                .map(|elements| Change::AddElements { set, elements }),
        );
    }
    Ok(firewall.apply(changes)?)
}

/// Whom a service's containers are told by: service, then in the order they came, those that serve or else all.
fn members(rules: &BTreeMap<String, EndpointRule>) -> BTreeMap<&str, Vec<&EndpointRule>> {
    let mut services: BTreeMap<&str, Vec<(&Member, &EndpointRule)>> = BTreeMap::new();
    for rule in rules.values() {
        if let Some(member) = &rule.service {
            services
                .entry(&member.service)
                .or_default()
                .push((member, rule));
        }
    }
    services
        .into_iter()
        .map(|(service, members)| (service, serving(members)))
        .collect()
}

fn serving<'a>(mut members: Vec<(&Member, &'a EndpointRule)>) -> Vec<&'a EndpointRule> {
    keep_best(&mut members, |(member, _)| member.standing);
    members.sort_by_key(|(member, _)| member.since);
    members.into_iter().map(|(_, rule)| rule).collect()
}

/// The elements of one network, each with its set.
pub(crate) fn elements(layout: &Layout, network: &NetworkRecord) -> Vec<(&'static str, Element)> {
    let rules = rules_of(layout, &network.name);
    if rules.is_empty() {
        return Vec::new();
    }
    let name = || Value::default().interface(&network.bridge);
    let mut found = Vec::new();
    for (container, rule) in rules.iter().filter(|(_, rule)| rule.confined) {
        for address in addresses(rule) {
            let key = name().field(&octets(address));
            let comment = container.get(..12).map(Into::into);
            found.push((
                pick(rules::CONFINED, address),
                Element {
                    key,
                    comment,
                    ..Element::default()
                },
            ));
        }
    }
    let leases = lease::list(layout, &network.name).unwrap_or_default();
    for (service, members) in members(&rules) {
        let holder = format!("{HOLDER}{service}");
        for lease in leases.iter().filter(|lease| lease.holder == holder) {
            let fits = |to: &IpAddr| to.is_ipv4() == lease.address.is_ipv4();
            let targets: Vec<IpAddr> = members
                .iter()
                .filter_map(|rule| addresses(rule).find(|to| fits(to)))
                .collect();
            for slot in 0..rules::SLOTS {
                let Some(to) = targets.get(slot as usize % targets.len().max(1)) else {
                    continue;
                };
                let key = name()
                    .field(&octets(lease.address))
                    .field(&slot.to_ne_bytes());
                let element = Element {
                    key,
                    data: Some(Value::default().field(&octets(*to))),
                    comment: Some(service.to_owned()),
                    ..Element::default()
                };
                found.push((pick(rules::SERVICES, lease.address), element));
            }
        }
    }
    found
}

/// The bridge has the addresses of services that have containers, and no others of services.
fn put_addresses(layout: &Layout, network: &NetworkRecord) -> Result<(), Error> {
    let leases = lease::list(layout, &network.name).unwrap_or_default();
    let of_services: Vec<_> = leases
        .iter()
        .filter(|lease| lease.holder.starts_with(HOLDER))
        .collect();
    if of_services.is_empty() {
        return Ok(());
    }
    let failed = |source| Error::Bridge {
        bridge: network.bridge.clone(),
        source,
    };
    let socket = RouteSocket::open().map_err(failed)?;
    let Ok(Some(index)) = socket.index_of(&network.bridge) else {
        return Ok(());
    };
    let there = socket
        .addresses()
        .map_err(failed)?
        .into_iter()
        .filter(|a| a.interface == index);
    let there: BTreeSet<IpAddr> = there.map(|a| a.address).collect();
    let rules = rules_of(layout, &network.name);
    let members = members(&rules);
    for lease in of_services {
        let address = lease.address;
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let in_use = members.contains_key(&lease.holder[HOLDER.len()..]);
        let request = match (in_use, there.contains(&address)) {
            (true, false) => Request::AddAddress {
                index,
                address,
                prefix,
            },
            (false, true) => Request::DeleteAddress {
                index,
                address,
                prefix,
            },
            _ => continue,
        };
        socket.apply(&[request]).map_err(failed)?;
    }
    Ok(())
}

fn addresses(rule: &EndpointRule) -> impl Iterator<Item = IpAddr> + use<> {
    [rule.v4.map(IpAddr::V4), rule.v6.map(IpAddr::V6)]
        .into_iter()
        .flatten()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn pick(sets: [&'static str; 2], address: IpAddr) -> &'static str {
    sets[usize::from(address.is_ipv6())]
}

fn rules_of(layout: &Layout, network: &str) -> BTreeMap<String, EndpointRule> {
    let entries = std::fs::read_dir(directory(layout, network))
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let read = |entry: std::fs::DirEntry| {
        let id = entry
            .file_name()
            .into_string()
            .ok()
            .filter(|id| !id.starts_with('.'))?;
        Some((id, record::read(&entry.path()).ok()??))
    };
    entries.filter_map(read).collect()
}

fn directory(layout: &Layout, network: &str) -> PathBuf {
    layout.run_network(network).join("rules")
}
