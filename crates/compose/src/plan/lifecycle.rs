//! The plans of `stop`, `start`, `restart`, `kill`, `rm`, `pause` and `unpause`: what exists, in dependency order.

use super::up::resource;
use super::{Action, Plan, StepId};
use crate::labels;
use crate::observe::{Container, Status};
use compose_file::Project;
use compose_file::project::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// Stops what runs, dependents first.
pub fn stop(containers: &[&Container], timeout: Option<u64>) -> Plan {
    let mut plan = Plan::default();
    let mut steps: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    for container in dependents_first(containers)
        .into_iter()
        .filter(|c| c.status.is_active())
    {
        let dependents = containers.iter().filter(|c| needs(c, &container.service));
        let needs = dependents
            .filter_map(|c| steps.get(c.service.as_str()))
            .flatten()
            .copied()
            .collect();
        let action = Action::StopContainer {
            name: container.name.clone(),
            timeout,
        };
        let step = plan.add(needs, of(container), action, "stop");
        steps.entry(&container.service).or_default().push(step);
    }
    plan
}

/// Starts what does not run, dependencies first and as they want it.
pub fn start(project: Option<&Project>, containers: &[&Container]) -> Plan {
    let mut plan = Plan::default();
    let mut steps: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    let mut ordered = dependents_first(containers);
    ordered.reverse();
    for container in ordered {
        let action = match container.status {
            Status::Running | Status::Restarting => {
                plan.unchanged.push(container.name.clone());
                continue;
            }
            Status::Paused => Action::UnpauseContainer {
                name: container.name.clone(),
            },
            _ => Action::StartContainer {
                name: container.name.clone(),
                service: container.service.clone(),
            },
        };
        let needs = dependencies(&mut plan, project, container, containers, &steps);
        let step = plan.add(needs, of(container), action, "start");
        steps.entry(&container.service).or_default().push(step);
    }
    plan
}

fn dependencies(
    plan: &mut Plan,
    project: Option<&Project>,
    container: &Container,
    all: &[&Container],
    steps: &BTreeMap<&str, Vec<StepId>>,
) -> Vec<StepId> {
    let mut needed = Vec::new();
    let service = project.and_then(|p| p.service(&container.service));
    for (dependency, _) in labels::dependencies(&container.spec.labels) {
        let ready = steps.get(dependency.as_str()).cloned().unwrap_or_default();
        let how = service.and_then(|s| s.depends_on.get(&dependency));
        let condition = match how {
            Some(how) => how.condition,
            None => labels::condition(&container.spec.labels, &dependency),
        };
        let names: Vec<String> = all
            .iter()
            .filter(|c| c.service == dependency && !c.oneoff)
            .map(|c| c.name.clone())
            .collect();
        if condition == Condition::Started || names.is_empty() {
            needed.extend(ready);
            continue;
        }
        let required = how.is_none_or(|how| how.required);
        let action = Action::Await {
            containers: names,
            condition,
            required,
        };
        needed.push(plan.add(
            ready,
            format!("service:{dependency}"),
            action,
            format!("{} needs it", container.service),
        ));
    }
    needed
}

/// Restarts each, dependencies first and until they are as they are wanted; with them those that asked to be restarted together
/// (`depends_on.restart`).
pub fn restart(project: Option<&Project>, containers: &[&Container], timeout: Option<u64>) -> Plan {
    let mut plan = Plan::default();
    let mut steps: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    let mut ordered = dependents_first(containers);
    ordered.reverse();
    for container in ordered {
        let needs = dependencies(&mut plan, project, container, containers, &steps);
        let action = Action::RestartContainer {
            name: container.name.clone(),
            timeout,
        };
        let step = plan.add(needs, of(container), action, "restart");
        steps.entry(&container.service).or_default().push(step);
    }
    plan
}

/// The containers that a restart of some services concerns: theirs, and those that want to go along.
pub fn restarted_with<'a>(containers: &[&'a Container], services: &[String]) -> Vec<&'a Container> {
    let mut names: BTreeSet<&str> = services.iter().map(String::as_str).collect();
    loop {
        let before = names.len();
        for container in containers {
            if labels::dependencies(&container.spec.labels)
                .iter()
                .any(|(name, along)| *along && names.contains(name.as_str()))
            {
                names.insert(&container.service);
            }
        }
        if names.len() == before {
            break;
        }
    }
    containers
        .iter()
        .copied()
        .filter(|c| services.is_empty() || names.contains(c.service.as_str()))
        .collect()
}

/// The services named and those they need, by the labels of their containers.
pub fn needed_with(containers: &[Container], services: &[String]) -> Vec<String> {
    let mut names: BTreeSet<String> = services.iter().cloned().collect();
    loop {
        let before = names.len();
        for container in containers.iter().filter(|c| !c.oneoff) {
            if names.contains(&container.service) {
                let needed = labels::dependencies(&container.spec.labels);
                names.extend(needed.into_iter().map(|(name, _)| name));
            }
        }
        if names.len() == before {
            break;
        }
    }
    let exists = |name: &String| containers.iter().any(|c| c.service == *name);
    let wanted = |name: &String| services.contains(name) || exists(name);
    names.into_iter().filter(wanted).collect()
}

/// Sends a signal to what runs.
pub fn kill(containers: &[&Container], signal: &str) -> Plan {
    let running = containers.iter().filter(|c| c.status.is_active());
    each(running, "kill", |name| Action::KillContainer {
        name,
        signal: signal.to_owned(),
    })
}

/// Pauses what runs. Where everything is paused already the step says so by its failure.
pub fn pause(containers: &[&Container]) -> Plan {
    let running = containers.iter().any(|c| c.status == Status::Running);
    let status = if running {
        Status::Running
    } else {
        Status::Paused
    };
    let wanted = containers.iter().filter(|c| c.status == status);
    each(wanted, "pause", |name| Action::PauseContainer { name })
}

pub fn unpause(containers: &[&Container]) -> Plan {
    let paused = containers.iter().filter(|c| c.status == Status::Paused);
    each(paused, "unpause", |name| Action::UnpauseContainer { name })
}

/// Removes what does not run; with `volumes` what nobody named goes along.
pub fn remove(containers: &[&Container], volumes: bool) -> Plan {
    each(containers.iter(), "rm", |name| Action::RemoveContainer {
        name,
        force: false,
        volumes,
    })
}

fn each<'a>(
    containers: impl Iterator<Item = &'a &'a Container>,
    cause: &str,
    action: impl Fn(String) -> Action,
) -> Plan {
    let mut plan = Plan::default();
    for container in containers {
        plan.add(
            Vec::new(),
            of(container),
            action(container.name.clone()),
            cause,
        );
    }
    plan
}

fn of(container: &Container) -> String {
    resource(&container.service, container.number)
}

fn needs(container: &Container, service: &str) -> bool {
    container.service != service
        && labels::dependencies(&container.spec.labels)
            .iter()
            .any(|(name, _)| name == service)
}

/// Containers such that each comes before those it needs, by their labels; among equals as they come.
pub(crate) fn dependents_first<'a>(containers: &[&'a Container]) -> Vec<&'a Container> {
    let mut left: Vec<&Container> = containers.to_vec();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let services: BTreeSet<&str> = left
            .iter()
            .map(|c| c.service.as_str())
            .filter(|s| !left.iter().any(|c| needs(c, s)))
            .collect();
        let before = left.len();
        left.retain(|c| {
            let free = services.contains(c.service.as_str());
            if free {
                ordered.push(*c);
            }
            !free
        });
        if left.len() == before {
            // Labels that go round in a circle; then any order is as good.
            ordered.append(&mut left);
        }
    }
    ordered
}
