//! A container as a user asks for it: Docker's `Config` and `HostConfig` in one plain struct.
//!
//! Source: Docker CLI reference (`docker run`), Engine API `ContainerCreate`. `None` or an empty list
//! means "not said": the image's configuration or the engine's default decides.

use crate::device::{DeviceMapping, DeviceRequest};
use crate::health::Healthcheck;
use crate::limits::{Resources, Ulimit};
use crate::log::LogConfig;
use crate::mount::{FileMount, Mount};
use crate::network::{EndpointSettings, ExtraHost, NetworkMode};
use crate::port::{ContainerPort, PortBinding};
use crate::restart::RestartPolicy;
use crate::userns::UsernsMode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything `docker run` can be told about one container, except its name and how to attach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// The image reference as typed (`nginx`, `redis:7`, `sha256:…`).
    pub image: String,
    /// `None`: the image's. `Some(vec![])`: cleared.
    pub entrypoint: Option<Vec<String>>,
    /// `None`: the image's. `Some(vec![])`: cleared.
    pub command: Option<Vec<String>>,
    /// `KEY=value` entries over the image's; a bare `KEY` removes the image's value.
    pub env: Vec<String>,
    /// `name|uid[:group|gid]`.
    pub user: Option<String>,
    pub group_add: Vec<String>,
    pub working_dir: Option<String>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub tty: bool,
    /// `-i`: standard input is kept open (and handed to an attached client).
    pub open_stdin: bool,
    /// Close standard input once the first attached client has gone.
    pub stdin_once: bool,
    pub stop_signal: Option<String>,
    /// Seconds between the stop signal and `SIGKILL`; `None`: 10.
    pub stop_timeout: Option<u64>,

    #[serde(with = "crate::runs")]
    pub expose: Vec<ContainerPort>,
    #[serde(with = "crate::runs")]
    pub ports: Vec<PortBinding>,
    /// Ports of `ports` that not everybody may reach.
    pub port_access: Vec<crate::access::PortAccess>,
    pub publish_all: bool,
    /// Where ports are published that name no address of the host, unless the network says so itself.
    pub default_host_ip: Option<std::net::IpAddr>,
    /// Connections of its own lead nowhere but to containers of its networks.
    pub deny_egress: bool,
    /// The service has one address on each of its networks, and its name leads there (`endpoint_mode: vip`).
    pub service_address: bool,
    pub network_mode: NetworkMode,
    /// Of the volumes that are named in the short form; they have it themselves, this is to be shown.
    pub volume_driver: Option<String>,
    /// The networks to join, in order (only with [`NetworkMode::Networks`]).
    pub networks: Vec<EndpointSettings>,
    pub dns: Vec<std::net::IpAddr>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    pub extra_hosts: Vec<ExtraHost>,
    /// `container[:alias]`, legacy links; resolved as extra names in this container's DNS.
    pub links: Vec<String>,

    pub mounts: Vec<Mount>,
    /// Files handed over by content: configs and secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileMount>,
    /// `container[:ro|rw]`.
    pub volumes_from: Vec<String>,
    pub read_only: bool,
    /// Bytes of `/dev/shm`; `None`: 64 MiB.
    pub shm_size: Option<u64>,
    pub storage_opt: BTreeMap<String, String>,

    pub init: bool,
    pub privileged: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub security_opt: Vec<String>,
    pub devices: Vec<DeviceMapping>,
    pub device_cgroup_rules: Vec<String>,
    pub device_requests: Vec<DeviceRequest>,
    pub pid_mode: NamespaceMode,
    pub ipc_mode: NamespaceMode,
    pub uts_mode: NamespaceMode,
    pub cgroupns_mode: NamespaceMode,
    pub userns_mode: UsernsMode,
    pub cgroup_parent: Option<String>,
    pub resources: Resources,
    pub ulimits: Vec<Ulimit>,
    pub sysctls: BTreeMap<String, String>,
    pub oom_score_adj: Option<i32>,
    pub runtime: Option<String>,

    pub restart: RestartPolicy,
    /// `--rm`.
    pub auto_remove: bool,
    /// `None`: the image's; `Some` with [`crate::health::HealthTest::None`]: switched off.
    pub healthcheck: Option<Healthcheck>,
    pub log: LogConfig,
    /// `os/arch[/variant]`.
    pub platform: Option<String>,
}

/// Where a namespace comes from (`--pid`, `--ipc`, `--uts`, `--cgroupns`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceMode {
    /// Not said: the engine's default (private).
    #[default]
    Default,
    Private,
    Host,
    /// `--ipc=shareable`.
    Shareable,
    /// `--ipc=none`: private, without `/dev/shm`.
    None,
    /// `container:NAME`.
    Container(String),
}

impl std::str::FromStr for NamespaceMode {
    type Err = crate::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "" => Self::Default,
            "private" => Self::Private,
            "host" => Self::Host,
            "shareable" => Self::Shareable,
            "none" => Self::None,
            _ => match text.strip_prefix("container:") {
                Some(name) if !name.is_empty() => Self::Container(name.to_owned()),
                _ => {
                    return Err(crate::ParseError::new(
                        "namespace mode",
                        text,
                        "use host, private or container:NAME",
                    ));
                }
            },
        })
    }
}

impl std::fmt::Display for NamespaceMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Private => f.write_str("private"),
            Self::Host => f.write_str("host"),
            Self::Shareable => f.write_str("shareable"),
            Self::None => f.write_str("none"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}
