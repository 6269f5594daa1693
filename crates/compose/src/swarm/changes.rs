//! What `service update` and `service scale` change of services: a list per service, kept beside the project's files and applied
//! over them until the next `stack deploy`, which says everything anew.
//!
//! Source: Docker CLI reference (`docker service update`).

use compose_file::project::{Deploy, FailureAction, ServicePort, UpdateConfig, UpdateOrder};
use compose_file::{Project, Service};
use engine::{Context, Error};
use model::restart::{RestartCondition, RestartPolicy};
use serde::{Deserialize, Serialize};
use state::{Durability, record};
use std::collections::BTreeMap;
use std::time::Duration;

/// One change. A later one of the same thing takes an earlier one's place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    Image(String),
    Replicas(u32),
    Args(Vec<String>),
    User(String),
    WorkingDir(String),
    Hostname(String),
    /// `None`: take it away.
    Environment(String, Option<String>),
    ContainerLabel(String, Option<String>),
    ServiceLabel(String, Option<String>),
    /// In the short form (`8080:80/tcp`).
    Publish(String),
    /// By the container's port (`80/tcp`).
    Unpublish(String),
    LimitCpus(u64),
    LimitMemory(u64),
    LimitPids(i64),
    ReserveMemory(u64),
    RestartCondition(RestartCondition),
    RestartDelay(Duration),
    RestartAttempts(u32),
    StopGracePeriod(Duration),
    Constraint(String, bool),
    Parallelism(u32),
    Delay(Duration),
    Monitor(Duration),
    StartFirst(bool),
    FailureAction(String),
    MaxFailureRatio(f64),
}

/// The changes of one project, by service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    pub services: BTreeMap<String, Vec<Change>>,
    /// As they were before the last change of each service: what a rollback goes back to.
    pub previous: BTreeMap<String, Vec<Change>>,
}

impl Changes {
    pub fn load(ctx: &Context, project: &str) -> Result<Self, Error> {
        let path = ctx.layout.service_changes(project);
        Ok(record::read(&path)?.unwrap_or_default())
    }

    pub fn save(&self, ctx: &Context, project: &str) -> Result<(), Error> {
        let path = ctx.layout.service_changes(project);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        }
        Ok(record::write(&path, self, Durability::Durable)?)
    }

    /// What the files say counts again, for the services named or for all.
    pub fn forget(ctx: &Context, project: &str, services: &[String]) -> Result<(), Error> {
        let path = ctx.layout.service_changes(project);
        let mut changes = match services.is_empty() {
            true => Self::default(),
            false => Self::load(ctx, project)?,
        };
        let stays = |name: &String, _: &mut Vec<Change>| !services.contains(name);
        changes.services.retain(stays);
        changes.previous.retain(stays);
        match changes == Self::default() {
            true => Ok(record::remove(&path)?),
            false => changes.save(ctx, project),
        }
    }

    /// Enters what one command changes.
    pub fn add(&mut self, service: &str, more: &[Change]) {
        let changes = self.services.entry(service.to_owned()).or_default();
        self.previous.insert(service.to_owned(), changes.clone());
        for change in more {
            changes.retain(|earlier| !earlier.is_of_the_same(change));
            changes.push(change.clone());
        }
    }

    /// Exchanges a service's changes with those before the last command; `false`: there was none. Done again it is undone.
    pub fn roll_back(&mut self, service: &str) -> bool {
        let Some(previous) = self.previous.remove(service) else {
            return false;
        };
        let now = self.services.insert(service.to_owned(), previous);
        self.previous
            .insert(service.to_owned(), now.unwrap_or_default());
        true
    }

    /// Changes the project as it was read from its files. A service it does not have any more is passed over.
    pub fn apply(&self, project: &mut Project) -> Result<(), Error> {
        for (name, changes) in &self.services {
            if let Some(service) = project.service_mut(name) {
                changes
                    .iter()
                    .try_for_each(|change| change.apply(service))?;
            }
        }
        Ok(())
    }
}

impl Change {
    fn is_of_the_same(&self, other: &Self) -> bool {
        use Change::{Constraint, ContainerLabel, Environment, Publish, ServiceLabel, Unpublish};
        match (self, other) {
            (Environment(a, _), Environment(b, _))
            | (ContainerLabel(a, _), ContainerLabel(b, _))
            | (ServiceLabel(a, _), ServiceLabel(b, _))
            | (Constraint(a, _), Constraint(b, _))
            | (Publish(a), Publish(b))
            | (Unpublish(a), Unpublish(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    fn apply(&self, service: &mut Service) -> Result<(), Error> {
        match self {
            Self::Image(image) => {
                service.image = Some(image.clone());
                // What is asked for by name is not what the folder would make.
                service.build = None;
            }
            Self::Replicas(count) => {
                service.scale = None;
                deploy(service).replicas = Some(*count);
            }
            Self::Args(words) => service.command = Some(words.clone()),
            Self::User(user) => service.user = Some(user.clone()),
            Self::WorkingDir(dir) => service.working_dir = Some(dir.clone()),
            Self::Hostname(name) => service.hostname = Some(name.clone()),
            Self::Environment(key, Some(value)) => {
                let _ = service.environment.insert(key.clone(), Some(value.clone()));
            }
            Self::Environment(key, None) => drop(service.environment.remove(key)),
            Self::ContainerLabel(key, value) => set(&mut service.labels, key, value.as_ref()),
            Self::ServiceLabel(key, value) => {
                set(&mut deploy(service).labels, key, value.as_ref());
            }
            Self::Publish(port) => publish(service, port)?,
            Self::Unpublish(port) => {
                let gone = model::port::parse_expose(port)?;
                let is = |p: &ServicePort| {
                    let binding = &p.binding;
                    gone.iter()
                        .any(|g| g.port == binding.container_port && g.protocol == binding.protocol)
                };
                service.ports.retain(|p| !is(p));
            }
            Self::StopGracePeriod(time) => service.stop_grace_period = Some(*time),
            _ => self.apply_to_deploy(service),
        }
        Ok(())
    }

    /// What stands below `deploy`.
    fn apply_to_deploy(&self, service: &mut Service) {
        match self {
            Self::LimitCpus(nano) => deploy(service).resources.limits.nano_cpus = Some(*nano),
            Self::LimitMemory(bytes) => deploy(service).resources.limits.memory = Some(*bytes),
            Self::LimitPids(count) => deploy(service).resources.limits.pids = Some(*count),
            Self::ReserveMemory(bytes) => {
                deploy(service).resources.reservations.memory = Some(*bytes);
            }
            Self::RestartCondition(condition) => restart(service).condition = *condition,
            Self::RestartDelay(delay) => restart(service).delay = Some(*delay),
            Self::RestartAttempts(most) => restart(service).max_attempts = Some(*most),
            Self::Constraint(text, wanted) => {
                let constraints = &mut deploy(service).placement.constraints;
                constraints.retain(|have| have != text);
                if *wanted {
                    constraints.push(text.clone());
                }
            }
            Self::Parallelism(count) => update(service).parallelism = Some(*count),
            Self::Delay(delay) => update(service).delay = Some(*delay),
            Self::Monitor(time) => update(service).monitor = Some(*time),
            Self::StartFirst(first) => {
                update(service).order = Some(match first {
                    true => UpdateOrder::StartFirst,
                    false => UpdateOrder::StopFirst,
                });
            }
            Self::FailureAction(action) => {
                update(service).failure_action = failure_action(action);
            }
            Self::MaxFailureRatio(ratio) => update(service).max_failure_ratio = Some(*ratio),
            _ => {}
        }
    }
}

/// `pause`, `continue`, `rollback`.
pub fn failure_action(text: &str) -> Option<FailureAction> {
    match text {
        "pause" => Some(FailureAction::Pause),
        "continue" => Some(FailureAction::Continue),
        "rollback" => Some(FailureAction::Rollback),
        _ => None,
    }
}

fn deploy(service: &mut Service) -> &mut Deploy {
    service.deploy.get_or_insert_default()
}

fn update(service: &mut Service) -> &mut UpdateConfig {
    deploy(service).update_config.get_or_insert_default()
}

fn restart(service: &mut Service) -> &mut RestartPolicy {
    let now = service.restart_policy();
    deploy(service).restart_policy.get_or_insert(now)
}

fn set(labels: &mut BTreeMap<String, String>, key: &str, value: Option<&String>) {
    match value {
        Some(value) => drop(labels.insert(key.to_owned(), value.clone())),
        None => drop(labels.remove(key)),
    }
}

/// A port of the container that is published already is published anew.
fn publish(service: &mut Service, text: &str) -> Result<(), Error> {
    for binding in model::port::parse(text)? {
        service.ports.retain(|port| {
            port.binding.host_port != binding.host_port || port.binding.protocol != binding.protocol
        });
        service.ports.push(ServicePort {
            allow: None,
            binding,
            name: None,
            mode: None,
            app_protocol: None,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(service: Service, changes: &[Change]) -> Service {
        let mut all = Changes::default();
        all.add("web", changes);
        let text = serde_json::to_string(&all).unwrap();
        let all: Changes = serde_json::from_str(&text).unwrap();
        let mut project = Project {
            services: vec![Service {
                name: "web".into(),
                ..service
            }],
            ..Default::default()
        };
        all.apply(&mut project).unwrap();
        project.services.remove(0)
    }

    #[test]
    fn every_change_arrives_and_the_last_of_a_kind_counts() {
        let mut web = Service {
            scale: Some(7),
            build: Some(Default::default()),
            ..Default::default()
        };
        web.environment.insert("GONE".into(), Some("1".into()));
        let env = |key: &str, value: Option<&str>| {
            Change::Environment(key.into(), value.map(str::to_owned))
        };
        let web = changed(
            web,
            &[
                Change::Image("nginx:1".into()),
                Change::Image("nginx:2".into()),
                Change::Replicas(3),
                env("A", Some("1")),
                env("A", Some("2")),
                env("GONE", None),
                Change::Publish("8080:80".into()),
                Change::Publish("8443:443".into()),
                Change::Unpublish("80".into()),
                Change::LimitMemory(1 << 20),
                Change::RestartCondition(RestartCondition::OnFailure),
                Change::RestartAttempts(2),
                Change::Constraint("node.labels.a == b".into(), true),
                Change::StartFirst(true),
                Change::FailureAction("rollback".into()),
            ],
        );
        assert_eq!((web.image.as_deref(), web.replicas()), (Some("nginx:2"), 3));
        assert!(web.build.is_none() && web.scale.is_none());
        assert_eq!(web.environment.len(), 1);
        assert_eq!(web.environment["A"].as_deref(), Some("2"));
        let ports: Vec<u16> = web.ports.iter().map(|p| p.binding.container_port).collect();
        assert_eq!(ports, [443]);
        assert_eq!(web.resources().memory, Some(1 << 20));
        assert_eq!(web.restart_policy().max_attempts, Some(2));
        let deploy = web.deploy.unwrap();
        assert_eq!(deploy.placement.constraints, ["node.labels.a == b"]);
        let update = deploy.update_config.unwrap();
        assert_eq!(update.order, Some(UpdateOrder::StartFirst));
        assert_eq!(update.failure_action, Some(FailureAction::Rollback));
    }

    #[test]
    fn a_rollback_undoes_the_last_command_and_itself() {
        let mut all = Changes::default();
        assert!(!all.roll_back("web"));
        all.add("web", &[Change::Replicas(2)]);
        all.add("web", &[Change::Replicas(5), Change::User("app".into())]);
        assert!(all.roll_back("web"));
        assert_eq!(all.services["web"], [Change::Replicas(2)]);
        assert!(all.roll_back("web"));
        assert_eq!(all.services["web"].len(), 2);
    }

    #[test]
    fn a_service_that_is_gone_is_passed_over() {
        let mut all = Changes::default();
        all.add("old", &[Change::Replicas(2)]);
        let mut project = Project::default();
        all.apply(&mut project).unwrap();
        assert_eq!(project, Project::default());
    }
}
