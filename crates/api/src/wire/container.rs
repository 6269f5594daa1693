//! `docker container inspect`.

use super::container_config::Config;
use super::endpoint::{Joined, NetworkSettings, Published};
use super::host_config::HostConfig;
use super::state::State;
use engine::Context;
use engine::container::files;
use engine::container::record::{ContainerRecord, MountRecord};
use engine::container::state::State as EngineState;
use model::mount::MountKind;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    pub id: String,
    pub created: String,
    pub path: String,
    pub args: Vec<String>,
    pub state: State,
    pub image: String,
    pub resolv_conf_path: String,
    pub hostname_path: String,
    pub hosts_path: String,
    pub log_path: String,
    pub name: String,
    pub restart_count: u32,
    pub driver: &'static str,
    pub platform: String,
    pub mount_label: String,
    pub process_label: String,
    pub app_armor_profile: String,
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    pub host_config: HostConfig,
    pub graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<u64>,
    pub mounts: Vec<MountPoint>,
    pub config: Config,
    pub network_settings: NetworkSettings,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphDriver {
    pub data: BTreeMap<&'static str, String>,
    pub name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint {
    #[serde(rename = "Type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub source: String,
    pub destination: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    pub mode: String,
    #[serde(rename = "RW")]
    pub rw: bool,
    pub propagation: String,
}

/// Bytes a container takes: its own layer, and all it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub own: u64,
    pub whole: u64,
}

impl MountPoint {
    pub(crate) fn new(ctx: &Context, record: &MountRecord) -> Self {
        let mut point = Self {
            kind: "volume",
            name: String::new(),
            source: String::new(),
            destination: record.mount.target.clone(),
            driver: String::new(),
            mode: if record.mount.read_only {
                "ro".into()
            } else {
                String::new()
            },
            rw: !record.mount.read_only,
            propagation: String::new(),
        };
        match &record.mount.kind {
            MountKind::Bind {
                source,
                propagation,
                ..
            } => {
                point.kind = "bind";
                point.source.clone_from(source);
                point.propagation = propagation.clone().unwrap_or_else(|| "rprivate".into());
            }
            MountKind::Volume { .. } => {
                point.name = record.volume.clone().unwrap_or_default();
                let volume = engine::volume::load(ctx, &point.name).ok().flatten();
                point.source = match volume {
                    Some(volume) => volume.mountpoint(ctx).display().to_string(),
                    None => ctx
                        .layout
                        .volume(&point.name)
                        .join("_data")
                        .display()
                        .to_string(),
                };
                point.driver = "local".into();
                if point.rw {
                    point.mode = "z".into();
                }
            }
            MountKind::Tmpfs { .. } => point.kind = "tmpfs",
            MountKind::Image { reference, .. } => {
                point.kind = "image";
                point.source.clone_from(reference);
            }
        }
        point
    }
}

impl Container {
    pub fn new(
        ctx: &Context,
        container: &ContainerRecord,
        state: &EngineState,
        joined: &[Joined],
        published: &[Published],
        sizes: Option<Sizes>,
    ) -> Self {
        let dir = ctx.layout.container(container.id.as_str());
        let below = |name: &str| dir.join(name).display().to_string();
        let run = ctx.layout.run_container(container.id.as_str());
        let of_a_run = |name: &str| run.join(name).display().to_string();
        let mut words = container.process.args().into_iter();
        let last = match state {
            EngineState::Exited(last) => Some(last.restart_count),
            other => other.run().map(|run| run.restart_count),
        };
        // Docker names them from the top down, the base last.
        let lower: Vec<String> = container
            .image
            .files()
            .iter()
            .rev()
            .map(|files| files.display().to_string())
            .collect();
        Self {
            id: container.id.to_string(),
            created: container.created.to_string(),
            path: words.next().unwrap_or_default(),
            args: words.collect(),
            state: State::new(container, state),
            image: container.image.id.clone(),
            resolv_conf_path: of_a_run(files::RESOLV_CONF),
            hostname_path: of_a_run(files::HOSTNAME),
            hosts_path: of_a_run(files::HOSTS),
            log_path: match container.spec.log.driver {
                model::log::LogDriver::JsonFile => below("logs/current.log"),
                _ => String::new(),
            },
            name: format!("/{}", container.name),
            restart_count: last.unwrap_or(0),
            driver: "overlay2",
            platform: container
                .image
                .platform
                .split('/')
                .next()
                .unwrap_or("linux")
                .to_owned(),
            mount_label: String::new(),
            process_label: String::new(),
            app_armor_profile: String::new(),
            exec_ids: None,
            host_config: HostConfig::from(container),
            graph_driver: GraphDriver {
                data: BTreeMap::from([
                    ("LowerDir", lower.join(":")),
                    ("MergedDir", String::new()),
                    ("UpperDir", below("upper")),
                    ("WorkDir", below("work")),
                ]),
                name: "overlay2",
            },
            size_rw: sizes.map(|sizes| sizes.own),
            size_root_fs: sizes.map(|sizes| sizes.whole),
            mounts: container
                .mounts
                .iter()
                .map(|mount| MountPoint::new(ctx, mount))
                .collect(),
            config: Config::from(container),
            network_settings: NetworkSettings::new(container, joined, published, state.is_active()),
        }
    }
}

impl Container {
    /// Reads the container's state and makes its shape.
    pub fn load(
        ctx: &Context,
        container: &ContainerRecord,
        sizes: Option<Sizes>,
    ) -> Result<Self, engine::Error> {
        let state = EngineState::load(ctx, container.id.as_str())?;
        let joined = super::endpoint::joined(ctx, container, &state);
        let published = super::endpoint::published(&state);
        Ok(Self::new(
            ctx, container, &state, &joined, &published, sizes,
        ))
    }
}

/// A container's own bytes, and those of all it sees.
pub fn sizes(ctx: &Context, record: &ContainerRecord) -> Sizes {
    let own = engine::usage::apparent_size(&ctx.layout.container(record.id.as_str()).join("upper"));
    let image = record
        .image
        .files()
        .iter()
        .map(|files| engine::usage::apparent_size(files))
        .sum::<u64>();
    Sizes {
        own,
        whole: own + image,
    }
}
