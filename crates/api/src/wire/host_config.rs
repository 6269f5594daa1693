//! `HostConfig` of an inspected container.

use engine::container::record::ContainerRecord;
use engine::spec::Security;
use model::container::{ContainerSpec, NamespaceMode};
use model::limits::{DeviceValue, Resources, Ulimit};
use model::mount::MountKind;
use model::network::NetworkMode;
use model::port::HostPort;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostConfig {
    pub binds: Option<Vec<String>>,
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    pub log_config: LogConfig,
    pub network_mode: String,
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    pub restart_policy: RestartPolicy,
    pub auto_remove: bool,
    pub volume_driver: String,
    pub volumes_from: Option<Vec<String>>,
    pub console_size: [u16; 2],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    pub cap_add: Option<Vec<String>>,
    pub cap_drop: Option<Vec<String>>,
    pub cgroupns_mode: String,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    pub extra_hosts: Option<Vec<String>>,
    pub group_add: Option<Vec<String>>,
    pub ipc_mode: String,
    pub cgroup: String,
    pub links: Option<Vec<String>>,
    pub oom_score_adj: i32,
    pub pid_mode: String,
    pub privileged: bool,
    pub publish_all_ports: bool,
    pub readonly_rootfs: bool,
    pub security_opt: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    pub userns_mode: String,
    pub shm_size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    pub runtime: String,
    pub isolation: String,
    #[serde(flatten)]
    pub limits: Limits,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountPoint>,
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogConfig {
    #[serde(rename = "Type")]
    pub kind: String,
    pub config: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PortBinding {
    pub host_ip: String,
    pub host_port: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartPolicy {
    pub name: String,
    pub maximum_retry_count: u32,
}

/// The cgroup limits and devices, in Docker's order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Limits {
    pub cpu_shares: u64,
    pub memory: u64,
    pub nano_cpus: u64,
    pub cgroup_parent: String,
    pub blkio_weight: u16,
    pub blkio_weight_device: Vec<WeightDevice>,
    pub blkio_device_read_bps: Vec<RateDevice>,
    pub blkio_device_write_bps: Vec<RateDevice>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Vec<RateDevice>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Vec<RateDevice>,
    pub cpu_period: u64,
    pub cpu_quota: i64,
    pub cpu_realtime_period: u64,
    pub cpu_realtime_runtime: i64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    pub devices: Vec<Device>,
    pub device_cgroup_rules: Option<Vec<String>>,
    pub device_requests: Option<Vec<DeviceRequest>>,
    pub memory_reservation: u64,
    pub memory_swap: i64,
    pub memory_swappiness: Option<u64>,
    pub oom_kill_disable: bool,
    pub pids_limit: Option<i64>,
    pub ulimits: Vec<UlimitEntry>,
    pub cpu_count: u64,
    pub cpu_percent: u64,
    #[serde(rename = "IOMaximumIOps")]
    pub io_maximum_iops: u64,
    #[serde(rename = "IOMaximumBandwidth")]
    pub io_maximum_bandwidth: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct WeightDevice {
    pub path: String,
    pub weight: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RateDevice {
    pub path: String,
    pub rate: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Device {
    pub path_on_host: String,
    pub path_in_container: String,
    pub cgroup_permissions: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeviceRequest {
    pub driver: String,
    pub count: i64,
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Vec<String>,
    pub capabilities: Vec<Vec<String>>,
    pub options: BTreeMap<String, String>,
}

impl From<&model::device::DeviceRequest> for DeviceRequest {
    fn from(request: &model::device::DeviceRequest) -> Self {
        Self {
            driver: request.driver.clone(),
            count: request.count,
            device_ids: request.device_ids.clone(),
            capabilities: request.capabilities.clone(),
            options: request.options.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UlimitEntry {
    pub name: String,
    pub hard: i64,
    pub soft: i64,
}

/// A mount asked for by `--mount`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint {
    #[serde(rename = "Type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    pub target: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// `host`, `container:x`, or nothing where nothing was said.
fn mode(mode: &NamespaceMode, default: &str) -> String {
    match mode {
        NamespaceMode::Default => default.to_owned(),
        other => other.to_string(),
    }
}

fn network_mode(spec: &ContainerSpec) -> String {
    match &spec.network_mode {
        NetworkMode::Default => "bridge".into(),
        NetworkMode::Host => "host".into(),
        NetworkMode::None => "none".into(),
        NetworkMode::Container(name) => format!("container:{name}"),
        NetworkMode::Networks => spec
            .networks
            .first()
            .map_or_else(|| "none".into(), |net| net.network.clone()),
    }
}

/// Binds and named volumes in the short form, as `-v` was given.
fn binds(spec: &ContainerSpec) -> Option<Vec<String>> {
    let short = |source: &str, mount: &model::mount::Mount| {
        let suffix = if mount.read_only { ":ro" } else { "" };
        format!("{source}:{}{suffix}", mount.target)
    };
    let binds: Vec<String> = spec
        .mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            MountKind::Bind { source, .. } => Some(short(source, mount)),
            MountKind::Volume {
                name: Some(name), ..
            } => Some(short(name, mount)),
            _ => None,
        })
        .collect();
    (!binds.is_empty()).then_some(binds)
}

fn tmpfs(spec: &ContainerSpec) -> BTreeMap<String, String> {
    let options = |kind: &MountKind| match kind {
        MountKind::Tmpfs {
            size,
            mode,
            options,
        } => {
            let mut words = options.clone();
            words.extend(size.map(|size| format!("size={size}")));
            words.extend(mode.map(|mode| format!("mode={mode:o}")));
            Some(words.join(","))
        }
        _ => None,
    };
    spec.mounts
        .iter()
        .filter_map(|mount| Some((mount.target.clone(), options(&mount.kind)?)))
        .collect()
}

fn port_bindings(spec: &ContainerSpec) -> BTreeMap<String, Vec<PortBinding>> {
    let mut bindings: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
    for port in &spec.ports {
        let host_port = match port.host_port {
            HostPort::Random => String::new(),
            HostPort::Exact(number) => number.to_string(),
            HostPort::AnyOf { first, last } => format!("{first}-{last}"),
        };
        let host_ip = port.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let key = format!("{}/{}", port.container_port, port.protocol);
        bindings
            .entry(key)
            .or_default()
            .push(PortBinding { host_ip, host_port });
    }
    bindings
}

fn weights(list: &[DeviceValue]) -> Vec<WeightDevice> {
    list.iter()
        .map(|device| WeightDevice {
            path: device.path.clone(),
            weight: device.value,
        })
        .collect()
}

fn rates(list: &[DeviceValue]) -> Vec<RateDevice> {
    list.iter()
        .map(|device| RateDevice {
            path: device.path.clone(),
            rate: device.value,
        })
        .collect()
}

impl Limits {
    fn new(spec: &ContainerSpec) -> Self {
        let limits: &Resources = &spec.resources;
        let device = |device: &model::device::DeviceMapping| Device {
            path_on_host: device.host.clone(),
            path_in_container: device.container.clone(),
            cgroup_permissions: device.permissions.clone(),
        };
        let ulimit = |ulimit: &Ulimit| UlimitEntry {
            name: ulimit.name.clone(),
            hard: ulimit.hard,
            soft: ulimit.soft,
        };
        // Docker's default: as much swap again as memory.
        let swap = limits.memory_swap.or(limits
            .memory
            .map(|m| i64::try_from(m.saturating_mul(2)).unwrap_or(-1)));
        Self {
            cpu_shares: limits.cpu_shares.unwrap_or(0),
            memory: limits.memory.unwrap_or(0),
            nano_cpus: limits.nano_cpus.unwrap_or(0),
            cgroup_parent: spec.cgroup_parent.clone().unwrap_or_default(),
            blkio_weight: limits.blkio_weight.unwrap_or(0),
            blkio_weight_device: weights(&limits.blkio_weight_device),
            blkio_device_read_bps: rates(&limits.device_read_bps),
            blkio_device_write_bps: rates(&limits.device_write_bps),
            blkio_device_read_iops: rates(&limits.device_read_iops),
            blkio_device_write_iops: rates(&limits.device_write_iops),
            cpu_period: limits.cpu_period.unwrap_or(0),
            cpu_quota: limits.cpu_quota.unwrap_or(0),
            cpu_realtime_period: limits.cpu_rt_period.unwrap_or(0),
            cpu_realtime_runtime: limits.cpu_rt_runtime.unwrap_or(0),
            cpuset_cpus: limits.cpuset_cpus.clone().unwrap_or_default(),
            cpuset_mems: limits.cpuset_mems.clone().unwrap_or_default(),
            devices: spec.devices.iter().map(device).collect(),
            device_cgroup_rules: super::nullable(&spec.device_cgroup_rules),
            device_requests: (!spec.device_requests.is_empty())
                .then(|| spec.device_requests.iter().map(Into::into).collect()),
            memory_reservation: limits.memory_reservation.unwrap_or(0),
            memory_swap: swap.unwrap_or(0),
            memory_swappiness: limits.memory_swappiness,
            oom_kill_disable: limits.oom_kill_disable,
            pids_limit: limits.pids_limit,
            ulimits: spec.ulimits.iter().map(ulimit).collect(),
            cpu_count: 0,
            cpu_percent: 0,
            io_maximum_iops: 0,
            io_maximum_bandwidth: 0,
        }
    }
}

impl From<&ContainerRecord> for HostConfig {
    fn from(container: &ContainerRecord) -> Self {
        let spec = &container.spec;
        let texts = |list: &[model::network::ExtraHost]| {
            list.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let closed = Security::parse(spec).ok().filter(|_| !spec.privileged);
        Self {
            binds: binds(spec),
            container_id_file: String::new(),
            log_config: LogConfig {
                kind: spec.log.driver.to_string(),
                config: spec.log.options.clone(),
            },
            network_mode: network_mode(spec),
            port_bindings: port_bindings(spec),
            restart_policy: RestartPolicy {
                name: spec.restart.condition.to_string(),
                maximum_retry_count: spec.restart.max_attempts.unwrap_or(0),
            },
            auto_remove: spec.auto_remove,
            volume_driver: spec.volume_driver.clone().unwrap_or_default(),
            volumes_from: super::nullable(&spec.volumes_from),
            console_size: [0, 0],
            annotations: spec.annotations.clone(),
            cap_add: super::nullable(&spec.cap_add),
            cap_drop: super::nullable(&spec.cap_drop),
            cgroupns_mode: mode(&spec.cgroupns_mode, "private"),
            dns: spec.dns.iter().map(ToString::to_string).collect(),
            dns_options: spec.dns_options.clone(),
            dns_search: spec.dns_search.clone(),
            extra_hosts: super::nullable(&texts(&spec.extra_hosts)),
            group_add: super::nullable(&spec.group_add),
            ipc_mode: mode(&spec.ipc_mode, "private"),
            cgroup: String::new(),
            links: super::nullable(&spec.links),
            oom_score_adj: spec.oom_score_adj.unwrap_or(0),
            pid_mode: mode(&spec.pid_mode, ""),
            privileged: spec.privileged,
            publish_all_ports: spec.publish_all,
            readonly_rootfs: spec.read_only,
            security_opt: super::nullable(&spec.security_opt),
            storage_opt: spec.storage_opt.clone(),
            tmpfs: tmpfs(spec),
            uts_mode: mode(&spec.uts_mode, ""),
            userns_mode: spec.userns_mode.to_string(),
            shm_size: spec.shm_size.unwrap_or(64 << 20),
            sysctls: spec.sysctls.clone(),
            runtime: spec
                .runtime
                .clone()
                .unwrap_or_else(|| engine::container::external::select::OWN.into()),
            isolation: String::new(),
            limits: Limits::new(spec),
            mounts: Vec::new(),
            masked_paths: closed.as_ref().map(Security::masked_paths),
            readonly_paths: closed.as_ref().map(Security::readonly_paths),
            init: spec.init,
        }
    }
}
