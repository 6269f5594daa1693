//! Address leases: one symbolic link per address, `networks/<name>/leases/<address>` under the run root, that "points"
//! to the id of its holder.
//!
//! A link is made in one step with its content and only if the name is free, so two starts never get one address and
//! a lease without a holder cannot exist, at any `kill -9`. No lock, no daemon. Leases die with the boot.
//!
//! Dynamic addresses go round: the search starts behind the one given last, since the namespace of a container that
//! just died may still answer ARP for a few milliseconds.
//!
//! Source: symlink(2).

use crate::record::{NetworkRecord, Pool};
use state::Layout;
use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Address already in use: {address} on network {network} belongs to container {holder}")]
    InUse {
        network: String,
        address: IpAddr,
        holder: String,
    },
    #[error("invalid address {address}: it does not belong to {subnets} of network {network}")]
    Outside {
        network: String,
        address: IpAddr,
        subnets: String,
    },
    #[error("invalid address {address}: it is the {what} of network {network}")]
    NotForContainers {
        network: String,
        address: IpAddr,
        what: &'static str,
    },
    #[error(
        "no available IPv{family} addresses on network {network}: remove containers, or use a wider subnet"
    )]
    Exhausted { network: String, family: u8 },
    #[error("cannot write the lease {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read the leases in {}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// What a dynamic address should be like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish<'a> {
    /// The address it had before.
    pub(crate) previous: Option<IpAddr>,
    /// Addresses of stopped containers that asked for them by number.
    pub(crate) reserved: &'a [IpAddr],
}

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub address: IpAddr,
    pub holder: String,
}

/// Takes exactly this address.
pub(crate) fn take_static(
    layout: &Layout,
    network: &NetworkRecord,
    address: IpAddr,
    holder: &str,
) -> Result<(), Error> {
    let name = || network.name.clone();
    let pool = network
        .pools
        .iter()
        .find(|pool| pool.subnet.contains(address))
        .ok_or_else(|| {
            let subnets: Vec<String> = network
                .pools
                .iter()
                .map(|pool| pool.subnet.to_string())
                .collect();
            Error::Outside {
                network: name(),
                address,
                subnets: subnets.join(", "),
            }
        })?;
    let not_for = |what| {
        Err(Error::NotForContainers {
            network: name(),
            address,
            what,
        })
    };
    if address == pool.gateway {
        return not_for("gateway");
    }
    if !pool.subnet.is_host(address) {
        return not_for("network or broadcast address");
    }
    if !link(layout, &network.name, address, holder)? {
        let found = read(&path(layout, &network.name, address)).unwrap_or_default();
        if found == holder {
            return Ok(());
        }
        return Err(Error::InUse {
            network: name(),
            address,
            holder: found,
        });
    }
    Ok(())
}

/// Takes a free address of the pool.
pub(crate) fn take_dynamic(
    layout: &Layout,
    network: &NetworkRecord,
    pool: &Pool,
    wish: Wish<'_>,
    holder: &str,
) -> Result<IpAddr, Error> {
    let name = &network.name;
    let mut taken: HashSet<IpAddr> = list(layout, name)?
        .into_iter()
        .map(|lease| lease.address)
        .collect();
    taken.extend(wish.reserved);
    taken.insert(pool.gateway);
    taken.extend(pool.aux_addresses.values());
    let range = pool.ip_range.unwrap_or(pool.subnet);
    let usable = |address: &IpAddr| {
        pool.subnet.is_host(*address) && range.contains(*address) && !taken.contains(address)
    };
    if let Some(previous) = wish.previous.filter(usable)
        && link(layout, name, previous, holder)?
    {
        return Ok(previous);
    }
    let last_file = layout
        .run_network(name)
        .join(if range.is_ipv4() { "last4" } else { "last6" });
    let last = read(&last_file).and_then(|text| range.offset_of(text.parse().ok()?));
    // Of a large IPv6 range the first 2^20 addresses are more than ever run at once.
    let size = range.size().min(1 << 20);
    let start = last.map_or(0, |last| (last + 1) % size);
    for step in 0..size {
        let Some(address) = range.nth((start + step) % size).filter(usable) else {
            continue;
        };
        if link(layout, name, address, holder)? {
            remember(&last_file, address);
            return Ok(address);
        }
    }
    Err(Error::Exhausted {
        network: name.clone(),
        family: if range.is_ipv4() { 4 } else { 6 },
    })
}

/// A hint only: losing it, or a race for it, costs a few tries.
fn remember(last_file: &Path, address: IpAddr) {
    let _ = std::fs::remove_file(last_file);
    let _ = std::os::unix::fs::symlink(address.to_string(), last_file);
}

/// Gives an address back, if it is still this holder's.
pub(crate) fn release(
    layout: &Layout,
    network: &str,
    address: IpAddr,
    holder: &str,
) -> Result<(), Error> {
    let path = path(layout, network, address);
    if read(&path).is_none_or(|found| found != holder) {
        return Ok(());
    }
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Write { path, source: e }),
        _ => Ok(()),
    }
}

/// All leases of a network.
pub fn list(layout: &Layout, network: &str) -> Result<Vec<Lease>, Error> {
    let dir = directory(layout, network);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::Read { path: dir, source }),
    };
    let mut leases = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::Read {
            path: dir.clone(),
            source,
        })?;
        let address = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let (Some(address), Some(holder)) = (address, read(&entry.path())) {
            leases.push(Lease { address, holder });
        }
    }
    Ok(leases)
}

/// `false`: somebody has it.
fn link(layout: &Layout, network: &str, address: IpAddr, holder: &str) -> Result<bool, Error> {
    let path = path(layout, network, address);
    let made = std::os::unix::fs::symlink(holder, &path).or_else(|e| {
        if e.kind() != io::ErrorKind::NotFound {
            return Err(e);
        }
        std::fs::create_dir_all(directory(layout, network))?;
        std::os::unix::fs::symlink(holder, &path)
    });
    match made {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(Error::Write { path, source }),
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_link(path)
        .ok()?
        .into_os_string()
        .into_string()
        .ok()
}

fn directory(layout: &Layout, network: &str) -> PathBuf {
    layout.run_network(network).join("leases")
}

fn path(layout: &Layout, network: &str, address: IpAddr) -> PathBuf {
    directory(layout, network).join(address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn layout() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"), dir.path().join("run"));
        (dir, layout)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn next(layout: &Layout, network: &NetworkRecord, wish: Wish<'_>) -> Result<IpAddr, Error> {
        take_dynamic(layout, network, &network.pools[0], wish, "c1")
    }

    #[test]
    fn dynamic_addresses_go_round_and_end_when_all_are_taken() {
        let (_dir, layout) = layout();
        let network = testing::network("n", "10.0.0.0/29");
        let mut given: Vec<IpAddr> = (0..5)
            .map(|_| next(&layout, &network, Wish::default()).unwrap())
            .collect();
        assert_eq!(
            given,
            ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"].map(ip)
        );
        assert!(matches!(
            next(&layout, &network, Wish::default()),
            Err(Error::Exhausted { .. })
        ));
        for address in given.drain(..3) {
            release(&layout, "n", address, "c1").unwrap();
        }
        assert_eq!(
            next(&layout, &network, Wish::default()).unwrap(),
            ip("10.0.0.2")
        );
        release(&layout, "n", ip("10.0.0.2"), "c1").unwrap();
        assert_eq!(
            next(&layout, &network, Wish::default()).unwrap(),
            ip("10.0.0.3"),
            "not the one just freed"
        );
    }

    #[test]
    fn the_range_aux_reserved_and_previous_addresses_count() {
        let (_dir, layout) = layout();
        let mut network = testing::network("n", "10.0.0.0/24");
        network.pools[0].ip_range = Some("10.0.0.128/29".parse().unwrap());
        network.pools[0]
            .aux_addresses
            .insert("router".into(), ip("10.0.0.128"));
        let reserved = [ip("10.0.0.129")];
        let wish = |previous: Option<&str>| Wish {
            previous: previous.map(ip),
            reserved: &reserved,
        };
        assert_eq!(
            next(&layout, &network, wish(None)).unwrap(),
            ip("10.0.0.130")
        );
        assert_eq!(
            next(&layout, &network, wish(Some("10.0.0.135"))).unwrap(),
            ip("10.0.0.135")
        );
        assert_eq!(
            next(&layout, &network, wish(Some("10.0.0.7"))).unwrap(),
            ip("10.0.0.131"),
            "outside the range"
        );
        take_static(&layout, &network, ip("10.0.0.7"), "c2").unwrap();
    }

    #[test]
    fn static_addresses_are_refused_with_the_reason() {
        let (_dir, layout) = layout();
        let network = testing::network("n", "10.0.0.0/24");
        let take =
            |address: &str, holder: &str| take_static(&layout, &network, ip(address), holder);
        take("10.0.0.9", "c1").unwrap();
        take("10.0.0.9", "c1").unwrap();
        assert!(matches!(take("10.0.0.9", "c2"), Err(Error::InUse { .. })));
        assert!(matches!(take("10.0.1.9", "c2"), Err(Error::Outside { .. })));
        for address in ["10.0.0.0", "10.0.0.1", "10.0.0.255"] {
            assert!(
                matches!(take(address, "c2"), Err(Error::NotForContainers { .. })),
                "{address}"
            );
        }
    }

    #[test]
    fn only_the_holder_gives_back() {
        let (_dir, layout) = layout();
        let network = testing::network("n", "10.0.0.0/24");
        take_static(&layout, &network, ip("10.0.0.9"), "c1").unwrap();
        release(&layout, "n", ip("10.0.0.9"), "c2").unwrap();
        assert_eq!(list(&layout, "n").unwrap().len(), 1);
        release(&layout, "n", ip("10.0.0.9"), "c1").unwrap();
        release(&layout, "n", ip("10.0.0.9"), "c1").unwrap();
        assert!(list(&layout, "n").unwrap().is_empty());
    }

    #[test]
    fn forty_threads_get_forty_addresses() {
        let (_dir, layout) = layout();
        let network = testing::network("n", "10.0.0.0/24");
        let given: HashSet<IpAddr> = std::thread::scope(|scope| {
            let take = || scope.spawn(|| next(&layout, &network, Wish::default()).unwrap());
            let threads: Vec<_> = (0..40).map(|_| take()).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(given.len(), 40);
    }
}
