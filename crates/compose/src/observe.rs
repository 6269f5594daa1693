//! What exists of a project, as plain data: read from labels, never from a database.

use crate::labels;
use engine::container::list::Listed;
use engine::container::record::ContainerRecord;
use engine::container::state::{HealthStatus, State};
use engine::jobs::JobRecord;
use engine::{Context, Error, volume};
use model::container::ContainerSpec;
use model::mount::MountKind;
use std::collections::BTreeMap;

/// Everything the planner looks at.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The project's containers, `run`'s among them.
    pub containers: Vec<Container>,
    /// Every network of the host, by name.
    pub networks: BTreeMap<String, Resource>,
    /// Every volume, by name.
    pub volumes: BTreeMap<String, Resource>,
    /// What the images that the project's containers mount are by now: reference and id.
    pub images: BTreeMap<String, String>,
    /// The project's jobs that are registered.
    pub jobs: Vec<JobRecord>,
}

/// A network or volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    pub labels: BTreeMap<String, String>,
    /// A volume nobody named.
    pub anonymous: bool,
}

/// One container of the project.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub service: String,
    pub number: u32,
    pub oneoff: bool,
    pub status: Status,
    pub health: Option<HealthStatus>,
    /// The id of its image.
    pub image_id: String,
    pub config_hash: String,
    pub spec: ContainerSpec,
    /// Target and name of each volume nobody named.
    pub anonymous_volumes: Vec<(String, String)>,
    /// Every volume it mounts, by name.
    pub volumes: Vec<String>,
    /// Target and id of each image it mounts.
    pub mounted_images: Vec<(String, String)>,
    /// New connections do not come to it: an update was about to take it out.
    pub withdrawn: bool,
    /// The name of the container it was made to replace.
    pub replaces: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Created,
    Running,
    Paused,
    Restarting,
    Exited(u8),
}

impl Status {
    /// Whether there is something to stop.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

impl Observed {
    /// Containers of `run` that were not removed after their work: orphans, as Docker has it. Those of jobs that failed are kept
    /// for their logs.
    pub fn ended_tasks(&self) -> impl Iterator<Item = &Container> {
        let of_job = |c: &Container| c.spec.labels.contains_key(labels::JOB);
        let ended =
            move |c: &&Container| c.oneoff && matches!(c.status, Status::Exited(_)) && !of_job(c);
        self.containers.iter().filter(ended)
    }

    /// Reads the containers of a project, and all networks and volumes.
    pub fn read(ctx: &Context, project: &str) -> Result<Self, Error> {
        let mut observed = Self {
            containers: containers(ctx, project)?,
            jobs: JobRecord::of_project(ctx, project)?,
            ..Self::default()
        };
        for network in network::list(&ctx.layout).map_err(Error::Network)? {
            let found = Resource {
                labels: network.labels.clone(),
                anonymous: false,
            };
            observed.networks.insert(network.name.clone(), found);
        }
        for volume in volume::list(ctx)? {
            let found = Resource {
                labels: volume.labels.clone(),
                anonymous: volume.anonymous,
            };
            observed.volumes.insert(volume.name.clone(), found);
        }
        observed.images = mounted(ctx, &observed.containers)?;
        let withdrawn = engine::networks::withdrawn(ctx)?;
        for container in &mut observed.containers {
            container.withdrawn = withdrawn.contains(&container.id);
        }
        let volumes = &observed.volumes;
        for container in &mut observed.containers {
            container
                .anonymous_volumes
                .retain(|(_, name)| volumes.get(name).is_some_and(|v| v.anonymous));
        }
        Ok(observed)
    }

    /// The containers of a service, without those of `run`, by number.
    pub fn of_service<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Container> {
        self.containers
            .iter()
            .filter(move |c| c.service == service && !c.oneoff)
    }

    /// The project's own networks: name and key.
    pub fn project_networks<'a>(
        &'a self,
        project: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        labelled(&self.networks, project, labels::NETWORK)
    }

    /// The project's own volumes: name and key.
    pub fn project_volumes<'a>(
        &'a self,
        project: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        labelled(&self.volumes, project, labels::VOLUME)
    }
}

/// One that is not there any more has no entry: a container keeps what it mounts.
fn mounted(ctx: &Context, containers: &[Container]) -> Result<BTreeMap<String, String>, Error> {
    let mounts = containers.iter().flat_map(|c| &c.spec.mounts);
    let references: Vec<&String> = mounts
        .filter_map(|mount| match &mount.kind {
            MountKind::Image { reference, .. } => Some(reference),
            _ => None,
        })
        .collect();
    if references.is_empty() {
        return Ok(BTreeMap::new());
    }
    let store = ctx.images()?;
    let id = |reference: &String| {
        Some((
            reference.clone(),
            store.find(reference).ok()?.id.to_string(),
        ))
    };
    Ok(references.into_iter().filter_map(id).collect())
}

fn labelled<'a>(
    all: &'a BTreeMap<String, Resource>,
    project: &'a str,
    key: &'static str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    all.iter()
        .filter(move |(_, r)| r.labels.get(labels::PROJECT).is_some_and(|p| p == project))
        .map(move |(name, r)| (name.as_str(), r.labels.get(key).map_or("", String::as_str)))
}

/// The project's containers, by service and number.
pub fn containers(ctx: &Context, project: &str) -> Result<Vec<Container>, Error> {
    let mut found: Vec<Container> = listed(ctx, project)?.iter().map(Container::from).collect();
    found.sort_by(|a, b| {
        (&a.service, a.oneoff, a.number, &a.name).cmp(&(&b.service, b.oneoff, b.number, &b.name))
    });
    Ok(found)
}

/// The engine's view of the project's containers, newest first.
pub fn listed(ctx: &Context, project: &str) -> Result<Vec<Listed>, Error> {
    let mut found = Vec::new();
    for record in ContainerRecord::list(ctx)? {
        if record
            .labels
            .get(labels::PROJECT)
            .is_some_and(|p| p == project)
        {
            found.push(Listed::load(ctx, record)?);
        }
    }
    Ok(found)
}

impl From<&Listed> for Container {
    fn from(listed: &Listed) -> Self {
        let record = &listed.record;
        let label = |key: &str| record.labels.get(key).map_or("", String::as_str);
        let volume = |m: &engine::container::record::MountRecord| {
            Some((m.mount.target.clone(), m.volume.clone()?))
        };
        Self {
            id: record.id.to_string(),
            name: record.name.clone(),
            service: label(labels::SERVICE).to_owned(),
            number: label(labels::NUMBER).parse().unwrap_or(1),
            oneoff: label(labels::ONEOFF).eq_ignore_ascii_case("true"),
            status: (&listed.state).into(),
            health: listed.state.health().map(|h| h.status),
            image_id: record.image.id.clone(),
            config_hash: label(labels::CONFIG_HASH).to_owned(),
            anonymous_volumes: record.mounts.iter().filter_map(volume).collect(),
            volumes: record
                .mounts
                .iter()
                .filter_map(|m| m.volume.clone())
                .collect(),
            mounted_images: record
                .mounts
                .iter()
                .filter_map(|m| Some((m.mount.target.clone(), m.image.as_ref()?.id.clone())))
                .collect(),
            withdrawn: false,
            replaces: record.labels.get(labels::REPLACE).cloned(),
            spec: record.spec.clone(),
        }
    }
}

impl From<&State> for Status {
    fn from(state: &State) -> Self {
        match state {
            State::Created => Self::Created,
            State::Running { .. } => Self::Running,
            State::Paused { .. } => Self::Paused,
            State::Restarting { .. } => Self::Restarting,
            State::Exited(last) => Self::Exited(last.exit_code),
        }
    }
}
