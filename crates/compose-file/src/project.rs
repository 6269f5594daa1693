//! The project a Compose file describes, fully typed: short forms lifted, names resolved, defaults filled in.
//!
//! This is what every other part of dockless sees of a Compose file. Source: Compose Specification
//! (`05-services.md` … `11-models.md`). What the keys *do* is left to `compose` and `build`.

mod build;
mod deploy;
mod develop;
mod job;
mod resource;
mod service;

pub use build::{Build, SshKey};
pub use deploy::{
    Deploy, DeployMode, DeployResources, EndpointMode, FailureAction, GenericResource, Placement,
    Reservations, ResourceLimits, UpdateConfig, UpdateOrder,
};
pub use develop::{Develop, Watch, WatchAction};
pub use job::Triggers;
pub use resource::{AiModel, FileObject, FileSource, Network, Volume};
pub use service::{
    Condition, CredentialSpec, Dependency, Device, EnvFile, EnvFormat, Exposed, FileReference,
    Hook, InitHook, Logging, ModelUse, NamespaceRef, NetworkModeRef, Provider, PullPolicy, Service,
    ServicePort, ServiceVolume, VolumesFrom, VolumesFromSource, Written,
};

pub use crate::schema::Within;

use crate::diagnostic::{Diagnostic, Place, Severity, Sources};
use model::mount::MountKind;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `x-…` keys, kept as they are.
pub type Extensions = serde_json::Map<String, serde_json::Value>;

/// A whole project, ready to be planned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Project {
    pub name: String,
    /// The project directory, absolute: relative paths began here.
    pub working_dir: PathBuf,
    /// The Compose files read, in order (`-` is standard input).
    pub files: Vec<PathBuf>,
    /// The env files that interpolation used.
    pub env_files: Vec<PathBuf>,
    /// What interpolation and bare `KEY` entries saw.
    pub environment: BTreeMap<String, String>,
    /// The active profiles.
    pub profiles: Vec<String>,
    /// The active services in the order of the files.
    pub services: Vec<Service>,
    /// Services whose profiles are not active.
    pub disabled_services: Vec<Service>,
    /// The active jobs: each as the service it would be, with its triggers.
    pub jobs: Vec<Service>,
    /// Jobs whose profiles are not active.
    pub disabled_jobs: Vec<Service>,
    pub networks: BTreeMap<String, Network>,
    pub volumes: BTreeMap<String, Volume>,
    pub configs: BTreeMap<String, FileObject>,
    pub secrets: BTreeMap<String, FileObject>,
    pub models: BTreeMap<String, AiModel>,
    pub extensions: Extensions,
    /// `x-` keys below keys that have no place for them here.
    pub within: Vec<Within>,
    /// Whether `env_file`, `label_file` and bare `KEY` entries were looked up.
    pub environment_resolved: bool,
    /// Where each key stands, for messages of later phases.
    pub places: Places,
}

/// Where each key of the merged project was written, by path (`services.web.ports[0]`).
#[derive(Clone, Default)]
pub struct Places {
    pub(crate) sources: Sources,
    pub(crate) by_path: BTreeMap<String, Place>,
}

/// The texts of whole files do not belong in a log.
impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places").finish_non_exhaustive()
    }
}

/// Two projects are the same whatever files they were written in.
impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Project {
    /// The active service called `name`.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    pub fn service_mut(&mut self, name: &str) -> Option<&mut Service> {
        self.services
            .iter_mut()
            .find(|service| service.name == name)
    }

    pub fn service_names(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|service| service.name.as_str())
    }

    /// An error about the thing at `path` (`services.web.ports[0]`), with the place it was written at; the nearest
    /// known parent stands in for a path that has none (defaults).
    pub fn error_at(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        self.diagnostic_at(Severity::Error, path, message)
    }

    /// As [`Project::error_at`], for what only needs saying.
    pub fn warning_at(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        self.diagnostic_at(Severity::Warning, path, message)
    }

    fn diagnostic_at(
        &self,
        severity: Severity,
        path: &str,
        message: impl Into<String>,
    ) -> Diagnostic {
        let path = &*self.of_job(path);
        let mut known = path;
        let place = loop {
            if let Some(place) = self.places.by_path.get(known) {
                break *place;
            }
            match known.rfind(['.', '[']) {
                Some(end) => known = &known[..end],
                None => break Place::default(),
            }
        };
        self.places
            .sources
            .diagnostic(severity, place, path, message)
    }

    /// The line that gave the key at `path` its value; `None`: no file did.
    pub fn written_at(&self, path: &str) -> Option<Diagnostic> {
        let place = *self.places.by_path.get(path)?;
        let found = self.places.sources.diagnostic(
            Severity::Warning,
            place,
            path,
            "has its value from this line",
        );
        Some(found)
    }

    /// Takes out the networks, volumes, configs, secrets and models that no active service uses.
    pub fn drop_unused(&mut self) {
        let (services, jobs) = (&self.services, &self.jobs);
        let uses = |used: &dyn Fn(&Service) -> bool| services.iter().chain(jobs).any(used);
        self.networks
            .retain(|key, _| uses(&|s| s.networks.iter().any(|endpoint| endpoint.network == *key)));
        self.volumes.retain(|key, _| {
            let named = |kind: &MountKind| matches!(kind, MountKind::Volume { name: Some(name), .. } if name == key);
            uses(&|s| s.volumes.iter().any(|volume| named(&volume.mount.kind)))
        });
        self.configs
            .retain(|key, _| uses(&|s| s.configs.iter().any(|file| file.source == *key)));
        self.secrets.retain(|key, _| {
            let built = |s: &Service| {
                s.build
                    .as_ref()
                    .is_some_and(|b| b.secrets.iter().any(|f| f.source == *key))
            };
            uses(&|s| s.secrets.iter().any(|file| file.source == *key) || built(s))
        });
        self.models
            .retain(|key, _| uses(&|s| s.models.contains_key(key)));
    }

    /// The services in dependency order: each after those it depends on. The project has no cycle.
    pub fn in_dependency_order(&self) -> Vec<&Service> {
        let mut order: Vec<&Service> = Vec::with_capacity(self.services.len());
        let mut waiting: Vec<&Service> = self.services.iter().collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|service| {
                let ready = service.depends_on.keys().all(|name| {
                    self.service(name).is_none() || order.iter().any(|done| done.name == *name)
                });
                if ready {
                    order.push(service);
                }
                !ready
            });
            if waiting.len() == before {
                // Only a project that was changed after loading can come here.
                order.append(&mut waiting);
            }
        }
        order
    }
}
