//! A container that stays: as it is, changed while it runs, by its successor, or begun again.

use super::cause::Divergence;
use super::{Planner, resource};
use crate::observe::{Container, Status};
use crate::plan::{Action, Shift, Step, StepId};
use crate::spec::ServiceSpec;
use compose_file::Service;

const INTERRUPTED: &str = "left over from an interrupted run";

impl<'a> Planner<'a> {
    /// A container that stays, as it is or by its successor.
    pub(super) fn keep(
        &mut self,
        service: &Service,
        spec: &ServiceSpec,
        container: &'a Container,
        divergence: Option<Divergence>,
    ) {
        let mut name = self.name(service, container.number);
        let mut before = match divergence {
            Some(Divergence::Replace(cause)) => {
                return self.replace(service, spec, container, &name, &cause);
            }
            Some(Divergence::Change(changes, cause)) => self.change(container, changes, &cause),
            None => Vec::new(),
        };
        self.readmit(container);
        if is_temporary(&container.name, &name) {
            let action = Action::RenameContainer {
                from: container.name.clone(),
                to: name.clone(),
            };
            let resource = resource(&service.name, container.number);
            before = vec![self.plan.add(before, resource, action, INTERRUPTED)];
        } else {
            name.clone_from(&container.name);
        }
        self.made
            .entry(service.name.clone())
            .or_default()
            .extend(&before);
        self.run(service, spec, container, name, before);
    }

    /// Has it running once the steps before are done.
    fn run(
        &mut self,
        service: &Service,
        spec: &ServiceSpec,
        container: &'a Container,
        name: String,
        mut before: Vec<StepId>,
    ) {
        let restarts = service
            .depends_on
            .iter()
            .find(|(dependency, how)| how.restart && self.replaced.contains(*dependency))
            .map(|(dependency, _)| dependency.clone());
        match (container.status, restarts) {
            (Status::Running | Status::Restarting, None)
                if !self.touched.contains(&container.name) =>
            {
                self.plan.unchanged.push(name);
            }
            (Status::Running | Status::Restarting | Status::Paused, Some(dependency)) => {
                self.restart_with(service, container, &name, before, &dependency);
            }
            (Status::Exited(0), _) if crate::job::is_job(service) => {
                self.plan.unchanged.push(name);
            }
            (Status::Paused, None) => {
                let resource = resource(&service.name, container.number);
                let action = Action::UnpauseContainer { name };
                let step = self.plan.add(before, resource, action, "paused");
                self.ready
                    .entry(service.name.clone())
                    .or_default()
                    .push(step);
            }
            (status, _) => {
                before.extend(self.stopped.get(&container.name));
                before.extend(self.network_steps(spec));
                let cause = match status {
                    Status::Created => "created, not started".to_owned(),
                    Status::Exited(code) => format!("exited ({code})"),
                    _ => "network changed".to_owned(),
                };
                self.start(service, container.number, &name, before, &cause);
            }
        }
    }

    /// It leans on a service that is replaced, and begins again with it.
    fn restart_with(
        &mut self,
        service: &Service,
        container: &'a Container,
        name: &str,
        mut before: Vec<StepId>,
        dependency: &str,
    ) {
        let cause = format!("service {dependency} is replaced");
        let rolls = self
            .plan
            .rolls
            .iter()
            .any(|roll| roll.service == dependency);
        if rolls {
            // There is always somebody to lean on: it begins again once all are new.
            before.extend(self.ready.get(dependency).into_iter().flatten());
        }
        let stop = self.stop(container, before, &cause);
        if !rolls {
            // The one it leans on goes away only after it has stopped.
            for step in self.stops_of(dependency) {
                self.plan.also_needs(step, stop);
            }
        }
        self.start(service, container.number, name, vec![stop], &cause);
    }

    fn stops_of(&self, service: &str) -> Vec<StepId> {
        let prefix = format!("service:{service}:");
        let stops = |s: &&Step| {
            matches!(s.action, Action::StopContainer { .. }) && s.resource.starts_with(&prefix)
        };
        self.plan.steps.iter().filter(stops).map(|s| s.id).collect()
    }

    /// One that an interrupted update had taken out of the balance is let in again.
    fn readmit(&mut self, container: &Container) {
        if container.withdrawn {
            let action = Action::Shift(Shift::Readmit {
                container: container.name.clone(),
            });
            let resource = resource(&container.service, container.number);
            self.plan.add(Vec::new(), resource, action, INTERRUPTED);
        }
    }
}

fn is_temporary(name: &str, of: &str) -> bool {
    name.split_once('_')
        .is_some_and(|(id, rest)| rest == of && id.len() == 12)
}
