//! The containers of one service: which stay, which are replaced, which come and which go.

use super::cause::Divergence;
use super::{Planner, resource};
use crate::observe::Container;
use crate::plan::{Action, Pending, StepId};
use crate::spec::ServiceSpec;
use crate::{names, placement};
use compose_file::Service;
use compose_file::project::DeployMode;
use std::collections::BTreeSet;

impl<'a> Planner<'a> {
    pub(super) fn service(&mut self, service: &'a Service) {
        if let Some(why) = self.obstacle(service) {
            self.pending.insert(service.name.clone());
            self.plan.pending.push(Pending {
                service: service.name.clone(),
                why,
            });
            return;
        }
        let Some(spec) = self.input.specs.get(&service.name) else {
            return;
        };
        if let Some(schedule) = service.schedule()
            && !self.input.options.jobs_as_services
        {
            return self.job(service, spec, schedule);
        }
        let wanted = self.wanted(service);
        let sorted = self.sorted(service, spec);
        let mut numbers: BTreeSet<u32> = BTreeSet::new();
        let mut kept = 0;
        let mut removed = Vec::new();
        let rules = self.rules(service);
        let mut rolled: Vec<(&Container, String)> = Vec::new();
        for (container, divergence) in sorted {
            if kept == wanted || numbers.contains(&container.number) {
                let why = if kept == wanted {
                    format!("scaled to {wanted}")
                } else {
                    "left over from an interrupted run".into()
                };
                removed.push((container, why));
                continue;
            }
            kept += 1;
            numbers.insert(container.number);
            match divergence {
                Some(Divergence::Replace(cause)) if rules.is_some() => {
                    rolled.push((container, cause));
                }
                other => self.keep(service, spec, container, other),
            }
        }
        let left: Vec<StepId> = removed
            .into_iter()
            .map(|(container, why)| match rules {
                Some(_) => self.retire(container, kept > 0, Vec::new(), &why),
                None => self.discard(container, &why),
            })
            .collect();
        if let Some(rules) = rules {
            self.roll(service, spec, rules, &rolled);
        }
        self.names_free_first(&left);
        let mut number = 0;
        while kept < wanted {
            number += 1;
            if numbers.insert(number) {
                kept += 1;
                self.fresh(service, spec, number);
            }
        }
    }

    /// Why a service is left alone: its placement, or one it needs that is itself pending.
    pub(super) fn obstacle(&self, service: &Service) -> Option<String> {
        if let Some(why) = placement::obstacle(service, self.input.node) {
            return Some(why);
        }
        let needed = service
            .depends_on
            .iter()
            .find(|(name, d)| d.required && self.pending.contains(*name));
        needed.map(|(name, _)| format!("it depends on {name}, which is pending"))
    }

    pub(super) fn wanted(&mut self, service: &Service) -> u32 {
        let global = service
            .deploy
            .as_ref()
            .is_some_and(|d| matches!(d.mode, DeployMode::Global | DeployMode::GlobalJob));
        let said = self.input.options.scale.get(&service.name).copied();
        let wanted = said.unwrap_or_else(|| if global { 1 } else { service.replicas() });
        let most = service
            .deploy
            .as_ref()
            .and_then(|d| d.placement.max_replicas_per_node)
            .filter(|most| *most > 0);
        let mut pending = |why| {
            self.plan.pending.push(Pending {
                service: service.name.clone(),
                why,
            });
        };
        let wanted = match most {
            Some(most) if wanted > most => {
                pending(format!(
                    "{most} of {wanted} replicas run: placement.max_replicas_per_node is {most} and there is one node"
                ));
                most
            }
            _ => wanted,
        };
        let Some(free) = &mut self.free else {
            return wanted;
        };
        let (fit, why) = free.reserve(service, wanted);
        why.into_iter().for_each(pending);
        if fit == 0 && wanted > 0 {
            // Who needs it waits with it.
            self.pending.insert(service.name.clone());
        }
        fit
    }

    /// The containers of a service with the cause to replace each: those to keep first.
    pub(super) fn sorted(
        &self,
        service: &Service,
        spec: &ServiceSpec,
    ) -> Vec<(&'a Container, Option<Divergence>)> {
        let observed = self.input.observed;
        let mut all: Vec<(&Container, Option<Divergence>)> = observed
            .containers
            .iter()
            .filter(|c| c.service == service.name && !c.oneoff)
            .map(|c| (c, self.divergence(service, spec, c)))
            .collect();
        // By its own name before a successor that never got it; what is up to date before what is not; low numbers.
        all.sort_by_key(|(c, divergence)| {
            (
                c.name != self.name(service, c.number),
                divergence.is_some(),
                c.number,
                c.name.clone(),
            )
        });
        all
    }

    pub(super) fn name(&self, service: &Service, number: u32) -> String {
        names::container(
            &self.input.project.name,
            service,
            number,
            self.input.options.separator,
        )
    }

    pub(super) fn replace(
        &mut self,
        service: &Service,
        spec: &ServiceSpec,
        old: &'a Container,
        name: &str,
        cause: &str,
    ) {
        self.replaced.insert(service.name.clone());
        let resource = resource(&service.name, old.number);
        let temporary = names::temporary(&old.id, name);
        let new = self.replacement(service, spec, old, &temporary, name);
        let needs = self.needed_to_create(service, spec);
        let create = self.plan.add(
            needs,
            resource.clone(),
            Action::CreateContainer(Box::new(new)),
            cause,
        );
        let stop = self.stop(old, vec![create], cause);
        let removal = Action::RemoveContainer {
            name: old.name.clone(),
            force: true,
            volumes: false,
        };
        let remove = self.plan.add(vec![stop], resource.clone(), removal, cause);
        let rename = Action::RenameContainer {
            from: temporary,
            to: name.to_owned(),
        };
        let ready = self.plan.add(vec![remove], resource, rename, cause);
        self.made
            .entry(service.name.clone())
            .or_default()
            .push(ready);
        self.start(service, old.number, name, vec![ready], cause);
    }

    /// A container left over by an interrupted run may have the name that a successor is made under.
    fn names_free_first(&mut self, removals: &[StepId]) {
        let mut waits = Vec::new();
        for removal in removals {
            let gone = self.plan.steps[removal - 1].action.object();
            let made =
                self.plan.steps.iter().filter(
                    |s| matches!(&s.action, Action::CreateContainer(new) if new.name == gone),
                );
            waits.extend(made.map(|step| (step.id, *removal)));
        }
        for (step, removal) in waits {
            self.plan.also_needs(step, removal);
        }
    }

    pub(super) fn fresh(&mut self, service: &Service, spec: &ServiceSpec, number: u32) {
        let name = self.name(service, number);
        let new = self.new_container(service, spec, number, &name, &name);
        let needs = self.needed_to_create(service, spec);
        let cause = "no existing container";
        let create = self.plan.add(
            needs,
            resource(&service.name, number),
            Action::CreateContainer(Box::new(new)),
            cause,
        );
        self.made
            .entry(service.name.clone())
            .or_default()
            .push(create);
        self.start(service, number, &name, vec![create], cause);
    }

    pub(super) fn discard(&mut self, container: &Container, cause: &str) -> StepId {
        let needs = match container.status.is_active() {
            true => vec![self.stop(container, Vec::new(), cause)],
            false => Vec::new(),
        };
        let action = Action::RemoveContainer {
            name: container.name.clone(),
            force: true,
            volumes: false,
        };
        self.plan.add(
            needs,
            resource(&container.service, container.number),
            action,
            cause,
        )
    }
}
