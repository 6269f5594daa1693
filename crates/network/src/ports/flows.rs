//! UDP flows that began before their port changed hands.
//!
//! The kernel chooses a flow's destination with its first packet and keeps to it while packets come. So when a UDP port is
//! published, or its container goes, the flows that would now lead elsewhere are forgotten: those to a published port of
//! ours, and no others. Where no UDP port is concerned the tracking table is not even looked at.
//!
//! Source: moby `libnetwork/iptables/conntrack.go`, which solves the same.

use super::claim::{Claim, addresses_meet};
use model::port::Protocol;
use std::net::IpAddr;
use sys::conntrack::{Conntrack, Flow};
use sys::netlink::{Error, RouteSocket};
use sys::nft::NftSocket;

/// Forgets the flows to ports whose claims came or went.
pub(super) fn settle(socket: &NftSocket, before: &[Claim], after: &[Claim]) -> Result<(), Error> {
    // Outlines do not concern us, and do not say where they lead.
    let whole = |claim: &&Claim| claim.v4.is_some() || claim.v6.is_some();
    let udp = |claims: &[Claim]| -> Vec<Claim> {
        let udp = claims
            .iter()
            .filter(|claim| claim.protocol == Protocol::Udp);
        udp.filter(whole).cloned().collect()
    };
    let (before, after) = (udp(before), udp(after));
    if before == after {
        return Ok(());
    }
    let conntrack = Conntrack::over(socket);
    let flows = conntrack.udp_flows()?;
    if flows.is_empty() {
        return Ok(());
    }
    let local: Vec<IpAddr> = RouteSocket::open()?
        .addresses()?
        .into_iter()
        .map(|a| a.address)
        .collect();
    for flow in flows
        .iter()
        .filter(|flow| is_stale(flow, &before, &after, &local))
    {
        conntrack.forget(flow)?;
    }
    Ok(())
}

fn is_stale(flow: &Flow, before: &[Claim], after: &[Claim], local: &[IpAddr]) -> bool {
    let to = flow.original.destination;
    let port = flow.original.destination_port;
    let concerns = |claim: &&Claim| {
        (claim.first..=claim.last).contains(&port) && addresses_meet(claim.host_ip, Some(to))
    };
    let leads_to = |claim: &&Claim| {
        let shift = claim.container_first.wrapping_sub(claim.first);
        let target = if to.is_ipv4() {
            claim.v4.map(IpAddr::V4)
        } else {
            claim.v6.map(IpAddr::V6)
        };
        target == Some(flow.reply.source) && flow.reply.source_port == port.wrapping_add(shift)
    };
    if after.iter().filter(concerns).any(|claim| leads_to(&claim)) {
        return false;
    }
    let was_ours = before.iter().filter(concerns).any(|claim| leads_to(&claim));
    let is_ours_now = local.contains(&to) && after.iter().any(|claim| concerns(&claim));
    was_ours || is_ours_now
}
