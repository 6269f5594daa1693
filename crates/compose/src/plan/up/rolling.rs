//! A service's containers replaced some at a time: batches, and in each slot the order of coming and going.

use super::{Planner, Start, resource};
use crate::observe::Container;
use crate::plan::roll::{Earlier, Reaction, Roll, Rules};
use crate::plan::shift::Shift;
use crate::plan::{Action, LiveChange, StepId};
use crate::spec::ServiceSpec;
use crate::{change, labels, names};
use compose_file::Service;
use compose_file::project::{FailureAction, UpdateOrder};
use engine::container::update::{Changes, Published};
use model::container::ContainerSpec;
use model::port::{HostPort, Protocol};
use std::time::Duration;

/// Docker's grace time.
const GRACE: u64 = 10;

/// One slot of the service: who leaves it, and what is needed before it is touched.
struct Slot<'s, 'c> {
    service: &'s Service,
    spec: &'s ServiceSpec,
    old: &'c Container,
    cause: &'s str,
    /// Steps of the batch before.
    after: &'s [StepId],
    /// Somebody else is there for new connections when the old one goes.
    relieved: bool,
}

/// The steps by which a slot is finished.
struct Finished {
    /// Its new container is ready and has its name.
    ready: StepId,
    /// Everything of it that the next batch waits for.
    last: StepId,
}

impl<'a> Planner<'a> {
    /// By which rules the changed containers of a service are replaced; `None`: all at once, as they come.
    pub(super) fn rules(&self, service: &Service) -> Option<Rules> {
        let options = self.input.options;
        let deploy = service.deploy.as_ref();
        let update = deploy.and_then(|deploy| deploy.update_config.as_ref());
        // A job has nothing to stay reachable for.
        if options.start == Start::No || crate::job::is_job(service) {
            return None;
        }
        if !options.going_back {
            return update.map(Rules::of);
        }
        let back = deploy.and_then(|deploy| deploy.rollback_config.as_ref());
        Some(back.map_or_else(|| Rules::going_back(update), Rules::of))
    }

    /// Replaces the containers by the rules, batch by batch.
    pub(super) fn roll(
        &mut self,
        service: &'a Service,
        spec: &ServiceSpec,
        mut rules: Rules,
        changed: &[(&'a Container, String)],
    ) {
        let Some((first, _)) = changed.first() else {
            return;
        };
        self.replaced.insert(service.name.clone());
        if rules.order == UpdateOrder::StartFirst
            && let Some(why) = one_at_a_time(&spec.spec, changed.len())
        {
            rules.order = UpdateOrder::StopFirst;
            self.plan.warnings.push(format!(
                "service {}: order start-first cannot be kept: {why}; each container stops before its successor starts",
                service.name
            ));
        }
        let id = self.plan.rolls.len();
        self.plan.rolls.push(Roll {
            service: service.name.clone(),
            slots: changed.len(),
            rules,
            tolerated: rules.tolerated(changed.len()),
            reaction: self.reaction(rules, first),
        });
        let size = rules.batch(changed.len());
        let active = self.input.observed.of_service(&service.name);
        let active = active.filter(|c| c.status.is_active()).count();
        let relieved = rules.order == UpdateOrder::StartFirst || active > size;
        let begin = self.plan.steps.len();
        let mut after: Vec<StepId> = Vec::new();
        for batch in changed.chunks(size) {
            let mut lasts = Vec::new();
            for (old, cause) in batch {
                let slot = Slot {
                    service,
                    spec,
                    old,
                    cause,
                    after: &after,
                    relieved,
                };
                let finished = match rules.order {
                    UpdateOrder::StartFirst => self.start_first(&slot),
                    UpdateOrder::StopFirst => self.stop_first(&slot),
                };
                self.watch(&slot, rules.monitor, finished.ready);
                lasts.push(finished.last);
            }
            after = self.pause_between(service, rules.delay, lasts);
        }
        self.forget_last_pause(&after);
        self.belong_to(id, &service.name, begin);
    }

    fn reaction(&self, rules: Rules, before: &Container) -> Reaction {
        match rules.failure_action {
            FailureAction::Continue => Reaction::Continue,
            // A way back that fails is not gone back.
            FailureAction::Rollback if !self.input.options.going_back => {
                Reaction::Rollback(Box::new(earlier(before)))
            }
            FailureAction::Pause | FailureAction::Rollback => Reaction::Pause,
        }
    }

    /// The new one is there and ready beside the old one before that is taken out.
    fn start_first(&mut self, slot: &Slot<'_, 'a>) -> Finished {
        let Slot {
            service,
            old,
            cause,
            ..
        } = *slot;
        let resource = resource(&service.name, old.number);
        let (create, temporary, name) = self.successor(slot);
        let late = publishes_late(service, slot.spec);
        if late && let Action::CreateContainer(new) = &mut self.plan.steps[create - 1].action {
            new.spec.ports.clear();
            new.spec.port_access.clear();
        }
        let start = self.begin(service, old.number, &temporary, vec![create], cause);
        let ready = Action::Shift(Shift::Ready {
            container: temporary.clone(),
            listens: if late {
                tcp_ports(slot.spec)
            } else {
                Vec::new()
            },
        });
        let mut ready = self
            .plan
            .add(start.into_iter().collect(), resource.clone(), ready, cause);
        if late {
            let publish = Action::Change(LiveChange::Update {
                container: temporary.clone(),
                changes: Box::new(Changes {
                    ports: Some(Published::of(&slot.spec.spec)),
                    ..Changes::default()
                }),
            });
            ready = self.plan.add(vec![ready], resource.clone(), publish, cause);
        }
        let gone = self.take_out(slot, vec![ready]);
        let rename = Action::RenameContainer {
            from: temporary,
            to: name,
        };
        let renamed = self.plan.add(vec![gone], resource, rename, cause);
        let of_service = |map: &mut std::collections::BTreeMap<String, Vec<StepId>>| {
            map.entry(service.name.clone()).or_default().push(renamed);
        };
        of_service(&mut self.made);
        of_service(&mut self.ready);
        Finished {
            ready: renamed,
            last: renamed,
        }
    }

    /// The old one goes, then the new one comes in its place.
    fn stop_first(&mut self, slot: &Slot<'_, 'a>) -> Finished {
        let Slot {
            service,
            old,
            cause,
            ..
        } = *slot;
        let resource = resource(&service.name, old.number);
        let (create, temporary, name) = self.successor(slot);
        let gone = self.take_out(slot, vec![create]);
        let rename = Action::RenameContainer {
            from: temporary,
            to: name.clone(),
        };
        let renamed = self.plan.add(vec![gone], resource.clone(), rename, cause);
        self.made
            .entry(service.name.clone())
            .or_default()
            .push(renamed);
        let start = self.begin(service, old.number, &name, vec![renamed], cause);
        let ready = Action::Shift(Shift::Ready {
            container: name,
            listens: Vec::new(),
        });
        let ready = self
            .plan
            .add(start.into_iter().collect(), resource, ready, cause);
        self.ready
            .entry(service.name.clone())
            .or_default()
            .push(ready);
        Finished { ready, last: ready }
    }

    /// Makes the new container under a temporary name; gives the step, that name and the one it will have.
    fn successor(&mut self, slot: &Slot<'_, 'a>) -> (StepId, String, String) {
        let name = self.name(slot.service, slot.old.number);
        let temporary = names::temporary(&slot.old.id, &name);
        let new = self.replacement(slot.service, slot.spec, slot.old, &temporary, &name);
        let needs = self.needed_to_create(slot.service, slot.spec);
        let create = self.plan.add(
            needs,
            resource(&slot.service.name, slot.old.number),
            Action::CreateContainer(Box::new(new)),
            slot.cause,
        );
        self.plan.steps[create - 1].after = slot.after.to_vec();
        (create, temporary, name)
    }

    /// New connections elsewhere, those that are there to their end, then it stops and goes.
    fn take_out(&mut self, slot: &Slot<'_, 'a>, needs: Vec<StepId>) -> StepId {
        self.retire(slot.old, slot.relieved, needs, slot.cause)
    }

    /// The same for any container; `relieved`: somebody else is there for new connections.
    pub(super) fn retire(
        &mut self,
        old: &Container,
        relieved: bool,
        needs: Vec<StepId>,
        cause: &str,
    ) -> StepId {
        let resource = resource(&old.service, old.number);
        let mut needs = needs;
        if old.status.is_active() {
            if relieved && (!old.spec.ports.is_empty() || old.spec.service_address) {
                let container = || old.name.clone();
                let withdraw = Shift::Withdraw {
                    container: container(),
                };
                let grace = self.input.options.timeout.or(old.spec.stop_timeout);
                let drain = Shift::Drain {
                    container: container(),
                    at_most: Duration::from_secs(grace.unwrap_or(GRACE)),
                };
                for shift in [withdraw, drain] {
                    let action = Action::Shift(shift);
                    needs = vec![self.plan.add(needs, resource.clone(), action, cause)];
                }
            }
            needs = vec![self.stop(old, needs, cause)];
        }
        let removal = Action::RemoveContainer {
            name: old.name.clone(),
            force: true,
            volumes: false,
        };
        self.plan.add(needs, resource, removal, cause)
    }

    /// Beside what goes on: that the new one ends soon is a failure of the roll.
    fn watch(&mut self, slot: &Slot<'_, 'a>, period: Duration, ready: StepId) {
        if period.is_zero() {
            return;
        }
        let action = Action::Shift(Shift::Watch {
            container: self.name(slot.service, slot.old.number),
            period,
        });
        let resource = resource(&slot.service.name, slot.old.number);
        self.plan.add(vec![ready], resource, action, slot.cause);
    }

    fn pause_between(
        &mut self,
        service: &Service,
        period: Duration,
        after: Vec<StepId>,
    ) -> Vec<StepId> {
        if period.is_zero() {
            return after;
        }
        let action = Action::Shift(Shift::Delay { period });
        let resource = format!("service:{}:", service.name);
        let step = self
            .plan
            .add(Vec::new(), resource, action, "update_config.delay");
        self.plan.steps[step - 1].after = after;
        vec![step]
    }

    /// Nothing comes after the last batch.
    fn forget_last_pause(&mut self, last: &[StepId]) {
        if let [step] = last
            && *step == self.plan.steps.len()
            && matches!(
                self.plan.steps[step - 1].action,
                Action::Shift(Shift::Delay { .. })
            )
        {
            self.plan.steps.pop();
        }
    }

    /// The steps since `begin` that are about the service are those of the roll.
    fn belong_to(&mut self, roll: usize, service: &str, begin: usize) {
        let prefix = format!("service:{service}:");
        for step in &mut self.plan.steps[begin..] {
            if step.resource.starts_with(&prefix) {
                step.roll = Some(roll);
            }
        }
    }
}

/// Where nothing checks its health, a container gets its ports once it is ready. One that is checked joins the balance by itself.
fn publishes_late(service: &Service, spec: &ServiceSpec) -> bool {
    service.healthcheck.is_none() && !spec.spec.ports.is_empty()
}

fn tcp_ports(spec: &ServiceSpec) -> Vec<u16> {
    let ports = spec.spec.ports.iter();
    let tcp = ports.filter(|port| port.protocol == Protocol::Tcp);
    tcp.map(|port| port.container_port).collect()
}

/// Why two containers of this kind cannot run beside each other.
fn one_at_a_time(spec: &ContainerSpec, slots: usize) -> Option<String> {
    let fixed = |e: &&model::network::EndpointSettings| {
        e.ipv4_address.is_some() || e.ipv6_address.is_some() || e.mac_address.is_some()
    };
    if let Some(endpoint) = spec.networks.iter().find(fixed) {
        return Some(format!(
            "its address in network {} is fixed",
            endpoint.network
        ));
    }
    let narrow = spec.ports.iter().find_map(|port| match port.host_port {
        HostPort::AnyOf { first, last } if usize::from(last - first) < slots => Some((first, last)),
        _ => None,
    });
    narrow.map(|(first, last)| format!("the range of host ports {first}-{last} has none left over"))
}

/// What the service was, as one of its containers says.
fn earlier(container: &Container) -> Earlier {
    let mut spec = container.spec.clone();
    for label in [labels::NUMBER, labels::IMAGE, labels::REPLACE] {
        spec.labels.remove(label);
    }
    change::forget_anonymous(&mut spec.mounts);
    Earlier {
        spec: ServiceSpec {
            spec,
            files: Vec::new(),
            hash: container.config_hash.clone(),
        },
        image_id: container.image_id.clone(),
    }
}
