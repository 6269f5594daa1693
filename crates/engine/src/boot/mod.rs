//! `boot`: starts what the restart policies say, once after the host came up; and takes over what runs without
//! a monitor. Who depends on others waits for them as `up` would ([`gate`]); what calls it is [`hook`].

mod gate;
pub mod hook;

use crate::container::launch;
use crate::container::record::{ContainerRecord, Lifecycle};
use crate::container::start::{StartOptions, start};
use crate::container::state::{RunState, State};
use crate::context::Context;
use crate::error::Result;
use gate::{Condition, Course, Dependency};
use model::container::NamespaceMode;
use model::network::NetworkMode;
use model::restart::RestartCondition;

/// What came of one container.
#[derive(Debug)]
pub struct Outcome {
    pub name: String,
    pub result: Result<Action>,
    /// Dependencies that did not come to be as this one wants them: it was started nevertheless.
    pub in_spite_of: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Started,
    /// It ran, but its monitor was gone.
    Adopted,
}

/// So many are started at the same time; who waits does not count.
const AT_ONCE: usize = 8;

/// Starts and adopts. One that fails does not keep the others back: a project that is up in part is of more use than one that is
/// down. Containers come in the order of their dependencies, each as soon as its own are ready. `tell` hears of each as it is done.
pub fn boot(ctx: &Context, tell: &(dyn Fn(&Outcome) + Sync)) -> Result<Vec<Outcome>> {
    let mut containers = ContainerRecord::list(ctx)?;
    containers.sort_by_key(|c| c.created);
    let mut outcomes = Vec::new();
    let mut wanted = Vec::new();
    for container in in_order(&containers) {
        let id = container.id.as_str();
        if State::load(ctx, id)?.process().is_some() {
            if RunState::load(ctx, id)?.is_some_and(|r| !r.monitor.is_alive()) {
                let outcome = Outcome {
                    name: container.name.clone(),
                    result: launch::adopt(ctx, container).map(|()| Action::Adopted),
                    in_spite_of: Vec::new(),
                };
                tell(&outcome);
                outcomes.push(outcome);
            }
        } else if wants_start(ctx, container)? {
            crate::sweep::sweep_run(ctx, id)?;
            wanted.push(container);
        }
    }
    outcomes.extend(start_all(ctx, &containers, &wanted, tell));
    crate::sweep::sweep(ctx)?;
    Ok(outcomes)
}

/// One thread for each container: most of them wait.
fn start_all(
    ctx: &Context,
    all: &[ContainerRecord],
    wanted: &[&ContainerRecord],
    tell: &(dyn Fn(&Outcome) + Sync),
) -> Vec<Outcome> {
    let course = Course::new(wanted.iter().map(|c| c.id.as_str()), AT_ONCE);
    let one = |position: usize| {
        let container = wanted[position];
        // Of a circle, which Compose refuses, only those before it count.
        let earlier = &wanted[..position];
        let mut in_spite_of = Vec::new();
        for needed in needs(container) {
            for other in all.iter().filter(|o| needed.is(container, o)) {
                let starts = earlier.iter().any(|e| e.id == other.id);
                if let Err(why) = course.wait_for(ctx, other, starts, needed.condition) {
                    in_spite_of.push(format!("{} {why}", other.name));
                }
            }
        }
        let result = course.start(container.id.as_str(), || {
            start(ctx, container, StartOptions::default()).map(|_| Action::Started)
        });
        let outcome = Outcome {
            name: container.name.clone(),
            result,
            in_spite_of,
        };
        tell(&outcome);
        outcome
    };
    std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..wanted.len())
            .map(|position| scope.spawn(move || one(position)))
            .collect();
        let ended = threads.into_iter().filter_map(|t| t.join().ok());
        ended.collect()
    })
}

/// Docker's rules after a restart of the host.
fn wants_start(ctx: &Context, container: &ContainerRecord) -> Result<bool> {
    let Some(last) = Lifecycle::load(ctx, container.id.as_str())? else {
        return Ok(false);
    };
    Ok(match container.spec.restart.condition {
        RestartCondition::No => false,
        RestartCondition::Always => true,
        RestartCondition::UnlessStopped => !last.stopped_by_user,
        RestartCondition::OnFailure => {
            last.running || (last.exit_code != 0 && !last.stopped_by_user)
        }
    })
}

/// Dependencies before those who depend on them; else as they were made.
fn in_order(containers: &[ContainerRecord]) -> Vec<&ContainerRecord> {
    let mut ordered: Vec<&ContainerRecord> = Vec::new();
    let mut left: Vec<&ContainerRecord> = containers.iter().collect();
    while !left.is_empty() {
        let waits = |c: &ContainerRecord| {
            needs(c)
                .iter()
                .any(|d| left.iter().any(|o| o.id != c.id && d.is(c, o)))
        };
        let (later, now): (Vec<_>, Vec<_>) = left.iter().copied().partition(|c| waits(c));
        if now.is_empty() {
            // A circle: Compose refuses one, so this is not a project of ours; any order will do.
            ordered.extend(later);
            break;
        }
        ordered.extend(now);
        left = later;
    }
    ordered
}

/// What a container needs: the services of Compose's label (`db:service_healthy:true,cache:service_started:false`), and the
/// containers whose namespaces it joins.
fn needs(container: &ContainerRecord) -> Vec<Dependency> {
    let label = container
        .labels
        .get("com.docker.compose.depends_on")
        .map_or("", String::as_str);
    let services = label.split(',').filter_map(|entry| {
        let mut parts = entry.split(':');
        let name = parts.next().filter(|name| !name.is_empty())?;
        Some(Dependency {
            name: name.to_owned(),
            is_service: true,
            condition: Condition::parse(parts.next().unwrap_or_default()),
        })
    });
    let spec = &container.spec;
    let network = match &spec.network_mode {
        NetworkMode::Container(name) => Some(name),
        _ => None,
    };
    let joined = [network, joined(&spec.pid_mode), joined(&spec.ipc_mode)];
    let containers = joined.into_iter().flatten().map(|name| Dependency {
        name: name.clone(),
        is_service: false,
        condition: Condition::Started,
    });
    services.chain(containers).collect()
}

fn joined(mode: &NamespaceMode) -> Option<&String> {
    match mode {
        NamespaceMode::Container(name) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;
    use model::restart::RestartPolicy;

    fn service(ctx: &Context, name: &str, needs: &str) -> ContainerRecord {
        let label =
            |key: &str, value: &str| (format!("com.docker.compose.{key}"), value.to_owned());
        let spec = ContainerSpec {
            labels: [
                label("project", "shop"),
                label("service", name),
                label("depends_on", needs),
            ]
            .into(),
            ..Default::default()
        };
        container(ctx, name, spec)
    }

    fn names(ordered: &[&ContainerRecord]) -> Vec<String> {
        ordered.iter().map(|c| c.name.clone()).collect()
    }

    #[test]
    fn dependencies_come_before_those_who_need_them() {
        let (_dir, ctx) = context();
        let list = [
            service(
                &ctx,
                "web",
                "api:service_healthy:true,cache:service_started:false",
            ),
            service(&ctx, "api", "db:service_healthy:true"),
            service(&ctx, "cache", ""),
            service(&ctx, "db", ""),
        ];
        assert_eq!(names(&in_order(&list)), ["cache", "db", "api", "web"]);
    }

    #[test]
    fn conditions_and_joined_namespaces_are_needs() {
        let (_dir, ctx) = context();
        let web = service(
            &ctx,
            "web",
            "db:service_healthy:true,init:service_completed_successfully:false",
        );
        let found: Vec<_> = needs(&web)
            .into_iter()
            .map(|d| (d.name, d.condition))
            .collect();
        assert_eq!(
            found,
            [
                ("db".to_owned(), Condition::Healthy),
                ("init".to_owned(), Condition::Completed)
            ]
        );
        let spec = ContainerSpec {
            network_mode: NetworkMode::Container("web".into()),
            ..Default::default()
        };
        let side = container(&ctx, "side", spec);
        assert_eq!(names(&in_order(&[side, web])), ["web", "side"]);
    }

    #[test]
    fn a_circle_still_starts_everybody() {
        let (_dir, ctx) = context();
        let list = [service(&ctx, "aa", "bb"), service(&ctx, "bb", "aa")];
        assert_eq!(in_order(&list).len(), 2);
    }

    #[test]
    fn the_policies_decide_as_docker_does_after_a_restart_of_the_host() {
        let (_dir, ctx) = context();
        let starts = |condition, last: Option<Lifecycle>| {
            let spec = ContainerSpec {
                restart: RestartPolicy {
                    condition,
                    ..Default::default()
                },
                ..Default::default()
            };
            let web = container(&ctx, "web", spec);
            if let Some(last) = last {
                last.save(&ctx, web.id.as_str(), ::state::Durability::Volatile)
                    .unwrap();
            }
            let wanted = wants_start(&ctx, &web).unwrap();
            crate::container::remove::remove(&ctx, &web, Default::default()).unwrap();
            wanted
        };
        let ended = |exit_code, stopped_by_user, running| {
            Some(Lifecycle {
                exit_code,
                stopped_by_user,
                running,
                ..Default::default()
            })
        };
        use RestartCondition::{Always, No, OnFailure, UnlessStopped};
        assert!(!starts(Always, None), "never started");
        assert!(!starts(No, ended(1, false, true)));
        assert!(starts(Always, ended(0, true, false)));
        assert!(starts(UnlessStopped, ended(0, false, true)));
        assert!(!starts(UnlessStopped, ended(0, true, false)));
        assert!(starts(OnFailure, ended(3, false, false)));
        assert!(!starts(OnFailure, ended(0, false, false)));
        assert!(!starts(OnFailure, ended(3, true, false)));
        assert!(starts(OnFailure, ended(0, false, true)), "cut off");
    }
}
