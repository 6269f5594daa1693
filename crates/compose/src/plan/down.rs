//! The plan of `down` and `rm`: containers in reverse dependency order, then networks, volumes, images.
//!
//! It goes by what exists and its labels; the Compose file, where there is one, only says what is an orphan. So a
//! project whose file is gone can still be taken down by its name.

use super::up::{orphans, resource};
use super::{Action, Plan, StepId};
use crate::labels;
use crate::observe::{Container, Observed};
use compose_file::Project;
use std::collections::{BTreeMap, BTreeSet};

/// What the command line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `-v`: named and anonymous volumes too.
    pub volumes: bool,
    pub remove_orphans: bool,
    pub images: Images,
    /// Seconds before the kill, instead of each container's own.
    pub timeout: Option<u64>,
    /// Only these services; networks then stay.
    pub services: Vec<String>,
}

/// `--rmi`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Images {
    #[default]
    Keep,
    /// Those built without a name of their own.
    Local,
    All,
}

/// Makes the plan. `project` is what the file says, where there is a file.
pub fn plan(name: &str, project: Option<&Project>, observed: &Observed, options: &Options) -> Plan {
    let mut plan = Plan::default();
    for job in &observed.jobs {
        let short = job.name.split_once('.').map_or("", |(_, job)| job);
        if options.services.is_empty() || options.services.iter().any(|s| s == short) {
            let action = Action::RemoveJob {
                name: job.name.clone(),
            };
            plan.add(Vec::new(), format!("job:{short}"), action, "down");
        }
    }
    let spared: BTreeSet<&str> = spared(project, observed, options);
    let containers: Vec<&Container> = observed
        .containers
        .iter()
        .filter(|c| !spared.contains(c.name.as_str()))
        .collect();
    let gone = remove(&mut plan, &containers, options);
    if !options.services.is_empty() {
        return plan;
    }
    let left: Vec<&Container> = observed
        .containers
        .iter()
        .filter(|c| spared.contains(c.name.as_str()))
        .collect();
    for (network, key) in observed.project_networks(name) {
        if let Some(user) = left
            .iter()
            .find(|c| c.spec.networks.iter().any(|n| n.network == network))
        {
            plan.warnings.push(format!(
                "Network {network} stays: container {} is still on it",
                user.name
            ));
            continue;
        }
        let needs = containers
            .iter()
            .filter(|c| c.spec.networks.iter().any(|n| n.network == network));
        let needs = needs.filter_map(|c| gone.get(&c.name).copied()).collect();
        plan.add(
            needs,
            format!("network:{key}"),
            Action::RemoveNetwork {
                name: network.to_owned(),
            },
            "down",
        );
    }
    if options.volumes {
        volumes(&mut plan, name, observed, &containers, &left, &gone);
    }
    if let Some(project) = project {
        images(
            &mut plan,
            project,
            options.images,
            gone.values().copied().collect(),
        );
    }
    plan
}

/// Containers that stay: orphans without `--remove-orphans`, and all but the services named.
fn spared<'a>(
    project: Option<&Project>,
    observed: &'a Observed,
    options: &Options,
) -> BTreeSet<&'a str> {
    let mut spared: BTreeSet<&str> = BTreeSet::new();
    if let Some(project) = project
        && !options.remove_orphans
    {
        spared.extend(orphans(project, observed).iter().map(|c| c.name.as_str()));
    }
    if !options.services.is_empty() {
        let others = observed
            .containers
            .iter()
            .filter(|c| !options.services.contains(&c.service));
        spared.extend(others.map(|c| c.name.as_str()));
    }
    spared
}

/// Stops and removes; a container goes after those that need it. Gives the removing step of each.
fn remove(
    plan: &mut Plan,
    containers: &[&Container],
    options: &Options,
) -> BTreeMap<String, StepId> {
    let mut stops: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    let mut gone = BTreeMap::new();
    for container in crate::plan::lifecycle::dependents_first(containers) {
        let needs = dependents(containers, &container.service)
            .into_iter()
            .filter_map(|service| stops.get(service))
            .flatten()
            .copied()
            .collect();
        let resource = resource(&container.service, container.number);
        let mut before = needs;
        if container.status.is_active() {
            let action = Action::StopContainer {
                name: container.name.clone(),
                timeout: options.timeout,
            };
            let stop = plan.add(before, resource.clone(), action, "down");
            stops.entry(&container.service).or_default().push(stop);
            before = vec![stop];
        }
        let action = Action::RemoveContainer {
            name: container.name.clone(),
            force: true,
            volumes: false,
        };
        let step = plan.add(before, resource, action, "down");
        gone.insert(container.name.clone(), step);
    }
    gone
}

/// The services that said they need one.
fn dependents<'a>(containers: &[&'a Container], service: &str) -> BTreeSet<&'a str> {
    let needs = |c: &&&'a Container| {
        labels::dependencies(&c.spec.labels)
            .iter()
            .any(|(name, _)| name == service)
    };
    containers
        .iter()
        .filter(needs)
        .filter(|c| c.service != service)
        .map(|c| c.service.as_str())
        .collect()
}

fn volumes(
    plan: &mut Plan,
    name: &str,
    observed: &Observed,
    containers: &[&Container],
    left: &[&Container],
    gone: &BTreeMap<String, StepId>,
) {
    let users = |volume: &str| -> Vec<StepId> {
        let users = containers
            .iter()
            .filter(|c| c.volumes.iter().any(|v| v == volume));
        users.filter_map(|c| gone.get(&c.name).copied()).collect()
    };
    let in_use = |volume: &str| left.iter().any(|c| c.volumes.iter().any(|v| v == volume));
    for (volume, key) in observed.project_volumes(name) {
        if in_use(volume) {
            plan.warnings.push(format!(
                "Volume {volume} stays: an orphan container still mounts it"
            ));
            continue;
        }
        plan.add(
            users(volume),
            format!("volume:{key}"),
            Action::RemoveVolume {
                name: volume.to_owned(),
            },
            "down --volumes",
        );
    }
    let anonymous: BTreeSet<&String> = containers
        .iter()
        .flat_map(|c| c.anonymous_volumes.iter().map(|(_, v)| v))
        .collect();
    for volume in anonymous.into_iter().filter(|v| !in_use(v)) {
        let needs = users(volume);
        plan.add(
            needs,
            format!("volume:{volume}"),
            Action::RemoveVolume {
                name: volume.clone(),
            },
            "down --volumes",
        );
    }
}

fn images(plan: &mut Plan, project: &Project, which: Images, needs: Vec<StepId>) {
    let wanted = |s: &&compose_file::Service| match which {
        Images::Keep => false,
        Images::Local => s.image.is_none(),
        Images::All => true,
    };
    let names: BTreeSet<String> = project
        .services
        .iter()
        .filter(wanted)
        .map(|s| s.image_name(&project.name))
        .collect();
    for reference in names {
        plan.add(
            needs.clone(),
            format!("image:{reference}"),
            Action::RemoveImage { reference },
            "down --rmi",
        );
    }
}
