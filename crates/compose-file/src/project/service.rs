//! One service: every key of `services.*`, typed.
//! Source: Compose Specification `05-services.md`.

use super::{Build, Deploy, Develop, Extensions, Triggers};
use model::access::SourceNetwork;
use model::container::NamespaceMode;
use model::device::{DeviceMapping, DeviceRequest};
use model::health::Healthcheck;
use model::limits::{Resources, Ulimit};
use model::mount::Mount;
use model::network::{EndpointSettings, ExtraHost};
use model::port::{ContainerPort, PortBinding};
use model::restart::RestartPolicy;
use model::userns::UsernsMode;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A service as the file wants it. `None` or empty: not said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Service {
    pub name: String,
    pub image: Option<String>,
    pub build: Option<Build>,
    pub provider: Option<Provider>,
    /// `None`: the image's; `Some` and empty: cleared.
    pub command: Option<Vec<String>>,
    /// `None`: the image's; `Some` and empty: cleared.
    pub entrypoint: Option<Vec<String>>,
    pub container_name: Option<String>,
    pub profiles: Vec<String>,
    pub scale: Option<u32>,
    pub deploy: Option<Deploy>,
    pub develop: Option<Develop>,
    pub depends_on: BTreeMap<String, Dependency>,
    /// It is a job.
    pub triggers: Option<Triggers>,

    /// `env_file` and `environment` together; `None`: remove the image's value.
    pub environment: BTreeMap<String, Option<String>>,
    /// The files as written; their contents are already in `environment`.
    pub env_file: Vec<EnvFile>,
    /// `label_file` and `labels` together.
    pub labels: BTreeMap<String, String>,
    pub label_file: Vec<PathBuf>,
    pub annotations: BTreeMap<String, String>,

    pub ports: Vec<ServicePort>,
    pub expose: Vec<Exposed>,
    /// `x-dockless.deny-egress`: its own connections lead nowhere but to services of its networks.
    pub deny_egress: bool,
    pub network_mode: Option<NetworkModeRef>,
    /// In the order of the file; `network` is the key in [`super::Project::networks`].
    pub networks: Vec<EndpointSettings>,
    pub mac_address: Option<String>,
    pub dns: Vec<IpAddr>,
    pub dns_opt: Vec<String>,
    pub dns_search: Vec<String>,
    pub extra_hosts: Vec<ExtraHost>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    /// `service[:alias]`.
    pub links: Vec<String>,
    /// `container[:alias]`.
    pub external_links: Vec<String>,

    pub volumes: Vec<ServiceVolume>,
    pub tmpfs: Vec<Mount>,
    pub written: Written,
    pub volumes_from: Vec<VolumesFrom>,
    pub configs: Vec<FileReference>,
    pub secrets: Vec<FileReference>,
    pub models: BTreeMap<String, ModelUse>,
    pub read_only: bool,
    pub shm_size: Option<u64>,
    pub storage_opt: BTreeMap<String, String>,
    pub use_api_socket: bool,

    pub user: Option<String>,
    pub group_add: Vec<String>,
    pub working_dir: Option<String>,
    pub tty: bool,
    pub stdin_open: bool,
    pub init: Option<bool>,
    pub privileged: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub security_opt: Vec<String>,
    pub sysctls: BTreeMap<String, String>,
    pub ulimits: Vec<Ulimit>,
    pub devices: Vec<Device>,
    pub device_cgroup_rules: Vec<String>,
    pub gpus: Vec<DeviceRequest>,
    pub pid: NamespaceRef,
    pub ipc: NamespaceRef,
    pub uts: NamespaceRef,
    pub cgroup: NamespaceRef,
    pub userns_mode: UsernsMode,
    pub cgroup_parent: Option<String>,
    /// The service's own keys; [`Service::resources`] adds `deploy.resources`.
    pub limits: Resources,
    pub oom_score_adj: Option<i32>,
    pub runtime: Option<String>,
    pub platform: Option<String>,

    pub restart: Option<RestartPolicy>,
    pub healthcheck: Option<Healthcheck>,
    pub logging: Option<Logging>,
    pub stop_signal: Option<String>,
    pub stop_grace_period: Option<Duration>,
    /// `false`: `up` does not show its output.
    pub attach: Option<bool>,
    pub pull_policy: Option<PullPolicy>,
    pub pull_refresh_after: Option<String>,
    pub pre_start: Vec<InitHook>,
    pub post_start: Vec<Hook>,
    pub pre_stop: Vec<Hook>,

    /// Only Windows knows these four; they are read, printed and otherwise left alone.
    pub cpu_count: Option<u64>,
    pub cpu_percent: Option<f64>,
    pub isolation: Option<String>,
    pub credential_spec: Option<CredentialSpec>,
    pub extensions: Extensions,
}

impl Service {
    /// How many containers: `scale`, else `deploy.replicas`, else one.
    pub fn replicas(&self) -> u32 {
        self.scale
            .or(self.deploy.as_ref().and_then(|deploy| deploy.replicas))
            .unwrap_or(1)
    }

    /// `deploy.restart_policy`, else `restart`, else `no`.
    pub fn restart_policy(&self) -> RestartPolicy {
        let deployed = self
            .deploy
            .as_ref()
            .and_then(|deploy| deploy.restart_policy.clone());
        deployed
            .or_else(|| self.restart.clone())
            .unwrap_or_default()
    }

    /// The service's own limits with those of `deploy.resources` over them.
    pub fn resources(&self) -> Resources {
        let mut all = self.limits.clone();
        if let Some(resources) = self.deploy.as_ref().map(|deploy| &deploy.resources) {
            let (limits, reservations) = (&resources.limits, &resources.reservations);
            all.nano_cpus = limits.nano_cpus.or(all.nano_cpus);
            all.memory = limits.memory.or(all.memory);
            all.pids_limit = limits.pids.or(all.pids_limit);
            all.memory_reservation = reservations.memory.or(all.memory_reservation);
        }
        all
    }

    /// `gpus` and `deploy.resources.reservations.devices` together.
    pub fn device_requests(&self) -> Vec<DeviceRequest> {
        let reserved = self
            .deploy
            .iter()
            .flat_map(|deploy| &deploy.resources.reservations.devices);
        self.gpus.iter().chain(reserved).cloned().collect()
    }

    /// The image to run or to build: `image`, else `<project>-<service>`.
    pub fn image_name(&self, project: &str) -> String {
        self.image
            .clone()
            .unwrap_or_else(|| format!("{project}-{}", self.name))
    }
}

/// How something was written that can be written in two ways: the canonical form shows it again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The entries of `tmpfs`.
    pub tmpfs: Vec<String>,
    /// The entries of `volumes_from`.
    pub volumes_from: Vec<String>,
    /// The names of ulimits with `soft` and `hard`.
    pub ulimit_pairs: BTreeSet<String>,
    /// Networks with an empty mapping rather than nothing.
    pub empty_networks: BTreeSet<String>,
    /// A period of `pull_policy`.
    pub pull_period: Option<String>,
}

/// One entry of `depends_on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub condition: Condition,
    /// Restart me when a compose operation restarts it.
    pub restart: bool,
    /// `false`: it may be missing or fail, with a warning.
    pub required: bool,
}

impl Default for Dependency {
    fn default() -> Self {
        Self {
            condition: Condition::Started,
            restart: false,
            required: true,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    Started,
    Healthy,
    CompletedSuccessfully,
}

/// One entry of `env_file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    pub path: PathBuf,
    pub required: bool,
    pub format: EnvFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EnvFormat {
    /// Quotes, escapes and interpolation.
    #[default]
    Compose,
    /// Each line as it stands.
    Raw,
}

/// One entry of `expose`, a port or a range of them, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    pub text: String,
    pub ports: Vec<ContainerPort>,
}

/// One entry of `ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    pub binding: PortBinding,
    pub name: Option<String>,
    /// `ingress` or `host`.
    pub mode: Option<String>,
    pub app_protocol: Option<String>,
    /// `x-dockless.allow`: from where it may be reached, beside this host; `None`: from everywhere.
    pub allow: Option<Vec<SourceNetwork>>,
}

/// One entry of `volumes`. A named volume's `name` is the key in [`super::Project::volumes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceVolume {
    pub mount: Mount,
    pub consistency: Option<String>,
    /// `z` or `Z`, of a bind or of a named volume's short form.
    pub selinux: Option<String>,
    /// Whether there is a key `volume`, though it be empty; the short form has one.
    pub has_volume: bool,
    /// `bind.create_host_path` as far as it is written; the short form writes `true`.
    pub create_host_path: Option<bool>,
    /// `bind.recursive`: `enabled`, `disabled`, `writable`, `readonly`.
    pub recursive: Option<String>,
}

/// One entry of `volumes_from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumesFrom {
    pub source: VolumesFromSource,
    pub read_only: bool,
}

/// Whose volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumesFromSource {
    Service(String),
    Container(String),
}

/// A config or secret handed to a service or a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReference {
    /// The key in `configs` or `secrets`.
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    /// The target as it is written; `None`: the usual one.
    pub written: Option<String>,
    pub uid: Option<String>,
    pub gid: Option<String>,
    /// Permission bits; `None`: 0444.
    pub mode: Option<u32>,
}

/// One entry of a service's `models`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelUse {
    pub endpoint_var: Option<String>,
    pub model_var: Option<String>,
}

/// `network_mode`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkModeRef {
    None,
    Host,
    /// The engine's default network, not one of the project.
    Bridge,
    Service(String),
    Container(String),
    /// A network outside the project, by name.
    Named(String),
}

/// A namespace that may be another service's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceRef {
    Mode(NamespaceMode),
    Service(String),
}

impl Default for NamespaceRef {
    fn default() -> Self {
        Self::Mode(NamespaceMode::Default)
    }
}

/// One entry of `devices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    Path(DeviceMapping),
    /// `vendor.com/class=name`.
    Cdi(String),
}

/// `logging`. The driver is kept as text: one the engine lacks is its error to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logging {
    pub driver: Option<String>,
    pub options: BTreeMap<String, String>,
}

/// `pull_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    Always,
    Never,
    Missing,
    Build,
    /// `daily`, `weekly`, `every_<duration>`: pull when the last pull is older.
    Every(Duration),
}

/// One entry of `post_start` or `pre_stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hook {
    pub command: Vec<String>,
    pub user: Option<String>,
    pub privileged: bool,
    pub working_dir: Option<String>,
    pub environment: BTreeMap<String, Option<String>>,
}

/// One entry of `pre_start`: a container that must exit 0 before the service starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitHook {
    pub hook: Hook,
    /// Defaults to the service's image.
    pub image: Option<String>,
    pub per_replica: bool,
}

/// `provider`: a program outside that brings the service up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provider {
    pub kind: String,
    /// Options in order; one key may have several values.
    pub options: BTreeMap<String, Vec<String>>,
}

/// `credential_spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialSpec {
    pub config: Option<String>,
    pub file: Option<String>,
    pub registry: Option<String>,
}
