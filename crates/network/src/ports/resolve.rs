//! From bindings as the user wrote them to claims: which port exactly, and is it free.
//!
//! Source: moby `libnetwork/portallocator` (a wildcard and an address of the same port exclude each other), ip(7) for
//! `ip_local_port_range`.

use super::{Claim, Error, Standing, Target, holder, projection};
use model::access::SourceNetwork;
use model::port::{HostPort, PortBinding, Protocol};
use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};
use sys::sockdiag;

/// From how many ports more than one on asking for each is dearer than asking for all.
const MANY: u16 = 16;

/// The claims these bindings come to, given what others have. Nothing is reserved yet.
pub(super) fn resolve(
    ports: &[PortBinding],
    target: &Target<'_>,
    others: &[Claim],
) -> Result<Vec<Claim>, Error> {
    let mut found: Vec<Claim> = Vec::new();
    for claim in runs(ports, target) {
        if found.contains(&claim) {
            continue;
        }
        let taken = found
            .iter()
            .find(|other| other.meets(&claim))
            .or_else(|| conflict(&claim, others));
        free(&claim, taken, others)?;
        found.push(claim);
    }
    for binding in ports {
        reachable(binding, target)?;
        match binding.host_port {
            HostPort::Exact(_) => {}
            HostPort::AnyOf { first, last } => {
                let claim = first_free(binding, target, &found, others, first..=last);
                found.push(claim.ok_or_else(|| range_allocated(binding, first, last, others))?);
            }
            HostPort::Random => found.push(random(binding, target, &found, others)?),
        }
    }
    Ok(found)
}

/// A port on an address of one family leads to the container's address of that family.
fn reachable(binding: &PortBinding, target: &Target<'_>) -> Result<(), Error> {
    let Some(address) = binding.host_ip else {
        return Ok(());
    };
    let known = target.v4.is_some() || target.v6.is_some();
    let has = if address.is_ipv4() {
        target.v4.is_some()
    } else {
        target.v6.is_some()
    };
    if !known || has {
        return Ok(());
    }
    let (family, way_out) = if address.is_ipv4() {
        (4, "on an IPv6 address, or give the network an IPv4 subnet")
    } else {
        (6, "on an IPv4 address, or create the network with --ipv6")
    };
    Err(Error::NoSuchFamily {
        address,
        port: binding.container_port,
        family,
        way_out,
    })
}

/// Exact ports, consecutive ones drawn together.
fn runs(ports: &[PortBinding], target: &Target<'_>) -> Vec<Claim> {
    let exact = |binding: &PortBinding| match binding.host_port {
        HostPort::Exact(port) => Some((
            binding.protocol,
            binding.host_ip,
            port,
            binding.container_port,
        )),
        _ => None,
    };
    let mut exact: Vec<_> = ports.iter().filter_map(exact).collect();
    exact.sort_unstable();
    exact.dedup();
    let mut runs: Vec<Claim> = Vec::new();
    for (protocol, host_ip, host, container) in exact {
        let binding = PortBinding {
            host_ip,
            host_port: HostPort::Exact(host),
            container_port: container,
            protocol,
        };
        if let Some(run) = runs.last_mut()
            && (run.protocol, run.host_ip) == (protocol, host_ip)
            && run.allow.as_deref() == allowed(target, &binding)
            && Some(host) == run.last.checked_add(1)
            && container.wrapping_sub(host) == run.container_first.wrapping_sub(run.first)
        {
            run.last = host;
            continue;
        }
        runs.push(claim(target, &binding, host));
    }
    runs
}

/// What it comes to when the binding gets the host's port `host`.
fn claim(target: &Target<'_>, binding: &PortBinding, host: u16) -> Claim {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos() as u64;
    Claim {
        container: target.container.into(),
        container_name: target.container_name.into(),
        protocol: binding.protocol,
        host_ip: binding.host_ip,
        first: host,
        last: host,
        container_first: binding.container_port,
        group: target.group.map(Into::into),
        v4: target.v4,
        v6: target.v6,
        since,
        standing: Standing::default(),
        allow: allowed(target, binding).map(<[_]>::to_vec),
    }
}

/// Who may come by the binding, where not everybody may.
fn allowed<'a>(target: &Target<'a>, binding: &PortBinding) -> Option<&'a [SourceNetwork]> {
    let mut access = target.access.iter();
    let said = access.find(|access| access.binding == *binding)?;
    Some(&said.allow)
}

fn conflict<'a>(claim: &Claim, others: &'a [Claim]) -> Option<&'a Claim> {
    others
        .iter()
        .find(|other| other.meets(claim) && !other.may_share(claim))
}

/// Whether the claim can be had; `taken` is a claim known to stand against it.
fn free(claim: &Claim, taken: Option<&Claim>, others: &[Claim]) -> Result<(), Error> {
    let address = claim.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    if let Some(taken) = taken {
        let holder = format!("container {:?}", taken.container_name);
        return Err(Error::Allocated {
            address,
            port: claim.first.max(taken.first),
            holder: Some(holder),
        });
    }
    if others.iter().any(|other| other.may_share(claim)) {
        return Ok(()); // free when the first of the group came
    }
    if claim.last - claim.first >= MANY {
        return free_run(claim, address);
    }
    for port in claim.first..=claim.last {
        probe(address, port, claim.protocol)?;
    }
    Ok(())
}

/// Of a long run the ports that somebody listens on are found by one question, and only those tried. What is bound and not
/// listened on stands in nobody's way.
fn free_run(claim: &Claim, address: IpAddr) -> Result<(), Error> {
    let number = projection::protocol_number(claim.protocol);
    let Ok(listeners) = sockdiag::listeners(number) else {
        let mut ports = claim.first..=claim.last;
        return ports.try_for_each(|port| probe(address, port, claim.protocol));
    };
    // One stands for the run: whether the host has the address at all.
    probe(address, claim.first, claim.protocol)?;
    let within = |l: &&sockdiag::Listener| (claim.first..=claim.last).contains(&l.port);
    let taken = listeners.iter().filter(within).map(|l| l.port);
    taken
        .collect::<BTreeSet<u16>>()
        .into_iter()
        .try_for_each(|port| probe(address, port, claim.protocol))
}

/// Asks the kernel by binding, as a server would.
fn probe(address: IpAddr, port: u16, protocol: Protocol) -> Result<(), Error> {
    match try_bind(address, port, protocol) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Err(Error::Allocated {
            address,
            port,
            holder: holder::of(address, port, protocol),
        }),
        Err(e) if e.kind() == io::ErrorKind::AddrNotAvailable => {
            Err(Error::NoSuchAddress { address, port })
        }
        Err(source) => Err(Error::Probe {
            address,
            port,
            source,
        }),
    }
}

fn try_bind(address: IpAddr, port: u16, protocol: Protocol) -> io::Result<()> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, None),
        Protocol::Udp => (SocketType::DGRAM, None),
        Protocol::Sctp => (SocketType::STREAM, Some(ipproto::SCTP)),
    };
    let socket =
        match rustix::net::socket_with(family, kind, rustix::net::SocketFlags::CLOEXEC, number) {
            // A kernel without SCTP, or without IPv6, has nobody listening either.
            Err(rustix::io::Errno::PROTONOSUPPORT | rustix::io::Errno::AFNOSUPPORT) => {
                return Ok(());
            }
            other => other?,
        };
    if protocol == Protocol::Tcp {
        // Connections in TIME_WAIT do not count; a listener still does.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(rustix::net::bind(&socket, &SocketAddr::new(address, port))?)
}

fn first_free(
    binding: &PortBinding,
    target: &Target<'_>,
    found: &[Claim],
    others: &[Claim],
    candidates: impl Iterator<Item = u16>,
) -> Option<Claim> {
    let mut candidates = candidates.map(|port| {
        // Whoever takes any port of several wants one of its own.
        Claim {
            group: None,
            ..claim(target, binding, port)
        }
    });
    candidates.find(|claim| {
        let taken = found.iter().chain(others).find(|other| other.meets(claim));
        taken.is_none() && free(claim, None, &[]).is_ok()
    })
}

fn range_allocated(binding: &PortBinding, first: u16, last: u16, others: &[Claim]) -> Error {
    let whole = Claim {
        last,
        ..claim(&Target::default(), binding, first)
    };
    let holders = others.iter().filter(|other| other.meets(&whole));
    let names: Vec<String> = holders
        .map(|other| format!("container {:?}", other.container_name))
        .collect();
    Error::RangeAllocated {
        first,
        last,
        holder: (!names.is_empty()).then(|| names.join(", ")),
    }
}

fn random(
    binding: &PortBinding,
    target: &Target<'_>,
    found: &[Claim],
    others: &[Claim],
) -> Result<Claim, Error> {
    let (first, last) = ephemeral_range();
    let span = u32::from(last - first) + 1;
    let start = crate::random::bytes::<4>()
        .map(u32::from_ne_bytes)
        .unwrap_or_default()
        % span;
    let candidates = (0..span).map(|step| first + ((start + step) % span) as u16);
    first_free(binding, target, found, others, candidates).ok_or(Error::NoneFree {
        protocol: binding.protocol,
        first,
        last,
    })
}

fn ephemeral_range() -> (u16, u16) {
    let text =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text
        .split_whitespace()
        .filter_map(|word| word.parse::<u16>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) if first <= last && first > 0 => (first, last),
        _ => (49153, 65535),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'static> = Target {
        container: "c1",
        container_name: "web",
        group: None,
        v4: None,
        v6: None,
        access: &[],
    };

    fn exact(host: u16, container: u16) -> PortBinding {
        PortBinding {
            host_ip: None,
            host_port: HostPort::Exact(host),
            container_port: container,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn consecutive_ports_become_one_run_and_gaps_or_shifts_end_it() {
        let runs = runs(
            &[
                exact(3, 3),
                exact(1, 1),
                exact(2, 2),
                exact(4, 9),
                exact(6, 6),
            ],
            &TARGET,
        );
        let spans: Vec<_> = runs.iter().map(|run| (run.first, run.last)).collect();
        assert_eq!(spans, [(1, 3), (4, 4), (6, 6)]);
    }

    #[test]
    fn wildcards_meet_addresses_of_their_family_and_only_one_group_shares() {
        let base = claim(&TARGET, &exact(80, 80), 80);
        let local = Claim {
            host_ip: Some(Ipv4Addr::LOCALHOST.into()),
            ..base.clone()
        };
        let other = Claim {
            host_ip: Some(Ipv4Addr::new(10, 0, 0, 1).into()),
            ..base.clone()
        };
        let six = Claim {
            host_ip: Some(std::net::Ipv6Addr::UNSPECIFIED.into()),
            ..base.clone()
        };
        assert!(base.meets(&local) && base.meets(&six));
        assert!(!local.meets(&other) && !local.meets(&six));
        assert!(!base.meets(&Claim {
            protocol: Protocol::Udp,
            ..base.clone()
        }));
        let grouped = |name: &str| Claim {
            group: Some(name.into()),
            ..base.clone()
        };
        assert!(conflict(&grouped("a"), &[grouped("a")]).is_none());
        assert!(conflict(&grouped("a"), &[grouped("b")]).is_some());
        assert!(conflict(&base, std::slice::from_ref(&base)).is_some());
    }

    #[test]
    fn the_error_names_the_container_that_has_the_port() {
        let taken = claim(&TARGET, &exact(80, 80), 80);
        let mine = Target {
            container: "c2",
            ..TARGET
        };
        let text = resolve(&[exact(80, 8080)], &mine, &[taken])
            .unwrap_err()
            .to_string();
        assert_eq!(
            text,
            "Bind for 0.0.0.0:80 failed: port is already allocated (held by container \"web\")"
        );
    }
}
