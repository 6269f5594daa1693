//! `stack`, `service`, `node` and `swarm`: Docker's command line for a cluster, on the one host there is. What they show and
//! change are Compose projects ([`compose::swarm`]); nothing runs beside them.

mod cluster;
mod node;
mod service;
mod stack;
mod tasks;

use crate::failure::Failure;
use crate::session::Session;
use crate::verb::Verb;
use compose::swarm::view::{self, Service};

/// Every verb of these nouns.
pub(crate) fn verbs() -> impl Iterator<Item = &'static Verb> {
    [stack::VERBS, service::VERBS, node::VERBS, cluster::VERBS]
        .into_iter()
        .flatten()
}

/// The service of a name or an id.
fn find(session: &Session, wanted: &str) -> Result<Service, Failure> {
    let mut found = view::services(session.engine()?)?;
    found.retain(|service| service.is(wanted));
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::said(format!("no such service: {wanted}"))
            .hint("`service ls` lists them: <stack>_<service>")),
        count => Err(Failure::said(format!(
            "service {wanted} is ambiguous ({count} matches found)"
        ))
        .hint("use its id, as `service ls` shows it")),
    }
}

/// An id as lists show it.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
