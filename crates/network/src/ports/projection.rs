//! From claims to elements of the table's maps, and from one state of the maps to the next.
//!
//! - A port on its own is an element of `publish4`/`publish6`.
//! - A run of ports that keep their number is one interval element of `ranges4`/`ranges6`.
//! - A port that several replicas share is [`SLOTS`] elements of `shared4`/`shared6`: the kernel draws a slot for each new
//!   connection, and slot `s` belongs to member `s mod n` in order of joining. A member that joins or leaves changes at
//!   most 64 elements in one transaction; connections that exist keep their member, since conntrack remembers it. Beyond
//!   64 members the later ones wait until an earlier one leaves.
//!
//! - A port that not everybody may reach is an element of `restricted4`/`restricted6`, and each network that may one of
//!   `allowed4`/`allowed6`. Of replicas the one that joined last says which: it has the latest settings.
//!
//! A member alone is kept in `publish*`, so a service of one replica costs what a container costs.

use super::{Claim, Error, keep_best};
use crate::firewall::Firewall;
use crate::firewall::rules::SLOTS;
use model::access::SourceNetwork;
use model::port::Protocol;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use sys::nft::{Change, Element, Value};

const MAPS: [&str; 10] = [
    "publish4",
    "publish6",
    "shared4",
    "shared6",
    "ranges4",
    "ranges6",
    "restricted4",
    "restricted6",
    "allowed4",
    "allowed6",
];

/// The map, the key, and the end of the key where it is an interval.
type Key = (&'static str, Value, Option<Value>);

/// What the maps hold: (map, key, end of the key) to (datum, comment). In a set the datum is empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Projection {
    elements: BTreeMap<Key, (Value, Option<String>)>,
}

impl Projection {
    pub(crate) fn of(claims: &[Claim]) -> Self {
        let mut projection = Self::default();
        let mut services: BTreeMap<_, Vec<&Claim>> = BTreeMap::new();
        for claim in claims {
            // Without a group nobody shares: the container itself is the group.
            let group = claim.group.as_ref().unwrap_or(&claim.container);
            services
                .entry((
                    claim.protocol,
                    claim.host_ip,
                    claim.first,
                    claim.last,
                    group,
                ))
                .or_default()
                .push(claim);
        }
        for mut members in services.into_values() {
            keep_best(&mut members, |member| member.standing);
            members.sort_by(|a, b| (a.since, &a.container).cmp(&(b.since, &b.container)));
            projection.add_service(&members);
            projection.add_access(&members);
        }
        projection
    }

    /// What the kernel's maps really hold.
    pub(crate) fn held_by(firewall: &Firewall<'_>) -> Result<Self, Error> {
        let mut projection = Self::default();
        for map in MAPS {
            for element in firewall.elements(map)? {
                let data = element.data.unwrap_or_default();
                projection
                    .elements
                    .insert((map, element.key, element.key_end), (data, element.comment));
            }
        }
        Ok(projection)
    }

    fn add_service(&mut self, members: &[&Claim]) {
        let Some(claim) = members.first() else {
            return;
        };
        for v4 in [true, false] {
            let targets: Vec<(&Claim, IpAddr)> = members
                .iter()
                .filter_map(|claim| Some((*claim, target(claim, v4)?)))
                .collect();
            let Some(host) = host_key(claim.host_ip, v4).filter(|_| !targets.is_empty()) else {
                continue;
            };
            match targets.as_slice() {
                [(only, to)] if only.first < only.last && only.container_first == only.first => {
                    self.add_range(only, host, *to);
                }
                [(only, to)] => self.add_single(only, host, *to),
                several => self.add_shared(several, host),
            }
        }
    }

    fn add_access(&mut self, members: &[&Claim]) {
        let Some((claim, allow)) = members.last().and_then(|c| Some((c, c.allow.as_ref()?))) else {
            return;
        };
        for v4 in [true, false] {
            // An outline leads nowhere, and is not shown.
            let Some(host) = host_key(claim.host_ip, v4).filter(|_| target(claim, v4).is_some())
            else {
                continue;
            };
            let first = key(host, claim.protocol, claim.first);
            let last = key(last_of(host), claim.protocol, claim.last);
            let nothing = Value::default;
            let (restricted, allowed) = if v4 {
                ("restricted4", "allowed4")
            } else {
                ("restricted6", "allowed6")
            };
            self.insert(
                restricted,
                first.clone(),
                Some(last.clone()),
                nothing(),
                claim,
            );
            for source in allow
                .iter()
                .filter(|source| source.address().is_ipv4() == v4)
            {
                // Elements must not overlap: what lies within another is left out.
                let wider = |other: &&SourceNetwork| *other != source && other.contains(*source);
                if allow.iter().any(|other| wider(&other)) {
                    continue;
                }
                let (from, to) = (source.address(), source.last());
                let (from, to) = (address(first.clone(), from), address(last.clone(), to));
                self.insert(allowed, from, Some(to), nothing(), claim);
            }
        }
    }

    fn add_range(&mut self, claim: &Claim, host: IpAddr, to: IpAddr) {
        let map = pick("ranges4", "ranges6", to);
        // An interval in each field.
        let last_host = last_of(host);
        let (first, last) = (
            key(host, claim.protocol, claim.first),
            key(last_host, claim.protocol, claim.last),
        );
        self.insert(map, first, Some(last), address(Value::default(), to), claim);
    }

    fn add_single(&mut self, claim: &Claim, host: IpAddr, to: IpAddr) {
        let map = pick("publish4", "publish6", to);
        for (host_port, port) in pairs(claim) {
            self.insert(
                map,
                key(host, claim.protocol, host_port),
                None,
                destination(to, port),
                claim,
            );
        }
    }

    fn add_shared(&mut self, members: &[(&Claim, IpAddr)], host: IpAddr) {
        for slot in 0..SLOTS {
            let (claim, to) = members[slot as usize % members.len()];
            let map = pick("shared4", "shared6", to);
            for (host_port, port) in pairs(claim) {
                let key = key(host, claim.protocol, host_port).field(&slot.to_ne_bytes());
                self.insert(map, key, None, destination(to, port), claim);
            }
        }
    }

    fn insert(
        &mut self,
        map: &'static str,
        key: Value,
        end: Option<Value>,
        data: Value,
        claim: &Claim,
    ) {
        self.elements
            .insert((map, key, end), (data, Some(claim.container_name.clone())));
    }

    /// The transaction that leads from `before` to this.
    pub(crate) fn changes_from(&self, before: &Self) -> Vec<Change<'static>> {
        let mut changes = Vec::new();
        for map in MAPS {
            for part in Element::split(before.missing_in(self, map)) {
                changes.push(Change::DeleteElements {
                    set: map,
                    elements: part,
                });
            }
        }
        for map in MAPS {
            for part in Element::split(self.missing_in(before, map)) {
                changes.push(Change::AddElements {
                    set: map,
                    elements: part,
                });
            }
        }
        changes
    }

    /// Our elements of a map that the other has not, or with another datum.
    fn missing_in(&self, other: &Self, map: &str) -> Vec<Element> {
        let differs = |key: &_, data: &Value| {
            other
                .elements
                .get(key)
                .is_none_or(|(theirs, _)| theirs != data)
        };
        self.elements
            .iter()
            .filter(|(key, (data, _))| key.0 == map && differs(key, data))
            .map(|((_, key, end), (data, comment))| Element {
                key: key.clone(),
                key_end: end.clone(),
                data: (!data.0.is_empty()).then(|| data.clone()),
                comment: comment.clone(),
            })
            .collect()
    }

    #[cfg(test)]
    fn count(&self, map: &str) -> usize {
        self.elements.keys().filter(|key| key.0 == map).count()
    }
}

fn target(claim: &Claim, v4: bool) -> Option<IpAddr> {
    if v4 {
        claim.v4.map(IpAddr::V4)
    } else {
        claim.v6.map(IpAddr::V6)
    }
}

/// The address in the key; `None` when the binding is of the other family.
fn host_key(host_ip: Option<IpAddr>, v4: bool) -> Option<IpAddr> {
    match host_ip {
        Some(address) => (address.is_ipv4() == v4).then_some(address),
        None if v4 => Some(Ipv4Addr::UNSPECIFIED.into()),
        None => Some(Ipv6Addr::UNSPECIFIED.into()),
    }
}

/// All addresses, or the one.
fn last_of(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::BROADCAST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::from(u128::MAX).into(),
        one => one,
    }
}

fn pairs(claim: &Claim) -> impl Iterator<Item = (u16, u16)> + use<> {
    let shift = claim.container_first.wrapping_sub(claim.first);
    (claim.first..=claim.last).map(move |port| (port, port.wrapping_add(shift)))
}

fn pick(v4: &'static str, v6: &'static str, to: IpAddr) -> &'static str {
    if to.is_ipv4() { v4 } else { v6 }
}

fn key(host: IpAddr, protocol: Protocol, port: u16) -> Value {
    address(Value::default(), host)
        .field(&[protocol_number(protocol)])
        .field(&port.to_be_bytes())
}

fn destination(to: IpAddr, port: u16) -> Value {
    address(Value::default(), to).field(&port.to_be_bytes())
}

fn address(value: Value, address: IpAddr) -> Value {
    match address {
        IpAddr::V4(v4) => value.field(&v4.octets()),
        IpAddr::V6(v6) => value.field(&v6.octets()),
    }
}

/// IANA's number.
pub(crate) fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

pub(crate) fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

pub(crate) fn protocol_of(name: &str) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .into_iter()
        .find(|p| protocol_name(*p) == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Standing;

    fn claim(container: &str, first: u16, last: u16, group: Option<&str>, since: u64) -> Claim {
        Claim {
            container: container.into(),
            container_name: container.into(),
            protocol: Protocol::Tcp,
            host_ip: None,
            first,
            last,
            container_first: first,
            group: group.map(Into::into),
            v4: Some(Ipv4Addr::new(172, 18, 0, since as u8 + 2)),
            v6: None,
            since,
            standing: Standing::default(),
            allow: None,
        }
    }

    fn slots_of(projection: &Projection) -> BTreeMap<Value, usize> {
        let mut count = BTreeMap::new();
        for (data, _) in projection.elements.values() {
            *count.entry(data.clone()).or_default() += 1;
        }
        count
    }

    #[test]
    fn ten_thousand_ports_are_one_element() {
        let projection = Projection::of(&[claim("a", 10_000, 19_999, None, 0)]);
        assert_eq!(projection.elements.len(), 1);
        assert_eq!(projection.count("ranges4"), 1);
    }

    #[test]
    fn a_run_with_other_numbers_inside_is_an_element_each() {
        let shifted = Claim {
            container_first: 80,
            ..claim("a", 8000, 8003, None, 0)
        };
        assert_eq!(Projection::of(&[shifted]).count("publish4"), 4);
    }

    #[test]
    fn replicas_share_the_slots_evenly_and_one_alone_needs_none() {
        let members: Vec<Claim> = (0..3)
            .map(|n| claim(["a", "b", "c"][n as usize], 80, 80, Some("web"), n))
            .collect();
        let one = Projection::of(&members[..1]);
        assert_eq!((one.count("publish4"), one.count("shared4")), (1, 0));
        let three = Projection::of(&members);
        assert_eq!((three.count("publish4"), three.count("shared4")), (0, 64));
        assert!(slots_of(&three).values().all(|n| (21..=22).contains(n)));
        let joined = three.changes_from(&Projection::of(&members[..2]));
        let added: usize = joined
            .iter()
            .map(|c| {
                if let Change::AddElements { elements, .. } = c {
                    elements.len()
                } else {
                    0
                }
            })
            .sum();
        assert!(
            (20..64).contains(&added),
            "only slots that change hands: {added}"
        );
    }

    #[test]
    fn going_there_and_back_ends_with_nothing() {
        let state = Projection::of(&[claim("a", 80, 80, None, 0), claim("b", 90, 99, None, 1)]);
        let removed: usize = Projection::default()
            .changes_from(&state)
            .iter()
            .map(|c| {
                if let Change::DeleteElements { elements, .. } = c {
                    elements.len()
                } else {
                    99
                }
            })
            .sum();
        assert_eq!(removed, 2);
        assert!(state.changes_from(&state).is_empty());
    }

    #[test]
    fn an_address_of_one_family_gives_no_element_of_the_other() {
        let both = Claim {
            v6: Some(Ipv6Addr::LOCALHOST),
            ..claim("a", 80, 80, None, 0)
        };
        assert_eq!(
            Projection::of(std::slice::from_ref(&both)).elements.len(),
            2
        );
        let only4 = Claim {
            host_ip: Some(Ipv4Addr::LOCALHOST.into()),
            ..both
        };
        assert_eq!(Projection::of(&[only4]).count("publish6"), 0);
    }

    #[test]
    fn who_may_come_is_what_the_latest_replica_says_without_overlaps() {
        let allow = |texts: &[&str]| Some(texts.iter().map(|text| text.parse().unwrap()).collect());
        let old = Claim {
            allow: allow(&["192.0.2.0/24"]),
            ..claim("a", 80, 80, Some("web"), 1)
        };
        let new = Claim {
            allow: allow(&["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"]),
            ..claim("b", 80, 80, Some("web"), 2)
        };
        let projection = Projection::of(&[old.clone(), new]);
        assert_eq!(projection.count("restricted4"), 1);
        assert_eq!(projection.count("allowed4"), 1, "one lies in the other");
        assert_eq!(projection.count("restricted6"), 0, "it has no such address");
        let nobody = Claim {
            allow: allow(&[]),
            ..old
        };
        let projection = Projection::of(&[nobody]);
        let counts = ["restricted4", "allowed4"].map(|set| projection.count(set));
        assert_eq!(counts, [1, 0]);
    }
}
