//! Published ports: who has which port of the host, and getting one.
//!
//! A claim is one file, `networks/.ports/<proto>-<first>-<last>-<address>-<container id>` under the run root, written
//! before the kernel's maps change and removed after: the files are the truth, the maps their projection
//! ([`projection`]), so a flushed table is rebuilt from them and what a killed container left is found by its id. All of
//! it happens under the packet filter's lock.
//!
//! No process listens on a published port. That it is free is checked when it is claimed, by `bind(2)`; who has it
//! otherwise is told by [`holder`].
//!
//! Source: Docker's `-p` and its error texts; moby `libnetwork/portallocator`.

mod flows;
pub(crate) mod holder;
pub(crate) mod projection;
mod resolve;

use crate::firewall::{self, Firewall};
use model::port::{PortBinding, Protocol};
use projection::Projection;
use serde::{Deserialize, Serialize};
use state::{Durability, Layout, record};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// Why a port was not published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "Bind for {address}:{port} failed: port is already allocated{}",
        by(holder)
    )]
    Allocated {
        address: IpAddr,
        port: u16,
        holder: Option<String>,
    },
    #[error(
        "Bind for {address}:{port} failed: the host has no such address; publish on one of its own"
    )]
    NoSuchAddress { address: IpAddr, port: u16 },
    #[error("cannot try {address}:{port}")]
    Probe {
        address: IpAddr,
        port: u16,
        source: io::Error,
    },
    #[error("all ports of {first}-{last} are allocated{}", by(holder))]
    RangeAllocated {
        first: u16,
        last: u16,
        holder: Option<String>,
    },
    #[error("no free {protocol:?} port in the ephemeral range {first}-{last}")]
    NoneFree {
        protocol: Protocol,
        first: u16,
        last: u16,
    },
    #[error("cannot read the claimed ports in {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot redirect the UDP flows of a published port")]
    Flows { source: sys::netlink::Error },
    #[error(transparent)]
    Record(#[from] record::Error),
    #[error(transparent)]
    Firewall(#[from] firewall::Error),
}

fn by(holder: &Option<String>) -> String {
    holder
        .as_ref()
        .map(|holder| format!(" (held by {holder})"))
        .unwrap_or_default()
}

/// A port as it came to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// `None`: every address of the host.
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}

/// A run of consecutive ports that one container has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) container: String,
    pub(crate) container_name: String,
    pub(crate) protocol: Protocol,
    pub(crate) host_ip: Option<IpAddr>,
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// What `first` leads to; the others follow.
    pub(crate) container_first: u16,
    /// Claims of one group share a port.
    pub(crate) group: Option<String>,
    /// Where it leads.
    pub(crate) v4: Option<Ipv4Addr>,
    pub(crate) v6: Option<Ipv6Addr>,
    /// Nanoseconds since the epoch: members of a group keep their order.
    pub(crate) since: u64,
    /// Whether new connections may come here while other members of the group serve.
    pub(crate) serving: bool,
}

impl Claim {
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.first <= other.last
            && other.first <= self.last
            && addresses_meet(self.host_ip, other.host_ip)
    }

    /// Replicas of one service have exactly the same port in common.
    fn may_share(&self, other: &Self) -> bool {
        let same =
            (self.first, self.last, self.host_ip) == (other.first, other.last, other.host_ip);
        same && self.group.is_some() && self.group == other.group
    }

    fn file_name(&self) -> String {
        let address = self
            .host_ip
            .map_or("any".into(), |address| address.to_string());
        let protocol = projection::protocol_name(self.protocol);
        format!(
            "{protocol}-{}-{}-{address}-{}",
            self.first, self.last, self.container
        )
    }
}

/// Whether one packet could be meant for both. No address: all of both families.
fn addresses_meet(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
        }
        _ => true,
    }
}

/// Where a container's ports lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) container: &'a str,
    pub(crate) container_name: &'a str,
    pub(crate) group: Option<&'a str>,
    pub(crate) v4: Option<Ipv4Addr>,
    pub(crate) v6: Option<Ipv6Addr>,
}

/// Whether these ports could be published now: the same errors, before anything is started. `own` names the container
/// whose present claims do not count (it is about to be replaced or restarted).
pub fn check_ports(
    layout: &Layout,
    ports: &[PortBinding],
    share_group: Option<&str>,
    own: Option<&str>,
) -> Result<(), Error> {
    if ports.is_empty() {
        return Ok(());
    }
    let claims: Vec<Claim> = claims(layout)?
        .into_iter()
        .filter(|c| Some(c.container.as_str()) != own)
        .collect();
    let target = Target {
        container: own.unwrap_or(""),
        container_name: "",
        group: share_group,
        v4: None,
        v6: None,
    };
    resolve::resolve(ports, &target, &claims).map(drop)
}

/// Publishes ports of a container; its earlier ones, if any, are given up. On an error nothing is changed.
pub(crate) fn publish(
    layout: &Layout,
    ports: &[PortBinding],
    target: &Target<'_>,
) -> Result<Vec<PublishedPort>, Error> {
    let firewall = Firewall::open(layout)?;
    let before = claims(layout)?;
    let others: Vec<Claim> = before
        .iter()
        .filter(|c| c.container != target.container)
        .cloned()
        .collect();
    let new = resolve::resolve(ports, target, &others)?;
    let mut after = others;
    after.extend(new.iter().cloned());
    std::fs::create_dir_all(directory(layout)).map_err(|source| Error::Read {
        path: directory(layout),
        source,
    })?;
    for claim in &new {
        record::write(
            &directory(layout).join(claim.file_name()),
            claim,
            Durability::Volatile,
        )?;
    }
    if let Err(error) = change(&firewall, &before, &after) {
        for claim in &new {
            let _ = record::remove(&directory(layout).join(claim.file_name()));
        }
        return Err(error);
    }
    for gone in before.iter().filter(|claim| {
        !after
            .iter()
            .any(|kept| kept.file_name() == claim.file_name())
    }) {
        record::remove(&directory(layout).join(gone.file_name()))?;
    }
    Ok(new.iter().flat_map(published).collect())
}

/// Gives up all ports of the containers for which `gone` holds.
pub(crate) fn unpublish(layout: &Layout, gone: impl Fn(&str) -> bool) -> Result<usize, Error> {
    let holds_any = names(layout)?
        .iter()
        .any(|name| name.rsplit('-').next().is_some_and(&gone));
    if !holds_any {
        return Ok(0);
    }
    let firewall = Firewall::open(layout)?;
    let before = claims(layout)?;
    let (leaving, after): (Vec<Claim>, Vec<Claim>) = before
        .iter()
        .cloned()
        .partition(|claim| gone(&claim.container));
    change(&firewall, &before, &after)?;
    for claim in &leaving {
        record::remove(&directory(layout).join(claim.file_name()))?;
    }
    Ok(leaving.len())
}

/// Lets a replica out of, or back into, the balance of the ports it shares: an unhealthy one gets no new connections as long
/// as another serves. Connections it has stay. Of no effect on ports it has alone.
pub fn set_serving(layout: &Layout, container: &str, serving: bool) -> Result<(), Error> {
    let is_due = |claim: &Claim| claim.container == container && claim.serving != serving;
    if !claims(layout)?.iter().any(is_due) {
        return Ok(());
    }
    let firewall = Firewall::open(layout)?;
    let before = claims(layout)?;
    let turned = |claim: &Claim| {
        if is_due(claim) {
            Claim {
                serving,
                ..claim.clone()
            }
        } else {
            claim.clone()
        }
    };
    let after: Vec<Claim> = before.iter().map(turned).collect();
    for claim in after.iter().filter(|claim| claim.container == container) {
        record::write(
            &directory(layout).join(claim.file_name()),
            claim,
            Durability::Volatile,
        )?;
    }
    change(&firewall, &before, &after)
}

/// Moves the kernel's maps from one set of claims to another, touching only what differs. When they turn out not to be
/// what the claims say (somebody flushed a map), the table is rebuilt.
fn change(firewall: &Firewall<'_>, before: &[Claim], after: &[Claim]) -> Result<(), Error> {
    let changes = Projection::of(after).changes_from(&Projection::of(before));
    match firewall.apply(changes) {
        Err(firewall::Error::Netlink { source }) if source.is_missing() || source.is_exists() => {
            firewall.rebuild()?;
            let again = Projection::of(after).changes_from(&Projection::held_by(firewall)?);
            firewall.apply(again)?;
        }
        other => other?,
    }
    flows::settle(firewall.socket(), before, after).map_err(|source| Error::Flows { source })
}

fn published(claim: &Claim) -> impl Iterator<Item = PublishedPort> + use<> {
    let (host_ip, protocol) = (claim.host_ip, claim.protocol);
    let shift = claim.container_first.wrapping_sub(claim.first);
    (claim.first..=claim.last).map(move |host_port| PublishedPort {
        host_ip,
        host_port,
        container_port: host_port.wrapping_add(shift),
        protocol,
    })
}

pub(crate) fn claims(layout: &Layout) -> Result<Vec<Claim>, Error> {
    let mut found = Vec::new();
    for name in names(layout)? {
        // One that vanished since was given up.
        found.extend(record::read::<Claim>(&directory(layout).join(name))?);
    }
    Ok(found)
}

/// Drops all claims: their table is gone.
pub(crate) fn forget_all(layout: &Layout) -> Result<(), Error> {
    let path = directory(layout);
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Read { path, source })
        }
        _ => Ok(()),
    }
}

fn names(layout: &Layout) -> Result<Vec<String>, Error> {
    let path = directory(layout);
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::Read { path, source }),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        names.extend(
            entry
                .file_name()
                .into_string()
                .ok()
                .filter(|name| !name.starts_with('.')),
        );
    }
    Ok(names)
}

fn directory(layout: &Layout) -> PathBuf {
    layout.run_networks().join(".ports")
}
