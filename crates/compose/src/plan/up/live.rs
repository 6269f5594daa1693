//! What a container can be changed in while it runs, and the steps that do it.
//!
//! That nothing else differs is known from the hash of everything else ([`labels::FIXED_HASH`]), not from the two
//! specifications: they do not hold the contents of configs and secrets.

use super::order::share_a_port;
use super::{Planner, resource};
use crate::change;
use crate::labels;
use crate::observe::Container;
use crate::plan::live::LiveChange;
use crate::plan::{Action, StepId};
use crate::spec::ServiceSpec;
use engine::container::update::{Changes, Published, merged};
use model::container::ContainerSpec;
use model::network::EndpointSettings;

/// Labels that belong to a container and not to its service.
const OWN: [&str; 3] = [labels::NUMBER, labels::IMAGE, labels::REPLACE];

/// The changes that make the container as its service is wanted, and why; `None`: it must be replaced.
pub(super) fn changes(
    container: &Container,
    spec: &ServiceSpec,
) -> Option<(Vec<LiveChange>, String)> {
    let (old, new) = (&container.spec, &spec.spec);
    let fixed = |spec: &ContainerSpec| spec.labels.get(labels::FIXED_HASH).cloned();
    if fixed(old).is_none() || fixed(old) != fixed(new) {
        return None;
    }
    let mut steps = networks(container, new)?;
    let mut changes = Changes::default();
    if old.resources != new.resources {
        if merged(&old.resources, &new.resources) != new.resources {
            return None;
        }
        changes.resources = new.resources.clone();
    }
    if old.stop_timeout != new.stop_timeout {
        changes.stop_timeout = Some(new.stop_timeout?);
    }
    changes.restart = (old.restart != new.restart).then(|| new.restart.clone());
    changes.ports = Some(Published::of(new)).filter(|ports| *ports != Published::of(old));
    let mut labels = new.labels.clone();
    let own = OWN.iter().filter_map(|key| old.labels.get_key_value(*key));
    labels.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    changes.labels = Some(labels);
    // Last: with its labels the container says that it is as the file wants it.
    steps.push(LiveChange::Update {
        container: container.name.clone(),
        changes: Box::new(changes),
    });
    let differences = change::differences(old, new);
    let cause = match differences.len() {
        0 => "changed without a new container".to_owned(),
        _ => format!(
            "changed without a new container ({})",
            differences.join(", ")
        ),
    };
    Some((steps, cause))
}

/// `None`: one it stays in is to be joined in another way, or it stays in none.
fn networks(container: &Container, new: &ContainerSpec) -> Option<Vec<LiveChange>> {
    let old = &container.spec;
    if old.networks == new.networks {
        return Some(Vec::new());
    }
    let named = |list: &[EndpointSettings], name: &str| -> Option<EndpointSettings> {
        list.iter().find(|e| e.network == name).cloned()
    };
    let mut steps = Vec::new();
    let mut stays = 0;
    for endpoint in &old.networks {
        match named(&new.networks, &endpoint.network) {
            Some(wanted) if wanted == *endpoint => stays += 1,
            Some(_) => return None,
            None => steps.push(LiveChange::Disconnect {
                container: container.name.clone(),
                network: endpoint.network.clone(),
            }),
        }
    }
    if stays == 0 || old.network_mode != new.network_mode {
        return None;
    }
    let joins = new.networks.iter();
    let joins = joins.filter(|endpoint| named(&old.networks, &endpoint.network).is_none());
    // It joins before it leaves: there is always a way out.
    let mut all: Vec<LiveChange> = joins
        .map(|endpoint| LiveChange::Connect {
            container: container.name.clone(),
            endpoint: Box::new(endpoint.clone()),
        })
        .collect();
    all.append(&mut steps);
    Some(all)
}

impl Planner<'_> {
    /// Whether another service has a port now that this one wants. Then it is replaced: two that swap their ports must both have
    /// stopped before either starts.
    pub(super) fn wants_a_port_of_others(&self, service: &str, spec: &ServiceSpec) -> bool {
        let others = self.input.observed.containers.iter();
        others
            .filter(|other| other.service != service)
            .any(|other| share_a_port(&other.spec.ports, &spec.spec.ports))
    }

    /// One after the other; gives the last step.
    pub(super) fn change(
        &mut self,
        container: &Container,
        changes: Vec<LiveChange>,
        cause: &str,
    ) -> Vec<StepId> {
        let mut last = Vec::new();
        for change in changes {
            let mut needs = std::mem::take(&mut last);
            if let LiveChange::Connect { endpoint, .. } = &change {
                needs.extend(self.resources.get(&endpoint.network));
            }
            let rebinds =
                matches!(&change, LiveChange::Update { changes, .. } if changes.ports.is_some());
            let resource = resource(&container.service, container.number);
            let step = self
                .plan
                .add(needs, resource, Action::Change(change), cause);
            if rebinds {
                self.rebound.insert(container.name.clone(), step);
            }
            last.push(step);
        }
        last
    }
}
