//! Claims on ports of the host, as files: what one says, and finding those that concern somebody.
//!
//! `networks/.ports/<proto>-<first>-<last>-<address or any>-<container id>` under the run root; the name alone tells
//! whether a claim stands in the way, so that the others need not be opened.

use super::serving::Standing;
use super::{Error, projection};
use model::access::SourceNetwork;
use model::port::{HostPort, PortBinding, Protocol};
use serde::{Deserialize, Serialize};
use state::{Durability, Layout, record};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

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
    #[serde(flatten)]
    pub(crate) standing: Standing,
    /// Who may come from elsewhere than this host; `None`: everybody.
    #[serde(default)]
    pub(crate) allow: Option<Vec<SourceNetwork>>,
}

impl Claim {
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.first <= other.last
            && other.first <= self.last
            && addresses_meet(self.host_ip, other.host_ip)
    }

    /// Replicas of one service have exactly the same port in common.
    pub(super) fn may_share(&self, other: &Self) -> bool {
        let same =
            (self.first, self.last, self.host_ip) == (other.first, other.last, other.host_ip);
        same && self.group.is_some() && self.group == other.group
    }

    pub(super) fn file_name(&self) -> String {
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

/// What a claim's file name says: enough to see whether it concerns us. `None` for a name that is not ours.
fn outline(name: &str) -> Option<Claim> {
    let mut parts = name.splitn(5, '-');
    let protocol = projection::protocol_of(parts.next()?)?;
    let (first, last) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let host_ip = match parts.next()? {
        "any" => None,
        address => Some(address.parse().ok()?),
    };
    Some(Claim {
        container: parts.next()?.into(),
        container_name: String::new(),
        protocol,
        host_ip,
        first,
        last,
        container_first: first,
        group: None,
        v4: None,
        v6: None,
        since: 0,
        standing: Standing::default(),
        allow: None,
    })
}

/// Whether one packet could be meant for both. No address: all of both families.
pub(super) fn addresses_meet(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
        }
        _ => true,
    }
}

/// Writes the claim; those who look see it at once.
pub(super) fn write(layout: &Layout, claim: &Claim) -> Result<(), Error> {
    let path = directory(layout).join(claim.file_name());
    let written = record::write(&path, claim, Durability::Volatile);
    match written {
        Err(record::Error::Write { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let path = directory(layout);
            std::fs::create_dir_all(&path).map_err(|source| Error::Read { path, source })?;
            Ok(record::write(
                &directory(layout).join(claim.file_name()),
                claim,
                Durability::Volatile,
            )?)
        }
        other => Ok(other?),
    }
}

pub(super) fn remove(layout: &Layout, claim: &Claim) -> Result<(), Error> {
    Ok(record::remove(&directory(layout).join(claim.file_name()))?)
}

pub(crate) fn claims(layout: &Layout) -> Result<Vec<Claim>, Error> {
    claims_where(layout, |_| true)
}

/// All claims, of which only those that `concern` us are read whole: with thousands of containers few are. The others are
/// outlines without a target, which no projection shows.
pub(super) fn claims_where(
    layout: &Layout,
    concern: impl Fn(&Claim) -> bool,
) -> Result<Vec<Claim>, Error> {
    let mut found = Vec::new();
    for name in names(layout)? {
        match outline(&name) {
            Some(claim) if concern(&claim) => {
                // One that vanished since was given up.
                found.extend(record::read::<Claim>(&directory(layout).join(name))?);
            }
            other => found.extend(other),
        }
    }
    Ok(found)
}

/// Of outlines that were listed just now, those that `concern` us are read whole; the others are as they were.
pub(super) fn whole(
    layout: &Layout,
    outlines: &[Claim],
    concern: impl Fn(&Claim) -> bool,
) -> Result<Vec<Claim>, Error> {
    let mut found = Vec::new();
    for outline in outlines {
        if concern(outline) {
            // One that vanished since was given up.
            found.extend(record::read::<Claim>(
                &directory(layout).join(outline.file_name()),
            )?);
        } else {
            found.push(outline.clone());
        }
    }
    Ok(found)
}

/// Whether the claim could meet what the bindings ask for.
pub(super) fn could_meet(claim: &Claim, ports: &[PortBinding]) -> bool {
    ports.iter().any(|binding| {
        let (first, last) = match binding.host_port {
            HostPort::Exact(port) => (port, port),
            HostPort::AnyOf { first, last } => (first, last),
            HostPort::Random => return false,
        };
        claim.protocol == binding.protocol && claim.first <= last && first <= claim.last
    })
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

pub(super) fn names(layout: &Layout) -> Result<Vec<String>, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_outlines_its_claim() {
        let container = "ab".repeat(32);
        for host_ip in [None, Some("127.0.0.1"), Some("::"), Some("fd00::1")] {
            let host_ip = host_ip.map(|text| text.parse().unwrap());
            let name = Claim {
                host_ip,
                ..outline(&format!("udp-80-90-any-{container}")).unwrap()
            }
            .file_name();
            let claim = outline(&name).unwrap();
            assert_eq!(
                (claim.first, claim.last, claim.protocol),
                (80, 90, Protocol::Udp)
            );
            assert_eq!((claim.host_ip, &claim.container), (host_ip, &container));
        }
        for other in [
            "",
            "tcp",
            "tcp-x-1-any-c",
            "icmp-1-1-any-c",
            "tcp-1-1-here-c",
            "tcp-1-99999-any-c",
        ] {
            assert!(outline(other).is_none(), "{other}");
        }
    }
}
