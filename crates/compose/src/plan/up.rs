//! The plan of `up` and `create`: what must be made, replaced, started and removed so that the host is as the file says.
//!
//! The rules of replacement are docker/compose's (`pkg/compose/convergence.go`): a container is replaced when the hash
//! of its configuration, its image, or a container whose namespace it joins has changed. The successor is made under
//! a temporary name while the old one still runs, which is then stopped and removed; so a command killed half-way
//! leaves either the old container or one that the next `up` finds by its labels and gives its name.

mod cause;
pub(crate) mod jobs;
mod keep;
mod live;
mod order;
mod resources;
mod rolling;
mod service;
mod successor;

use super::{Action, Plan, StepId};
use crate::names::Separator;
use crate::observe::{Container, Observed};
use crate::placement::{Capacity, Node};
use crate::spec::ServiceSpec;
use compose_file::{Project, Service};
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
    /// To an earlier version: `rollback_config` holds instead of `update_config`.
    pub going_back: bool,
    /// Services that the project had and has no more: their containers go, whatever is said about orphans.
    pub retired: BTreeSet<String>,
    /// `run`: a job among the services is run like one, and not registered.
    pub jobs_as_services: bool,
    /// `--all-resources`: networks and volumes too that no service uses.
    pub all_resources: bool,
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
    planner.retired_jobs();
    planner.free_ports_first();
    super::init::insert(&mut planner.plan, input);
    super::hooks::insert(&mut planner.plan, input.project);
    planner.finished()
}

/// Only what must be made before a container can be: networks and volumes that are not there.
pub fn resources(input: Input<'_>) -> Plan {
    let mut planner = Planner::new(input);
    let services = selected(input.project, input.options);
    planner.networks(&services);
    planner.volumes(&services);
    planner.orphans();
    let missing = planner.plan.steps.into_iter().filter(|step| {
        step.needs.is_empty()
            && matches!(
                step.action,
                Action::CreateNetwork { .. } | Action::CreateVolume { .. }
            )
    });
    let mut plan = Plan {
        warnings: planner.plan.warnings,
        ..Plan::default()
    };
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
    /// The step that gives a running container other ports, by the container's name.
    rebound: BTreeMap<String, StepId>,
    /// Containers that a changed network is taken from: stopped by the step, to be started again.
    touched: BTreeSet<String>,
    pending: BTreeSet<String>,
    /// What is not reserved yet.
    free: Option<Capacity>,
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
            rebound: BTreeMap::new(),
            touched: BTreeSet::new(),
            pending: BTreeSet::new(),
            free: input.node.capacity,
        }
    }

    /// What is changed while it runs is not unchanged.
    fn finished(self) -> Plan {
        let mut plan = self.plan;
        let (steps, unchanged) = (&plan.steps, &mut plan.unchanged);
        let changed = |name: &str| {
            let on =
                |s: &super::Step| matches!(&s.action, Action::Change(c) if c.container() == name);
            steps.iter().any(on)
        };
        unchanged.retain(|name| !changed(name));
        plan
    }

    /// Containers of services that the file no longer has.
    fn orphans(&mut self) {
        let options = self.input.options;
        let (retired, orphans): (Vec<&Container>, Vec<&Container>) =
            orphans(self.input.project, self.input.observed)
                .into_iter()
                .partition(|c| options.retired.contains(&c.service));
        for container in retired {
            self.discard(container, "no such service in that version");
        }
        let orphans: Vec<&Container> = orphans
            .into_iter()
            .chain(self.input.observed.ended_tasks())
            .collect();
        if orphans.is_empty() {
            return;
        }
        if self.input.options.remove_orphans {
            for container in orphans {
                let cause = match container.oneoff {
                    true => "orphan: a task of `run` that has ended",
                    false => "orphan: no such service in the file",
                };
                self.discard(container, cause);
            }
        } else if !self.input.options.ignore_orphans {
            let names: Vec<&str> = orphans.iter().map(|c| c.name.as_str()).collect();
            self.plan.warnings.push(format!(
                "Found orphan containers ([{}]) for this project. If you removed or renamed this service in your compose file, you can run this command with the --remove-orphans flag to clean it up.",
                names.join(" ")
            ));
        }
    }
}

/// Containers of services that the file does not have, `run`'s excepted.
pub(crate) fn orphans<'a>(project: &Project, observed: &'a Observed) -> Vec<&'a Container> {
    let known = |name: &str| {
        project
            .services
            .iter()
            .chain(&project.disabled_services)
            .any(|s| s.name == name)
            || project.has_job(name)
    };
    observed
        .containers
        .iter()
        .filter(|c| !c.oneoff && !known(&c.service))
        .collect()
}

pub(crate) fn resource(service: &str, number: u32) -> String {
    format!("service:{service}:{number}")
}
