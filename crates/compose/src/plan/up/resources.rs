//! Networks and volumes: made where they are missing, a changed network replaced around the containers on it.

use super::Planner;
use crate::observe::Container;
use crate::plan::{Action, StepId};
use crate::{change, labels};
use compose_file::Service;
use engine::volume::VolumeSpec;
use model::mount::MountKind;
use std::collections::{BTreeMap, BTreeSet};

impl<'a> Planner<'a> {
    pub(super) fn networks(&mut self, services: &[&Service]) {
        let project = self.input.project;
        let all = self.input.options.all_resources;
        let used: BTreeSet<&str> = services
            .iter()
            .flat_map(|s| s.networks.iter().map(|n| n.network.as_str()))
            .collect();
        for (key, network) in project
            .networks
            .iter()
            .filter(|(key, n)| (all || used.contains(key.as_str())) && !n.external)
        {
            let mut spec = network.spec.clone();
            let hash = change::hash_of(&spec);
            for (label, value) in [
                (labels::PROJECT, project.name.as_str()),
                (labels::NETWORK, key),
                (labels::CONFIG_HASH, &hash),
                (labels::VERSION, labels::OUR_VERSION),
            ] {
                spec.labels.insert(label.to_owned(), value.to_owned());
            }
            let resource = format!("network:{key}");
            let name = spec.name.clone();
            let (needs, cause) = match self.input.observed.networks.get(&name) {
                None => (Vec::new(), "not found"),
                Some(found) if found.labels.get(labels::PROJECT) != Some(&project.name) => {
                    self.plan.warnings.push(format!(
                        "a network with name {name} exists but was not created for project {:?}. Set `external: true` to use an existing network",
                        project.name
                    ));
                    continue;
                }
                Some(found)
                    if found
                        .labels
                        .get(labels::CONFIG_HASH)
                        .is_none_or(|have| *have == hash) =>
                {
                    continue;
                }
                Some(_) => {
                    let stops = self.vacate(&name, key);
                    let action = Action::RemoveNetwork { name: name.clone() };
                    (
                        vec![self.plan.add(
                            stops,
                            resource.clone(),
                            action,
                            "configuration changed",
                        )],
                        "configuration changed",
                    )
                }
            };
            let step = self
                .plan
                .add(needs, resource, Action::CreateNetwork { spec }, cause);
            self.resources.insert(name, step);
        }
    }

    /// Stops every container on a network that is about to be replaced.
    pub(super) fn vacate(&mut self, network: &str, key: &str) -> Vec<StepId> {
        let on = |c: &&Container| {
            c.status.is_active() && c.spec.networks.iter().any(|n| n.network == network)
        };
        let containers: Vec<&Container> =
            self.input.observed.containers.iter().filter(on).collect();
        let mut stops = Vec::new();
        for container in containers {
            self.touched.insert(container.name.clone());
            stops.push(self.stop(container, Vec::new(), &format!("network {key} changed")));
        }
        stops
    }

    pub(super) fn volumes(&mut self, services: &[&Service]) {
        let project = self.input.project;
        let all = self.input.options.all_resources;
        let mounts = services.iter().flat_map(|s| &s.volumes);
        let used: BTreeSet<&str> = mounts
            .filter_map(|v| match &v.mount.kind {
                MountKind::Volume {
                    name: Some(name), ..
                } => Some(name.as_str()),
                _ => None,
            })
            .collect();
        for (key, volume) in project
            .volumes
            .iter()
            .filter(|(key, v)| (all || used.contains(key.as_str())) && !v.external)
        {
            let hash = change::hash_of(&(&volume.driver, &volume.driver_opts, &volume.labels));
            if let Some(found) = self.input.observed.volumes.get(&volume.name) {
                self.existing_volume(&volume.name, &found.labels, &hash);
                continue;
            }
            let mut labels = volume.labels.clone();
            for (label, value) in [
                (labels::PROJECT, project.name.as_str()),
                (labels::VOLUME, key),
                (labels::CONFIG_HASH, &hash),
                (labels::VERSION, labels::OUR_VERSION),
            ] {
                labels.insert(label.to_owned(), value.to_owned());
            }
            let spec = VolumeSpec {
                name: Some(volume.name.clone()),
                driver: volume.driver.clone(),
                options: volume.driver_opts.clone(),
                labels,
            };
            let step = self.plan.add(
                Vec::new(),
                format!("volume:{key}"),
                Action::CreateVolume { spec },
                "not found",
            );
            self.resources.insert(volume.name.clone(), step);
        }
    }

    pub(super) fn existing_volume(
        &mut self,
        name: &str,
        found: &BTreeMap<String, String>,
        hash: &str,
    ) {
        let project = &self.input.project.name;
        match found.get(labels::PROJECT) {
            Some(owner) if owner == project => {
                if found.get(labels::CONFIG_HASH).is_some_and(|have| have != hash) {
                    self.plan.warnings.push(format!(
                        "volume {name:?} exists but doesn't match configuration in compose file; it is used as it is, so that no data is lost. Remove it (`docker volume rm {name}`) to have it made anew"
                    ));
                }
            }
            Some(owner) => self.plan.warnings.push(format!(
                "volume {name:?} already exists but was created for project {owner:?} (expected {project:?}). Use `external: true` to use an existing volume"
            )),
            None => self.plan.warnings.push(format!(
                "volume {name:?} already exists but was not created by Docker Compose. Use `external: true` to use an existing volume"
            )),
        }
    }
}
