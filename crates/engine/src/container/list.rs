//! `ps`: containers with their states, filtered.

use super::names;
use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use model::filter::Filters;
use model::network::NetworkMode;

/// The keys of `ps --filter`.
pub const FILTERS: &[&str] = &[
    "id", "name", "label", "status", "ancestor", "network", "volume", "health", "publish",
    "expose", "exited", "before", "since", "is-task",
];

/// A container as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub record: ContainerRecord,
    pub state: State,
}

impl Listed {
    pub fn load(ctx: &Context, record: ContainerRecord) -> Result<Self> {
        let state = State::load(ctx, record.id.as_str())?;
        Ok(Self { record, state })
    }
}

/// Running containers on the host's own network: the first process of each, and its name.
pub fn on_host_network(ctx: &Context) -> Result<Vec<(i32, String)>> {
    let mut found = Vec::new();
    for record in ContainerRecord::list(ctx)? {
        if record.spec.network_mode == NetworkMode::Host
            && let Some(process) = State::load(ctx, record.id.as_str())?.process()
        {
            found.push((process.pid, record.name));
        }
    }
    Ok(found)
}

/// Whose process this is: one of these first processes is it, or an ancestor of it.
pub fn container_of(first: &[(i32, String)], pid: u32) -> Option<&str> {
    let mut pid = i32::try_from(pid).ok()?;
    // A chain of parents is short; one that changes under us is not followed for ever.
    for _ in 0..64 {
        if let Some((_, name)) = first.iter().find(|(known, _)| *known == pid) {
            return Some(name);
        }
        pid = sys::proc_stat::Stat::of(pid).ok()?.parent;
    }
    None
}

/// Containers that fit the filters, newest first. Without `all`, only active ones, unless a filter asks for a
/// status.
pub fn list(ctx: &Context, all: bool, filters: &Filters) -> Result<Vec<Listed>> {
    let bounds = Bounds::of(ctx, filters)?;
    let show_all = all || filters.contains("status") || filters.contains("exited");
    let mut listed = Vec::new();
    for record in ContainerRecord::list(ctx)? {
        super::launch::ensure_monitor(ctx, &record);
        let container = Listed::load(ctx, record)?;
        if (show_all || container.state.is_active())
            && bounds.hold(&container.record)
            && fits(&container, filters)
        {
            listed.push(container);
        }
    }
    Ok(listed)
}

/// `before` and `since`: creation times of other containers.
struct Bounds {
    before: Option<crate::Timestamp>,
    since: Option<crate::Timestamp>,
}

impl Bounds {
    fn of(ctx: &Context, filters: &Filters) -> Result<Self> {
        let time = |key: &str| -> Result<Option<crate::Timestamp>> {
            let Some(name) = filters.get(key).first() else {
                return Ok(None);
            };
            Ok(Some(names::resolve(ctx, name)?.created))
        };
        Ok(Self {
            before: time("before")?,
            since: time("since")?,
        })
    }

    fn hold(&self, record: &ContainerRecord) -> bool {
        self.before.is_none_or(|t| record.created < t)
            && self.since.is_none_or(|t| record.created > t)
    }
}

fn fits(container: &Listed, filters: &Filters) -> bool {
    let Listed { record, state } = container;
    filters.matches_prefix("id", record.id.as_str())
        && filters.matches_name("name", &record.name)
        && filters.matches_labels(&record.labels)
        && filters.matches_exact("status", state.status())
        && filters.any("ancestor", |a| is_ancestor(record, a))
        && filters.any("network", |n| {
            networks(container).iter().any(|have| have == n)
        })
        && filters.any("volume", |v| uses_volume(record, v))
        && filters.any("health", |h| h == health(container))
        && filters.any(
            "exited",
            |code| matches!(state, State::Exited(last) if last.exit_code.to_string() == code),
        )
        && filters.any("publish", |p| publishes(record, p))
        && filters.any("expose", |p| exposes(record, p))
        && filters.any("is-task", |t| t == "false" || t == "0")
}

fn is_ancestor(record: &ContainerRecord, wanted: &str) -> bool {
    let id = record
        .image
        .id
        .strip_prefix("sha256:")
        .unwrap_or(&record.image.id);
    let wanted_id = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    let tagless = |r: &str| r.strip_suffix(":latest").unwrap_or(r).to_owned();
    tagless(&record.spec.image) == tagless(wanted)
        || (wanted_id.len() >= 4 && id.starts_with(wanted_id))
}

/// The names of the networks a container is in, or will be once started.
pub fn networks(container: &Listed) -> Vec<String> {
    match &container.record.spec.network_mode {
        NetworkMode::Default => vec!["bridge".into()],
        NetworkMode::Host => vec!["host".into()],
        NetworkMode::None => vec!["none".into()],
        NetworkMode::Container(_) => vec![],
        NetworkMode::Networks => container
            .record
            .spec
            .networks
            .iter()
            .map(|n| n.network.clone())
            .collect(),
    }
}

fn uses_volume(record: &ContainerRecord, wanted: &str) -> bool {
    record.mounts.iter().any(|m| {
        let bind = matches!(&m.mount.kind, model::mount::MountKind::Bind { source, .. } if source == wanted);
        m.volume.as_deref() == Some(wanted) || m.mount.target == wanted || bind
    })
}

fn health(container: &Listed) -> &'static str {
    match (&container.record.healthcheck, container.state.health()) {
        (None, _) => "none",
        (Some(_), Some(health)) => health.status.as_str(),
        (Some(_), None) => "starting",
    }
}

fn publishes(record: &ContainerRecord, wanted: &str) -> bool {
    let ports = model::port::parse_expose(wanted).unwrap_or_default();
    record.spec.ports.iter().any(|b| {
        ports.iter().any(|p| {
            let host = matches!(b.host_port, model::port::HostPort::Exact(port) if port == p.port);
            b.protocol == p.protocol && (host || b.container_port == p.port)
        })
    })
}

fn exposes(record: &ContainerRecord, wanted: &str) -> bool {
    let ports = model::port::parse_expose(wanted).unwrap_or_default();
    record.exposed.iter().any(|e| ports.contains(e))
}

/// A filter value that stands for an error text of its own.
pub fn parse_filters(arguments: &[String]) -> Result<Filters> {
    Filters::parse(arguments, FILTERS).map_err(|e| Error::invalid("filter", e.to_string()))
}
