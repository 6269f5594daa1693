//! The plan of `up` and `create`: what must be made, replaced, started and removed so that the host is as the file says.
//!
//! The rules of replacement are docker/compose's (`pkg/compose/convergence.go`): a container is replaced when the hash
//! of its configuration, its image, or a container whose namespace it joins has changed. The successor is made under
//! a temporary name while the old one still runs, which is then stopped and removed; so a command killed half-way
//! leaves either the old container or one that the next `up` finds by its labels and gives its name.

use super::{Action, NewContainer, Plan, StepId};
use crate::names::{self, Separator};
use crate::observe::{Container, Observed, Status};
use crate::placement::{self, Node};
use crate::spec::ServiceSpec;
use crate::{change, labels};
use compose_file::project::{Condition, NamespaceRef, NetworkModeRef, VolumesFromSource};
use compose_file::{Project, Service};
use engine::volume::VolumeSpec;
use model::mount::MountKind;
use model::port::HostPort;
use std::collections::{BTreeMap, BTreeSet};

/// What the command line says about a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The services named; empty: all.
    pub services: Vec<String>,
    pub scale: BTreeMap<String, u32>,
    pub recreate: Recreate,
    /// The same for services that are only there because others need them.
    pub recreate_dependencies: Recreate,
    pub renew_anonymous_volumes: bool,
    /// Leave out what the named services need.
    pub no_dependencies: bool,
    pub remove_orphans: bool,
    /// Do not mention orphans (`COMPOSE_IGNORE_ORPHANS`).
    pub ignore_orphans: bool,
    pub start: Start,
    /// Seconds before a container that is replaced is killed, instead of its own grace time.
    pub timeout: Option<u64>,
    pub separator: Separator,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recreate {
    /// When something changed.
    #[default]
    Diverged,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    #[default]
    Yes,
    /// `create`, `--no-start`.
    No,
}

/// What is known about a service's image when the plan is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    Present {
        id: String,
        /// Where it wants volumes (`VOLUME`).
        volumes: Vec<String>,
    },
    /// It will be pulled or built first; what for.
    Missing(String),
}

/// Everything the plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    pub project: &'a Project,
    pub observed: &'a Observed,
    pub specs: &'a BTreeMap<String, ServiceSpec>,
    pub images: &'a BTreeMap<String, ImageState>,
    pub node: &'a Node,
    pub options: &'a Options,
}

/// Makes the plan.
pub fn plan(input: Input<'_>) -> Plan {
    let mut planner = Planner::new(input);
    let services = selected(input.project, input.options);
    planner.networks(&services);
    planner.volumes(&services);
    for service in &services {
        planner.service(service);
    }
    planner.orphans();
    planner.free_ports_first();
    planner.plan
}

/// Only what must be made before a container can be: networks and volumes that are not there.
pub fn resources(input: Input<'_>) -> Plan {
    let mut planner = Planner::new(input);
    let services = selected(input.project, input.options);
    planner.networks(&services);
    planner.volumes(&services);
    let missing = planner.plan.steps.into_iter().filter(|step| {
        step.needs.is_empty() && matches!(step.action, Action::CreateNetwork { .. } | Action::CreateVolume { .. })
    });
    let mut plan = Plan { warnings: planner.plan.warnings, ..Plan::default() };
    for step in missing {
        plan.add(Vec::new(), step.resource, step.action, step.cause);
    }
    plan
}

/// The services a command is about, in dependency order: those named and what they need.
pub fn selected<'a>(project: &'a Project, options: &Options) -> Vec<&'a Service> {
    let ordered = project.in_dependency_order();
    if options.services.is_empty() {
        return ordered;
    }
    let mut wanted: BTreeSet<&str> = options.services.iter().map(String::as_str).collect();
    if !options.no_dependencies {
        for service in ordered.iter().rev() {
            if wanted.contains(service.name.as_str()) {
                wanted.extend(service.depends_on.keys().map(String::as_str));
            }
        }
    }
    ordered
        .into_iter()
        .filter(|service| wanted.contains(service.name.as_str()))
        .collect()
}

struct Planner<'a> {
    input: Input<'a>,
    plan: Plan,
    /// The step that makes a network or volume ready, by its real name.
    resources: BTreeMap<String, StepId>,
    /// The steps after which all containers of a service run.
    ready: BTreeMap<String, Vec<StepId>>,
    /// The steps after which all containers of a service are there under their names.
    made: BTreeMap<String, Vec<StepId>>,
    /// Services of which a container is replaced.
    replaced: BTreeSet<String>,
    /// The step that stops a container, by the container's name.
    stopped: BTreeMap<String, StepId>,
    /// Containers that a changed network is taken from: stopped by the step, to be started again.
    touched: BTreeSet<String>,
    pending: BTreeSet<String>,
}

impl<'a> Planner<'a> {
    fn new(input: Input<'a>) -> Self {
        Self {
            input,
            plan: Plan::default(),
            resources: BTreeMap::new(),
            ready: BTreeMap::new(),
            made: BTreeMap::new(),
            replaced: BTreeSet::new(),
            stopped: BTreeMap::new(),
            touched: BTreeSet::new(),
            pending: BTreeSet::new(),
        }
    }

    fn networks(&mut self, services: &[&Service]) {
        let project = self.input.project;
        let used: BTreeSet<&str> = services
            .iter()
            .flat_map(|s| s.networks.iter().map(|n| n.network.as_str()))
            .collect();
        for (key, network) in project
            .networks
            .iter()
            .filter(|(key, n)| used.contains(key.as_str()) && !n.external)
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
    fn vacate(&mut self, network: &str, key: &str) -> Vec<StepId> {
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

    fn volumes(&mut self, services: &[&Service]) {
        let project = self.input.project;
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
            .filter(|(key, v)| used.contains(key.as_str()) && !v.external)
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

    fn existing_volume(&mut self, name: &str, found: &BTreeMap<String, String>, hash: &str) {
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

    fn service(&mut self, service: &'a Service) {
        if let Some(why) = self.obstacle(service) {
            self.pending.insert(service.name.clone());
            self.plan.pending.push(super::Pending {
                service: service.name.clone(),
                why,
            });
            return;
        }
        let Some(spec) = self.input.specs.get(&service.name) else {
            return;
        };
        let wanted = self.wanted(service);
        let sorted = self.sorted(service, spec);
        let mut numbers: BTreeSet<u32> = BTreeSet::new();
        let mut kept = 0;
        let mut removed = Vec::new();
        for (container, cause) in sorted {
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
            self.keep(service, spec, container, cause);
        }
        for (container, why) in removed {
            self.discard(container, &why);
        }
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
    fn obstacle(&self, service: &Service) -> Option<String> {
        if let Some(why) = placement::obstacle(service, self.input.node) {
            return Some(why);
        }
        let needed = service
            .depends_on
            .iter()
            .find(|(name, d)| d.required && self.pending.contains(*name));
        needed.map(|(name, _)| format!("it depends on {name}, which is pending"))
    }

    fn wanted(&mut self, service: &Service) -> u32 {
        let global = service.deploy.as_ref().is_some_and(|d| {
            matches!(
                d.mode,
                compose_file::project::DeployMode::Global
                    | compose_file::project::DeployMode::GlobalJob
            )
        });
        let said = self.input.options.scale.get(&service.name).copied();
        let wanted = said.unwrap_or_else(|| if global { 1 } else { service.replicas() });
        let most = service
            .deploy
            .as_ref()
            .and_then(|d| d.placement.max_replicas_per_node)
            .filter(|most| *most > 0);
        match most {
            Some(most) if wanted > most => {
                let why = format!(
                    "{most} of {wanted} replicas run: placement.max_replicas_per_node is {most} and there is one node"
                );
                self.plan.pending.push(super::Pending {
                    service: service.name.clone(),
                    why,
                });
                most
            }
            _ => wanted,
        }
    }

    /// The containers of a service with the cause to replace each: those to keep first.
    fn sorted(
        &self,
        service: &Service,
        spec: &ServiceSpec,
    ) -> Vec<(&'a Container, Option<String>)> {
        let observed = self.input.observed;
        let mut all: Vec<(&Container, Option<String>)> = observed
            .containers
            .iter()
            .filter(|c| c.service == service.name && !c.oneoff)
            .map(|c| (c, self.cause(service, spec, c)))
            .collect();
        // By its own name before a successor that never got it; what is up to date before what is not; low numbers.
        all.sort_by_key(|(c, cause)| {
            (
                c.name != self.name(service, c.number),
                cause.is_some(),
                c.number,
                c.name.clone(),
            )
        });
        all
    }

    fn name(&self, service: &Service, number: u32) -> String {
        names::container(
            &self.input.project.name,
            service,
            number,
            self.input.options.separator,
        )
    }

    /// Why a container must be replaced.
    fn cause(
        &self,
        service: &Service,
        spec: &ServiceSpec,
        container: &Container,
    ) -> Option<String> {
        let options = self.input.options;
        let named = options.services.is_empty() || options.services.contains(&service.name);
        match if named {
            options.recreate
        } else {
            options.recreate_dependencies
        } {
            Recreate::Never => return None,
            Recreate::Always => return Some("force recreate".to_owned()),
            Recreate::Diverged => {}
        }
        if container.config_hash != spec.hash {
            let differences = change::differences(&container.spec, &spec.spec);
            return Some(match differences.len() {
                0 => "configuration changed".to_owned(),
                _ => format!("configuration changed ({})", differences.join(", ")),
            });
        }
        if container.config_hash == spec.hash && moved(&container.spec, &spec.spec) {
            return Some("a network or volume has another name".to_owned());
        }
        match self.input.images.get(&service.name) {
            Some(ImageState::Present { id, .. }) if *id != container.image_id => {
                return Some("image changed".to_owned());
            }
            Some(ImageState::Missing(why)) => return Some(format!("image changed ({why})")),
            _ => {}
        }
        let donor = donors(service).find(|donor| self.replaced.contains(*donor));
        donor.map(|donor| {
            format!("service {donor}, whose namespace or volumes it shares, is replaced")
        })
    }

    /// A container that stays, as it is or by its successor.
    fn keep(
        &mut self,
        service: &Service,
        spec: &ServiceSpec,
        container: &'a Container,
        cause: Option<String>,
    ) {
        let name = self.name(service, container.number);
        if let Some(cause) = cause {
            self.replace(service, spec, container, &name, &cause);
            return;
        }
        let mut before = Vec::new();
        if container.name != name && is_temporary(&container.name, &name) {
            let action = Action::RenameContainer {
                from: container.name.clone(),
                to: name.clone(),
            };
            let resource = resource(&service.name, container.number);
            before.push(self.plan.add(
                Vec::new(),
                resource,
                action,
                "left over from an interrupted run",
            ));
        }
        let name = if before.is_empty() {
            container.name.clone()
        } else {
            name
        };
        self.made
            .entry(service.name.clone())
            .or_default()
            .extend(&before);
        let restarts = service
            .depends_on
            .iter()
            .find(|(d, how)| how.restart && self.restarted(d))
            .map(|(d, _)| d.clone());
        match (container.status, restarts) {
            (Status::Running | Status::Restarting, None)
                if !self.touched.contains(&container.name) =>
            {
                self.plan.unchanged.push(name);
            }
            (Status::Running | Status::Restarting | Status::Paused, Some(dependency)) => {
                let cause = format!("service {dependency} is replaced");
                let stop = self.stop(container, before, &cause);
                // The one it leans on goes away only after it has stopped.
                for step in self.stops_of(&dependency) {
                    self.plan.also_needs(step, stop);
                }
                self.start(service, container.number, &name, vec![stop], &cause);
            }
            (Status::Paused, None) => {
                let resource = resource(&service.name, container.number);
                let step = self.plan.add(
                    before,
                    resource,
                    Action::UnpauseContainer { name },
                    "paused",
                );
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

    fn restarted(&self, service: &str) -> bool {
        self.replaced.contains(service)
    }

    fn stops_of(&self, service: &str) -> Vec<StepId> {
        let prefix = format!("service:{service}:");
        let stops = |s: &&super::Step| {
            matches!(s.action, Action::StopContainer { .. }) && s.resource.starts_with(&prefix)
        };
        self.plan.steps.iter().filter(stops).map(|s| s.id).collect()
    }

    fn replace(
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
        let mut new = self.new_container(service, spec, old.number, &temporary, name);
        new.spec
            .labels
            .insert(labels::REPLACE.to_owned(), old.name.clone());
        if !self.input.options.renew_anonymous_volumes {
            let of_image = match self.input.images.get(&service.name) {
                Some(ImageState::Present { volumes, .. }) => volumes.as_slice(),
                _ => &[],
            };
            carry_over(&mut new.spec.mounts, of_image, &old.anonymous_volumes);
        }
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
            force: false,
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

    fn fresh(&mut self, service: &Service, spec: &ServiceSpec, number: u32) {
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

    fn new_container(
        &self,
        service: &Service,
        spec: &ServiceSpec,
        number: u32,
        name: &str,
        final_name: &str,
    ) -> NewContainer {
        let image_id = match self.input.images.get(&service.name) {
            Some(ImageState::Present { id, .. }) => Some(id.clone()),
            _ => None,
        };
        let mut container = spec.spec.clone();
        container
            .labels
            .insert(labels::NUMBER.to_owned(), number.to_string());
        if let Some(id) = &image_id {
            container
                .labels
                .insert(labels::IMAGE.to_owned(), id.clone());
        }
        NewContainer {
            service: service.name.clone(),
            number,
            name: name.to_owned(),
            final_name: final_name.to_owned(),
            spec: container,
            files: spec.files.clone(),
            image_id,
        }
    }

    /// Networks, volumes, and the containers whose namespaces or volumes are joined.
    fn needed_to_create(&self, service: &Service, spec: &ServiceSpec) -> Vec<StepId> {
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

    fn network_steps(&self, spec: &ServiceSpec) -> Vec<StepId> {
        spec.spec
            .networks
            .iter()
            .filter_map(|n| self.resources.get(&n.network).copied())
            .collect()
    }

    /// Starts a container once everything it depends on is as it wants it.
    fn start(
        &mut self,
        service: &Service,
        number: u32,
        name: &str,
        needs: Vec<StepId>,
        cause: &str,
    ) {
        if self.input.options.start == Start::No {
            return;
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
        let step = self
            .plan
            .add(needs, resource(&service.name, number), action, cause);
        self.ready
            .entry(service.name.clone())
            .or_default()
            .push(step);
    }

    fn is_selected(&self, service: &str) -> bool {
        self.input
            .options
            .services
            .iter()
            .any(|name| name == service)
    }

    /// The step that waits for a dependency; the replicas of a service share it.
    fn wait(
        &mut self,
        service: &Service,
        dependency: &str,
        how: &compose_file::project::Dependency,
        ready: Vec<StepId>,
        before: usize,
    ) -> Option<StepId> {
        let cause = format!("{} needs it", service.name);
        let resource = format!("service:{dependency}");
        let same = |s: &&super::Step| {
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
    fn container_names(&self, service: &Service) -> Vec<String> {
        let prefix = format!("service:{}:", service.name);
        let mut names: BTreeSet<String> = BTreeSet::new();
        for step in self
            .plan
            .steps
            .iter()
            .filter(|s| s.resource.starts_with(&prefix))
        {
            if let Action::StartContainer { name, .. } | Action::UnpauseContainer { name } =
                &step.action
            {
                names.insert(name.clone());
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
    fn stop(&mut self, container: &Container, needs: Vec<StepId>, cause: &str) -> StepId {
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

    fn discard(&mut self, container: &Container, cause: &str) {
        let needs = match container.status.is_active() {
            true => vec![self.stop(container, Vec::new(), cause)],
            false => Vec::new(),
        };
        let action = Action::RemoveContainer {
            name: container.name.clone(),
            force: false,
            volumes: false,
        };
        self.plan.add(
            needs,
            resource(&container.service, container.number),
            action,
            cause,
        );
    }

    /// Containers of services that the file no longer has.
    fn orphans(&mut self) {
        let orphans: Vec<&Container> = orphans(self.input.project, self.input.observed);
        if orphans.is_empty() {
            return;
        }
        if self.input.options.remove_orphans {
            for container in orphans {
                self.discard(container, "orphan: no such service in the file");
            }
        } else if !self.input.options.ignore_orphans {
            let names: Vec<&str> = orphans.iter().map(|c| c.name.as_str()).collect();
            self.plan.warnings.push(format!(
                "Found orphan containers ([{}]) for this project. If you removed or renamed this service in your compose file, you can run this command with the --remove-orphans flag to clean it up.",
                names.join(" ")
            ));
        }
    }

    /// A port that a container gives up is free before another one takes it.
    fn free_ports_first(&mut self) {
        let mut given_up: Vec<(StepId, &Container)> = Vec::new();
        for container in &self.input.observed.containers {
            given_up.extend(
                self.stopped
                    .get(&container.name)
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

/// Whether what the service calls by its key has got another real name.
fn moved(old: &model::ContainerSpec, new: &model::ContainerSpec) -> bool {
    let networks = |spec: &model::ContainerSpec| -> BTreeSet<String> {
        spec.networks.iter().map(|n| n.network.clone()).collect()
    };
    let volume = |spec: &model::ContainerSpec, target: &str| {
        spec.mounts.iter().find(|m| m.target == target).map(|m| m.kind.clone())
    };
    let renamed = |mount: &model::mount::Mount| match (&mount.kind, volume(old, &mount.target)) {
        (MountKind::Volume { name: Some(new), .. }, Some(MountKind::Volume { name: Some(old), .. })) => *new != old,
        _ => false,
    };
    networks(old) != networks(new) || new.mounts.iter().any(renamed)
}

/// Containers of services that the file does not have, `run`'s excepted.
pub(crate) fn orphans<'a>(project: &Project, observed: &'a Observed) -> Vec<&'a Container> {
    let known = |name: &str| {
        project
            .services
            .iter()
            .chain(&project.disabled_services)
            .any(|s| s.name == name)
    };
    observed
        .containers
        .iter()
        .filter(|c| !c.oneoff && !known(&c.service))
        .collect()
}

fn share_a_port(a: &[model::port::PortBinding], b: &[model::port::PortBinding]) -> bool {
    a.iter().any(|x| {
        matches!(x.host_port, HostPort::Exact(_))
            && b.iter()
                .any(|y| x.host_port == y.host_port && x.protocol == y.protocol)
    })
}

/// The services whose network, process or IPC namespace or volumes a service joins.
fn donors(service: &Service) -> impl Iterator<Item = &str> {
    let network = match &service.network_mode {
        Some(NetworkModeRef::Service(name)) => Some(name.as_str()),
        _ => None,
    };
    let joined = |reference: &'_ NamespaceRef| matches!(reference, NamespaceRef::Service(_));
    let namespaces = [
        &service.pid,
        &service.ipc,
        &service.uts,
        &service.cgroup,
        &service.userns_mode,
    ];
    let names = namespaces
        .into_iter()
        .filter(move |r| joined(r))
        .filter_map(|r| match r {
            NamespaceRef::Service(name) => Some(name.as_str()),
            NamespaceRef::Mode(_) => None,
        });
    let volumes = service
        .volumes_from
        .iter()
        .filter_map(|from| match &from.source {
            VolumesFromSource::Service(name) => Some(name.as_str()),
            VolumesFromSource::Container(_) => None,
        });
    network.into_iter().chain(names).chain(volumes)
}

/// Mounts the volumes nobody named of the old container at the same places of the new one, where file or image still
/// want one.
fn carry_over(
    mounts: &mut Vec<model::mount::Mount>,
    of_image: &[String],
    volumes: &[(String, String)],
) {
    let clean = |path: &str| path.trim_end_matches('/').to_owned();
    for (target, volume) in volumes {
        let kind = |name: &String| MountKind::Volume {
            name: Some(name.clone()),
            no_copy: true,
            subpath: None,
            driver: None,
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
        };
        match mounts
            .iter_mut()
            .find(|m| clean(&m.target) == clean(target))
        {
            Some(mount) => {
                if matches!(mount.kind, MountKind::Volume { name: None, .. }) {
                    mount.kind = kind(volume);
                }
            }
            None if of_image.iter().any(|wanted| clean(wanted) == clean(target)) => {
                mounts.push(model::mount::Mount {
                    kind: kind(volume),
                    target: target.clone(),
                    read_only: false,
                });
            }
            None => {}
        }
    }
}

fn is_temporary(name: &str, of: &str) -> bool {
    name.split_once('_')
        .is_some_and(|(id, rest)| rest == of && id.len() == 12)
}

pub(crate) fn resource(service: &str, number: u32) -> String {
    format!("service:{service}:{number}")
}
