//! Which replicas of a group get new connections: the healthy ones, and not those that are about to go.
//!
//! What is connected stays connected whatever is said here, since the kernel remembers where a connection leads; so a replica is
//! taken out of the balance first ([`withdraw`]), and may stop when nothing leads to it any more ([`open_connections`]).

use super::claim::{self, Claim, claims};
use super::{Error, change};
use crate::firewall::Firewall;
use crate::{endpoint, endpoint_rules};
use serde::{Deserialize, Serialize};
use state::Layout;
use std::collections::BTreeSet;
use std::net::IpAddr;
use sys::conntrack::Conntrack;

/// Where a replica stands beside the others of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Whether new connections may come here while other members of the group serve.
    pub(crate) serving: bool,
    /// On its way out: nothing new comes here as long as there is any other member, serving or not.
    #[serde(default)]
    pub(crate) leaving: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            serving: true,
            leaving: false,
        }
    }
}

impl Standing {
    /// When nobody serves, a doubtful answer is better than none; one that leaves is the last resort.
    fn rank(self) -> u8 {
        match (self.leaving, self.serving) {
            (false, true) => 0,
            (false, false) => 1,
            (true, _) => 2,
        }
    }
}

/// Those that new connections go to.
pub(crate) fn keep_best<T>(members: &mut Vec<T>, standing: impl Fn(&T) -> Standing) {
    let best = members.iter().map(|member| standing(member).rank()).min();
    members.retain(|member| Some(standing(member).rank()) == best);
}

/// Lets a replica out of, or back into, the balance of its service's name and address and of the ports it shares: an
/// unhealthy one gets no new connections as long as another serves. Connections it has stay. Of no effect on names and ports
/// it has alone.
pub fn set_serving(layout: &Layout, container: &str, serving: bool) -> Result<(), Error> {
    turn(layout, container, &|standing| standing.serving = serving)
}

/// Takes a replica out of the balance for good: whatever its health, nothing new comes here as long as there is another.
pub fn withdraw(layout: &Layout, container: &str) -> Result<(), Error> {
    turn(layout, container, &|standing| standing.leaving = true)
}

/// The opposite of [`withdraw`], for one that stays after all.
pub fn readmit(layout: &Layout, container: &str) -> Result<(), Error> {
    turn(layout, container, &|standing| standing.leaving = false)
}

/// The containers that were withdrawn and are still there.
pub fn withdrawn(layout: &Layout) -> Result<BTreeSet<String>, Error> {
    let leaving = claims(layout)?
        .into_iter()
        .filter(|claim| claim.standing.leaving);
    let leaving = leaving.map(|claim| claim.container);
    Ok(leaving.chain(endpoint::leaving(layout)).collect())
}

/// How many TCP connections lead to these addresses, as far as the kernel tracks them.
pub fn open_connections(layout: &Layout, addresses: &[IpAddr]) -> Result<usize, Error> {
    let firewall = Firewall::open(layout)?;
    Conntrack::over(firewall.socket())
        .open_connections(addresses)
        .map_err(|source| Error::Flows { source })
}

/// Claims say by name who holds them.
pub(crate) fn rename(layout: &Layout, container: &str, name: &str) -> Result<(), Error> {
    change_claims(layout, container, |claim| {
        name.clone_into(&mut claim.container_name)
    })
}

/// Behind the names it shares, at the address its service has, and at the ports it shares.
fn turn(layout: &Layout, container: &str, edit: &dyn Fn(&mut Standing)) -> Result<(), Error> {
    endpoint::turn(layout, container, edit)?;
    endpoint_rules::turn(layout, container, edit).map_err(|source| Error::Service {
        source: Box::new(source),
    })?;
    change_claims(layout, container, |claim| edit(&mut claim.standing))
}

fn change_claims(layout: &Layout, container: &str, edit: impl Fn(&mut Claim)) -> Result<(), Error> {
    let turned = |claim: &Claim| {
        let mut after = claim.clone();
        if claim.container == container {
            edit(&mut after);
        }
        after
    };
    if claims(layout)?.iter().all(|claim| turned(claim) == *claim) {
        return Ok(());
    }
    let firewall = Firewall::open(layout)?;
    let before = claims(layout)?;
    let after: Vec<Claim> = before.iter().map(turned).collect();
    for claim in after.iter().filter(|claim| claim.container == container) {
        claim::write(layout, claim)?;
    }
    change(layout, &firewall, &before, &after)
}
