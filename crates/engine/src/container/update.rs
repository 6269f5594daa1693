//! `update`: limits, restart policy, published ports and labels of an existing container, live where it runs.

use super::launch;
use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::events;
use crate::protocol::Request;
use model::access::PortAccess;
use model::container::ContainerSpec;
use model::limits::Resources;
use model::network::NetworkMode;
use model::port::PortBinding;
use model::restart::{RestartCondition, RestartPolicy};
use model::unpublish::Unpublish;
use std::collections::BTreeMap;

/// What is to change; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    pub resources: Resources,
    pub restart: Option<RestartPolicy>,
    /// All of them: others are given up.
    pub ports: Option<Published>,
    /// All that the user gave; those of the image stay.
    pub labels: Option<BTreeMap<String, String>>,
    pub stop_timeout: Option<u64>,
    /// Beside those that are there.
    pub publish: Published,
    pub unpublish: Vec<Unpublish>,
}

/// Published ports, never without what restricts them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Published {
    pub bindings: Vec<PortBinding>,
    /// Of these, those that not everybody may reach.
    pub access: Vec<PortAccess>,
}

impl Published {
    /// All that a container is to publish.
    pub fn of(spec: &ContainerSpec) -> Self {
        Self {
            bindings: spec.ports.clone(),
            access: spec.port_access.clone(),
        }
    }
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub fn update(ctx: &Context, container: &ContainerRecord, changes: &Changes) -> Result<()> {
    let lock = ContainerRecord::lock(ctx, container.id.as_str())?;
    let before = ContainerRecord::load(ctx, container.id.as_str())?
        .ok_or_else(|| Error::NoSuchContainer(container.name.clone()))?;
    let mut changed = before.clone();
    merge(&mut changed.spec.resources, &changes.resources);
    if let Some(restart) = &changes.restart {
        if before.spec.auto_remove && restart.condition != RestartCondition::No {
            return Err(Error::invalid(
                "Restart policy cannot be updated",
                "AutoRemove is enabled for the container",
            ));
        }
        changed.spec.restart = restart.clone();
    }
    if let Some(ports) = &changes.ports {
        changed.spec.ports.clone_from(&ports.bindings);
        changed.spec.port_access.clone_from(&ports.access);
    }
    ports(&mut changed, changes)?;
    if let Some(labels) = &changes.labels {
        relabel(&mut changed, labels);
    }
    changed.spec.stop_timeout = changes.stop_timeout.or(changed.spec.stop_timeout);
    crate::spec::check(&changed.spec)?;
    changed.save(ctx)?;
    drop(lock);
    if State::load(ctx, changed.id.as_str())?.is_active()
        && let Err(refused) = launch::ask(ctx, &changed, &Request::Reload)
    {
        before.save(ctx)?;
        return Err(refused);
    }
    events::emit_container(ctx, "update", &changed, &[]);
    Ok(())
}

fn relabel(container: &mut ContainerRecord, labels: &BTreeMap<String, String>) {
    let given = std::mem::replace(&mut container.spec.labels, labels.clone());
    container.labels.retain(|key, _| !given.contains_key(key));
    container.labels.extend(labels.clone());
}

/// What limits become by an update.
pub fn merged(have: &Resources, new: &Resources) -> Resources {
    let mut have = have.clone();
    merge(&mut have, new);
    have
}

/// What goes before what comes, so that a port can be led elsewhere in one step.
fn ports(changed: &mut ContainerRecord, changes: &Changes) -> Result<()> {
    let new = &changes.publish;
    if new.bindings.is_empty() && changes.unpublish.is_empty() {
        return Ok(());
    }
    let refused = |cause: String| {
        let what = format!("cannot change the ports of container {}", changed.name);
        Err(Error::invalid(what, cause))
    };
    if !matches!(
        changed.spec.network_mode,
        NetworkMode::Default | NetworkMode::Networks
    ) {
        return refused(format!(
            "its network mode is {}, where nothing is published",
            changed.spec.network_mode
        ));
    }
    let mut left = changed.spec.ports.clone();
    for wanted in &changes.unpublish {
        let gone = wanted.of(&left);
        if gone.is_empty() {
            let has: Vec<String> = left.iter().map(ToString::to_string).collect();
            return refused(format!(
                "it does not publish {wanted}; it publishes {}",
                if has.is_empty() {
                    "nothing".into()
                } else {
                    has.join(", ")
                }
            ));
        }
        left.retain(|port| !gone.contains(port));
    }
    for port in &new.bindings {
        if left.contains(port) {
            return refused(format!("it publishes {port} already"));
        }
        left.push(*port);
    }
    changed
        .spec
        .port_access
        .retain(|access| left.contains(&access.binding) && !new.bindings.contains(&access.binding));
    changed.spec.port_access.extend(new.access.iter().cloned());
    changed.spec.ports = left;
    Ok(())
}

fn merge(have: &mut Resources, new: &Resources) {
    fn take<T: Clone>(have: &mut Option<T>, new: &Option<T>) {
        if new.is_some() {
            have.clone_from(new);
        }
    }
    take(&mut have.memory, &new.memory);
    take(&mut have.memory_reservation, &new.memory_reservation);
    take(&mut have.memory_swap, &new.memory_swap);
    take(&mut have.memory_swappiness, &new.memory_swappiness);
    take(&mut have.nano_cpus, &new.nano_cpus);
    take(&mut have.cpu_shares, &new.cpu_shares);
    take(&mut have.cpu_period, &new.cpu_period);
    take(&mut have.cpu_quota, &new.cpu_quota);
    take(&mut have.cpu_rt_period, &new.cpu_rt_period);
    take(&mut have.cpu_rt_runtime, &new.cpu_rt_runtime);
    take(&mut have.cpuset_cpus, &new.cpuset_cpus);
    take(&mut have.cpuset_mems, &new.cpuset_mems);
    take(&mut have.pids_limit, &new.pids_limit);
    take(&mut have.blkio_weight, &new.blkio_weight);
}
