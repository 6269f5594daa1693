//! What must come before what: resources and donors before a container is made, dependencies before it is started, a
//! port given up before another takes it.

use super::cause::donors;
use super::{Planner, Start, resource};
use crate::observe::Container;
use crate::plan::{Action, Step, StepId};
use crate::spec::ServiceSpec;
use compose_file::Service;
use compose_file::project::{Condition, Dependency};
use model::mount::MountKind;
use model::port::HostPort;
use std::collections::BTreeSet;

impl Planner<'_> {
    /// Networks, volumes, and the containers whose namespaces or volumes are joined.
    pub(super) fn needed_to_create(&self, service: &Service, spec: &ServiceSpec) -> Vec<StepId> {
        let mut needs = self.network_steps(spec);
        for mount in &spec.spec.mounts {
            if let MountKind::Volume {
                name: Some(name), ..
            } = &mount.kind
            {
                needs.extend(self.resources.get(name));
            }
        }
        let linked = service
            .links
            .iter()
            .map(|link| link.split(':').next().unwrap_or(link));
        for donor in donors(service).chain(linked) {
            needs.extend(self.made.get(donor).into_iter().flatten());
        }
        needs
    }

    pub(super) fn network_steps(&self, spec: &ServiceSpec) -> Vec<StepId> {
        spec.spec
            .networks
            .iter()
            .filter_map(|n| self.resources.get(&n.network).copied())
            .collect()
    }

    /// Starts a container once everything it depends on is as it wants it; who needs the service may start after it.
    pub(super) fn start(
        &mut self,
        service: &Service,
        number: u32,
        name: &str,
        needs: Vec<StepId>,
        cause: &str,
    ) {
        let step = self.begin(service, number, name, needs, cause);
        self.ready
            .entry(service.name.clone())
            .or_default()
            .extend(step);
    }

    /// The step that starts a container, if it is to be started.
    pub(super) fn begin(
        &mut self,
        service: &Service,
        number: u32,
        name: &str,
        needs: Vec<StepId>,
        cause: &str,
    ) -> Option<StepId> {
        if self.input.options.start == Start::No {
            return None;
        }
        let mut needs = needs;
        let already = self.plan.steps.len();
        for (dependency, how) in &service.depends_on {
            if self.pending.contains(dependency)
                || (self.input.options.no_dependencies && !self.is_selected(dependency))
            {
                continue;
            }
            let ready = self.ready.get(dependency).cloned().unwrap_or_default();
            if how.condition == Condition::Started {
                needs.extend(ready);
                continue;
            }
            needs.extend(self.wait(service, dependency, how, ready, already));
        }
        let action = Action::StartContainer {
            name: name.to_owned(),
            service: service.name.clone(),
        };
        let resource = resource(&service.name, number);
        Some(self.plan.add(needs, resource, action, cause))
    }

    pub(super) fn is_selected(&self, service: &str) -> bool {
        self.input
            .options
            .services
            .iter()
            .any(|name| name == service)
    }

    /// The step that waits for a dependency; the replicas of a service share it.
    pub(super) fn wait(
        &mut self,
        service: &Service,
        dependency: &str,
        how: &Dependency,
        ready: Vec<StepId>,
        before: usize,
    ) -> Option<StepId> {
        let cause = format!("{} needs it", service.name);
        let resource = format!("service:{dependency}");
        let same = |s: &&Step| {
            let action =
                matches!(&s.action, Action::Await { condition, .. } if *condition == how.condition);
            action && s.resource == resource && s.cause == cause
        };
        if let Some(step) = self.plan.steps[..before].iter().find(same) {
            return Some(step.id);
        }
        let target = self.input.project.service(dependency)?;
        let containers = self.container_names(target);
        if containers.is_empty() {
            return None;
        }
        let action = Action::Await {
            containers,
            condition: how.condition,
            required: how.required,
        };
        Some(self.plan.add(ready, resource, action, cause))
    }

    /// The names a service's containers have once the plan is carried out.
    pub(super) fn container_names(&self, service: &Service) -> Vec<String> {
        let prefix = format!("service:{}:", service.name);
        let mut names: BTreeSet<String> = BTreeSet::new();
        for step in self
            .plan
            .steps
            .iter()
            .filter(|s| s.resource.starts_with(&prefix))
        {
            match &step.action {
                Action::StartContainer { name, .. } | Action::UnpauseContainer { name } => {
                    names.insert(name.clone());
                }
                // Started before it had its name.
                Action::RenameContainer { from, to } if names.remove(from) => {
                    names.insert(to.clone());
                }
                _ => {}
            }
        }
        let existing = self
            .input
            .observed
            .of_service(&service.name)
            .map(|c| &c.name);
        names.extend(
            existing
                .filter(|name| self.plan.unchanged.contains(name))
                .cloned(),
        );
        names.into_iter().collect()
    }

    /// The step that stops a container; one container is stopped once.
    pub(super) fn stop(
        &mut self,
        container: &Container,
        needs: Vec<StepId>,
        cause: &str,
    ) -> StepId {
        if let Some(step) = self.stopped.get(&container.name).copied() {
            return step;
        }
        let action = Action::StopContainer {
            name: container.name.clone(),
            timeout: self.input.options.timeout,
        };
        let step = self.plan.add(
            needs,
            resource(&container.service, container.number),
            action,
            cause,
        );
        self.stopped.insert(container.name.clone(), step);
        step
    }

    /// A port that a container gives up is free before another one takes it.
    pub(super) fn free_ports_first(&mut self) {
        let mut given_up: Vec<(StepId, &Container)> = Vec::new();
        for container in &self.input.observed.containers {
            given_up.extend(
                self.stopped
                    .get(&container.name)
                    .or(self.rebound.get(&container.name))
                    .map(|step| (*step, container)),
            );
        }
        let mut wanted: Vec<(StepId, StepId)> = Vec::new();
        for step in &self.plan.steps {
            let Action::StartContainer { service, .. } = &step.action else {
                continue;
            };
            let Some(spec) = self.input.specs.get(service) else {
                continue;
            };
            let clash = |c: &&(StepId, &Container)| {
                c.1.service != *service && share_a_port(&c.1.spec.ports, &spec.spec.ports)
            };
            wanted.extend(
                given_up
                    .iter()
                    .filter(clash)
                    .map(|(stop, _)| (step.id, *stop)),
            );
        }
        for (start, stop) in wanted {
            self.plan.also_needs(start, stop);
        }
    }
}

pub(super) fn share_a_port(a: &[model::port::PortBinding], b: &[model::port::PortBinding]) -> bool {
    a.iter().any(|x| {
        matches!(x.host_port, HostPort::Exact(_))
            && b.iter()
                .any(|y| x.host_port == y.host_port && x.protocol == y.protocol)
    })
}
