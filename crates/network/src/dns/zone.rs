//! The names a container may see: who else is on its networks, links, the host.
//!
//! Read from the files that endpoints leave (`crate::endpoint`), and again when their directory changed. A directory
//! whose last change is younger than the clock's grain may change once more without showing it; such a reading is not
//! kept (as git treats its index).
//!
//! Source: moby `libnetwork/sandbox.go` (`ResolveName`): `name`, and `name.network`.

use super::DnsConfig;
use super::wire::{Kind, Query, Records};
use crate::endpoint::{self, NameEntry, Version};
use crate::ports::{Standing, keep_best};
use state::Layout;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Longer than a tick of the kernel's coarse clock at HZ=100.
const GRAIN: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Zone {
    layout: Layout,
    networks: Vec<Names>,
    /// The default bridge, where only links are looked up.
    bridge: Names,
    links: Vec<(String, String)>,
    fixed: Vec<(String, IpAddr)>,
}

/// The names of one network as last read.
#[derive(Debug)]
struct Names {
    network: String,
    /// `.network`, as questions end in it.
    suffix: String,
    directory: PathBuf,
    /// When the directory had last changed; `None` when it must be read again.
    changed: Option<SystemTime>,
    /// What each file said, and which version of it.
    entries: HashMap<String, (Version, NameEntry)>,
    forward: HashMap<String, Vec<IpAddr>>,
    reverse: HashMap<IpAddr, String>,
}

impl Zone {
    pub(super) fn new(layout: &Layout, config: &DnsConfig) -> Self {
        let names = |network: &str| Names {
            network: network.into(),
            suffix: format!(".{}", network.to_ascii_lowercase()),
            directory: endpoint::directory(layout, network),
            changed: None,
            entries: HashMap::new(),
            forward: HashMap::new(),
            reverse: HashMap::new(),
        };
        let host = ["host.docker.internal", "gateway.docker.internal"];
        let extra = config
            .extra
            .iter()
            .map(|(name, address)| (name.to_ascii_lowercase(), *address));
        let gateway = config
            .gateway
            .into_iter()
            .flat_map(|gateway| host.map(|name| (name.to_owned(), gateway)));
        Self {
            layout: layout.clone(),
            networks: config
                .networks
                .iter()
                .map(|network| names(network))
                .collect(),
            bridge: names("bridge"),
            links: config
                .links
                .iter()
                .map(|(alias, to)| (alias.to_ascii_lowercase(), to.to_ascii_lowercase()))
                .collect(),
            // What the user says comes before what we know.
            fixed: extra.chain(gateway).collect(),
        }
    }

    /// As of the last [`refresh`](Self::refresh). `None`: not ours, ask others.
    pub(super) fn lookup(&self, query: &Query<'_>) -> Option<Records> {
        if query.kind == Kind::Ptr {
            let address = query.reverse_address()?;
            let named = self
                .networks
                .iter()
                .find_map(|n| Some(format!("{}.{}", n.reverse.get(&address)?, n.network)));
            return named.map(Records::Name);
        }
        let name = query.name.as_str();
        let fixed: Vec<IpAddr> = self
            .fixed
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, a)| *a)
            .collect();
        if !fixed.is_empty() {
            return Some(Records::Addresses(fixed));
        }
        let mut found = self.named(name);
        if found.is_empty()
            && let Some((_, target)) = self.links.iter().find(|(alias, _)| alias == name)
        {
            let linked = self.bridge.forward.get(target).cloned().unwrap_or_default();
            found = self.named(target);
            found.extend(linked);
        }
        (!found.is_empty()).then_some(Records::Addresses(found))
    }

    fn named(&self, name: &str) -> Vec<IpAddr> {
        let mut found: Vec<IpAddr> = Vec::new();
        for names in &self.networks {
            let bare = name.strip_suffix(&names.suffix);
            let here = names.forward.get(name).or_else(|| names.forward.get(bare?));
            found.extend(here.into_iter().flatten());
        }
        found.dedup();
        found
    }

    /// Looks whether names came, went or changed; once for all questions that are there already.
    pub(super) fn refresh(&mut self) {
        for names in &mut self.networks {
            names.refresh(&self.layout);
        }
        if !self.links.is_empty() {
            self.bridge.refresh(&self.layout);
        }
    }
}

impl Names {
    fn refresh(&mut self, layout: &Layout) {
        let changed = std::fs::metadata(&self.directory)
            .and_then(|directory| directory.modified())
            .ok();
        if changed.is_some() && changed == self.changed {
            return;
        }
        if self.read(layout) {
            self.index();
        }
        let settled = |changed: &SystemTime| {
            SystemTime::now()
                .duration_since(*changed)
                .is_ok_and(|age| age > GRAIN)
        };
        self.changed = changed.filter(settled);
    }

    /// Takes in what is new in the directory and drops what is gone: of hundreds of endpoints few change at a time. Says
    /// whether anything did.
    fn read(&mut self, layout: &Layout) -> bool {
        let mut before = std::mem::take(&mut self.entries);
        let mut different = false;
        for (id, version) in endpoint::versions(layout, &self.network) {
            let known = before.remove(&id).filter(|(known, _)| *known == version);
            different |= known.is_none();
            let entry = known.or_else(|| {
                // One that vanished since is gone.
                Some((version, endpoint::entry(layout, &self.network, &id)?))
            });
            self.entries.extend(entry.map(|entry| (id, entry)));
        }
        different || !before.is_empty()
    }

    /// By name and by address.
    fn index(&mut self) {
        self.reverse.clear();
        let mut entries: Vec<&NameEntry> = self.entries.values().map(|(_, entry)| entry).collect();
        entries.sort_by(|a, b| a.addresses.cmp(&b.addresses));
        let mut named: HashMap<String, Vec<(Standing, &[IpAddr])>> = HashMap::new();
        for entry in entries {
            let service = entry.service.iter();
            let service = service.flat_map(|s| s.names.iter().map(|name| (name, &s.addresses)));
            let own = entry.names.iter().map(|name| (name, &entry.addresses));
            for (name, addresses) in own.chain(service) {
                let name = name.to_ascii_lowercase();
                named
                    .entry(name)
                    .or_default()
                    .push((entry.standing, addresses));
            }
            for address in &entry.addresses {
                self.reverse.insert(*address, entry.container_name.clone());
            }
        }
        self.forward = named
            .into_iter()
            .map(|(name, members)| (name, serving(members)))
            .collect();
    }
}

/// The addresses of those that serve, or else of all.
fn serving(mut members: Vec<(Standing, &[IpAddr])>) -> Vec<IpAddr> {
    keep_best(&mut members, |(standing, _)| *standing);
    let mut found = Vec::new();
    for address in members.into_iter().flat_map(|(_, addresses)| addresses) {
        // Every container of a service names the one address it has.
        if !found.contains(address) {
            found.push(*address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn entry(number: u16) -> NameEntry {
        let [high, low] = number.to_be_bytes();
        NameEntry {
            container: format!("{number:064x}"),
            container_name: format!("c{number}"),
            names: vec![
                format!("c{number}"),
                "all".into(),
                format!("group{}", number % 7),
            ],
            addresses: vec![Ipv4Addr::new(10, 9, high, low).into()],
            service: None,
            standing: Standing::default(),
        }
    }

    /// Every name leads to just those addresses that have it.
    fn check(zone: &mut Zone, alive: &std::collections::BTreeSet<u16>, number: u16) {
        zone.refresh();
        let addresses = |wanted: &dyn Fn(&u16) -> bool| -> Vec<IpAddr> {
            alive
                .iter()
                .filter(|n| wanted(n))
                .map(|n| entry(*n).addresses[0])
                .collect()
        };
        assert_eq!(
            zone.named(&format!("c{number}")),
            addresses(&|n| *n == number)
        );
        assert_eq!(zone.named("all"), addresses(&|_| true));
        assert_eq!(zone.named("group3"), addresses(&|n| n % 7 == 3));
        let reverse = zone.networks[0].reverse.get(&entry(number).addresses[0]);
        assert_eq!(reverse.is_some(), alive.contains(&number));
    }

    #[test]
    fn five_hundred_names_are_right_while_they_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"), dir.path().join("run"));
        layout.prepare().unwrap();
        let config = DnsConfig {
            networks: vec!["big".into()],
            ..DnsConfig::default()
        };
        let mut zone = Zone::new(&layout, &config);
        let mut alive = std::collections::BTreeSet::new();
        let id = |number: u16| format!("e{number}");
        for number in 0..500 {
            endpoint::register(&layout, "big", &id(number), &entry(number)).unwrap();
            alive.insert(number);
        }
        check(&mut zone, &alive, 250);
        for round in 0..600u16 {
            // Now one goes, now one comes back, now one is replaced: whatever it is, the next question sees it.
            let number = round.wrapping_mul(397) % 500;
            if alive.remove(&number) {
                endpoint::unregister(&layout, "big", &id(number)).unwrap();
            } else {
                endpoint::register(&layout, "big", &id(number), &entry(number)).unwrap();
                alive.insert(number);
            }
            check(&mut zone, &alive, number);
        }
        let renamed = NameEntry {
            names: vec!["new".into()],
            ..entry(1)
        };
        endpoint::register(&layout, "big", &id(1), &renamed).unwrap();
        zone.refresh();
        assert_eq!(zone.named("new"), renamed.addresses);
        assert!(zone.named("c1").is_empty());
    }
}
