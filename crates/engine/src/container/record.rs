//! The durable record of one container: what was asked for, and what it resolved to.
//!
//! ```text
//! <data>/containers/<id>/
//!   config.json     ContainerRecord, written at create, rewritten by rename, update, connect
//!   exit.json       Lifecycle, written when a run ends
//!   upper/ work/    the container's own overlay directories
//!   logs/           see `logs`
//! ```

use super::quota::QuotaRecord;
use super::userns::UsernsRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use model::container::ContainerSpec;
use model::health::Healthcheck;
use model::id::Id;
use serde::{Deserialize, Serialize};
use state::{Durability, record};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// A container: the user's wish and its resolution against the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    pub id: Id,
    pub name: String,
    pub created: Timestamp,
    /// As the user asked for it.
    pub spec: ContainerSpec,
    pub image: ImageRecord,
    pub process: ProcessRecord,
    /// Everything mounted, volumes by name: the spec's, the image's and those of `--volumes-from`.
    pub mounts: Vec<MountRecord>,
    pub hostname: String,
    /// The image's labels below the user's.
    pub labels: BTreeMap<String, String>,
    pub stop_signal: String,
    pub healthcheck: Option<Healthcheck>,
    /// Ports the image and the user expose.
    #[serde(with = "model::runs")]
    pub exposed: Vec<model::port::ContainerPort>,
    /// Its ids on the host, when it has a user namespace of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userns: Option<UsernsRecord>,
    /// How much its own layer may take, when that has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaRecord>,
    /// The program that runs it, when it is not this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeRecord>,
}

/// Another OCI runtime, found when the container was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeRecord {
    pub path: PathBuf,
    /// Before everything else on its command line.
    pub args: Vec<String>,
}

/// The image a container was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// `sha256:…` of the configuration: Docker's image id.
    pub id: String,
    /// The digest of the manifest, where known.
    pub digest: Option<String>,
    /// Directories of the layers' contents, lowest first.
    pub layers: Vec<PathBuf>,
    /// Chain id of the topmost layer; what keeps the layers from being collected.
    pub chain_id: Option<String>,
    pub platform: String,
}

impl ImageRecord {
    /// The layers' files as they are now: the store may have been converted since the container was made.
    pub fn files(&self) -> Vec<PathBuf> {
        self.layers
            .iter()
            .map(|layer| image::layer::present(layer))
            .collect()
    }
}

/// What is executed, image and spec already joined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    pub user: String,
}

impl ProcessRecord {
    /// The argument vector.
    pub fn args(&self) -> Vec<String> {
        self.entrypoint
            .iter()
            .chain(&self.command)
            .cloned()
            .collect()
    }
}

/// One mount with its source settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRecord {
    #[serde(flatten)]
    pub mount: model::mount::Mount,
    /// The volume's name when it is one; anonymous ones have got theirs.
    pub volume: Option<String>,
    /// The image of a mount of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRecord>,
    /// Made for this container alone: goes with `rm -v` and `--rm`.
    pub anonymous: bool,
}

impl MountRecord {
    /// A mount that needs nothing settled.
    pub fn of(mount: model::mount::Mount) -> Self {
        Self {
            mount,
            volume: None,
            image: None,
            anonymous: false,
        }
    }
}

/// How the last run went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lifecycle {
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: u8,
    pub oom_killed: bool,
    /// Why it could not be started.
    pub error: String,
    pub restart_count: u32,
    /// Stopped on request: `unless-stopped` stays down at boot.
    pub stopped_by_user: bool,
    /// Running according to the last writer; what boot goes by when the run root is gone.
    pub running: bool,
    /// Network name and address of the last run: the next one asks for the same.
    pub addresses: Vec<(String, IpAddr)>,
}

impl ContainerRecord {
    pub fn durability(&self) -> Durability {
        if self.spec.auto_remove {
            Durability::Volatile
        } else {
            Durability::Durable
        }
    }

    pub fn save(&self, ctx: &Context) -> Result<()> {
        let path = ctx.layout.container(self.id.as_str()).join("config.json");
        Ok(record::write(&path, self, self.durability())?)
    }

    pub fn load(ctx: &Context, id: &str) -> Result<Option<Self>> {
        Ok(record::read(&ctx.layout.container(id).join("config.json"))?)
    }

    /// All containers, newest first. A half-made or half-removed one is not listed.
    pub fn list(ctx: &Context) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for id in ids(ctx)? {
            if let Some(record) = Self::load(ctx, &id)? {
                all.push(record);
            }
        }
        all.sort_by_key(|c| std::cmp::Reverse(c.created));
        Ok(all)
    }

    /// The lock that every change of this container's records is made under.
    pub fn lock(ctx: &Context, id: &str) -> Result<sys::lock::FileLock> {
        let path = ctx.layout.lock("container", id);
        sys::lock::FileLock::exclusive(&path).map_err(Error::file("lock", path))
    }
}

impl Lifecycle {
    fn path(ctx: &Context, id: &str) -> PathBuf {
        ctx.layout.container(id).join("exit.json")
    }

    /// Written without `fsync` where nothing hangs on it, so a power cut may leave it empty: then the last run is
    /// simply not known.
    pub fn load(ctx: &Context, id: &str) -> Result<Option<Self>> {
        match record::read(&Self::path(ctx, id)) {
            Err(state::Error::Parse { .. }) => Ok(None),
            other => Ok(other?),
        }
    }

    pub fn save(&self, ctx: &Context, id: &str, durability: Durability) -> Result<()> {
        Ok(record::write(&Self::path(ctx, id), self, durability)?)
    }
}

/// The ids of all container directories.
pub fn ids(ctx: &Context) -> Result<Vec<String>> {
    let dir = ctx.layout.containers();
    let read = match std::fs::read_dir(&dir) {
        Ok(read) => read,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::file("list", &dir)(e)),
    };
    let mut ids = Vec::new();
    for entry in read {
        let entry = entry.map_err(Error::file("list", &dir))?;
        if let Ok(name) = entry.file_name().into_string()
            && name.parse::<Id>().is_ok()
        {
            ids.push(name);
        }
    }
    Ok(ids)
}
