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

mod claim;
mod flows;
mod holder;
pub(crate) mod projection;
mod resolve;
mod serving;
mod table;

use crate::endpoint_rules;
use crate::firewall::{self, Firewall};
pub(crate) use claim::{Claim, claims, forget_all};
use claim::{claims_where, could_meet, names};
pub use holder::Process;
use model::access::PortAccess;
use model::port::{PortBinding, Protocol};
use model::runs::Consecutive;
use projection::Projection;
use serde::{Deserialize, Serialize};
pub(crate) use serving::{Standing, keep_best, rename};
pub use serving::{open_connections, readmit, set_serving, withdraw, withdrawn};
use state::{Layout, record};
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
pub use table::{Holder, OpenPort, Reach, open_ports};

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
    #[error(
        "cannot publish port {port} on {address}: the container has no IPv{family} address; publish {way_out}"
    )]
    NoSuchFamily {
        address: IpAddr,
        port: u16,
        family: u8,
        way_out: &'static str,
    },
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
    #[error("cannot change who serves for a service")]
    Service { source: Box<endpoint_rules::Error> },
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

impl Consecutive for PublishedPort {
    fn after(&self, by: u16) -> Option<Self> {
        Some(Self {
            host_port: self.host_port.checked_add(by)?,
            container_port: self.container_port.checked_add(by)?,
            ..*self
        })
    }
}

/// Where a container's ports lead.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Target<'a> {
    pub(crate) container: &'a str,
    pub(crate) container_name: &'a str,
    pub(crate) group: Option<&'a str>,
    pub(crate) v4: Option<Ipv4Addr>,
    pub(crate) v6: Option<Ipv6Addr>,
    /// Of those that not everybody may reach, who may.
    pub(crate) access: &'a [PortAccess],
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
    let claims: Vec<Claim> = claims_where(layout, |claim| could_meet(claim, ports))?
        .into_iter()
        .filter(|c| Some(c.container.as_str()) != own)
        .collect();
    let target = Target {
        container: own.unwrap_or(""),
        group: share_group,
        ..Target::default()
    };
    resolve::resolve(ports, &target, &claims).map(drop)
}

/// Publishes ports of a container; its earlier ones, if any, are given up, and it serves as before. One that had none serves
/// at once if `serving`. On an error nothing is changed.
pub(crate) fn publish(
    layout: &Layout,
    ports: &[PortBinding],
    target: &Target<'_>,
    serving: bool,
) -> Result<Vec<PublishedPort>, Error> {
    let firewall = Firewall::open(layout)?;
    let concern = |claim: &Claim| claim.container == target.container || could_meet(claim, ports);
    let before = claims_where(layout, concern)?;
    let others: Vec<Claim> = before
        .iter()
        .filter(|c| c.container != target.container)
        .cloned()
        .collect();
    let mut new = resolve::resolve(ports, target, &others)?;
    let earlier = before.iter().find(|c| c.container == target.container);
    for claim in &mut new {
        let fresh = Standing {
            serving,
            ..Standing::default()
        };
        claim.standing = earlier.map_or(fresh, |earlier| earlier.standing);
    }
    let mut after = others;
    after.extend(new.iter().cloned());
    for claim in &new {
        claim::write(layout, claim)?;
    }
    if let Err(error) = change(layout, &firewall, &before, &after) {
        for claim in &new {
            let _ = claim::remove(layout, claim);
        }
        return Err(error);
    }
    for gone in before.iter().filter(|claim| {
        !after
            .iter()
            .any(|kept| kept.file_name() == claim.file_name())
    }) {
        claim::remove(layout, gone)?;
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
    let outlines = claims_where(layout, |_| false)?;
    let leaves = |claim: &Claim| gone(&claim.container);
    let concerns = |claim: &Claim| outlines.iter().any(|c| leaves(c) && c.meets(claim));
    let before = claim::whole(layout, &outlines, concerns)?;
    let (leaving, after): (Vec<Claim>, Vec<Claim>) = before.iter().cloned().partition(leaves);
    change(layout, &firewall, &before, &after)?;
    for claim in &leaving {
        claim::remove(layout, claim)?;
    }
    Ok(leaving.len())
}

/// Moves the kernel's maps from one set of claims to another, touching only what differs. When they turn out not to be
/// what the claims say (somebody flushed a map), the table is rebuilt, and the maps are compared as they really are.
fn change(
    layout: &Layout,
    firewall: &Firewall<'_>,
    before: &[Claim],
    after: &[Claim],
) -> Result<(), Error> {
    let changes = Projection::of(after).changes_from(&Projection::of(before));
    match firewall.apply(changes) {
        Err(firewall::Error::Netlink { source }) if source.is_missing() || source.is_exists() => {
            firewall.rebuild()?;
            // `after` may hold outlines only: what stays is read whole. Claims that come are written already.
            let stays: HashSet<String> = after.iter().map(Claim::file_name).collect();
            let mut whole = claims(layout)?;
            whole.retain(|claim| stays.contains(&claim.file_name()));
            let again = Projection::of(&whole).changes_from(&Projection::held_by(firewall)?);
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
