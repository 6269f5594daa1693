//! `docker version` and `docker info`.

use serde::Serialize;
use std::collections::BTreeMap;

/// `docker version --format json`: what tools ask for are `.Client.Version`, `.Server.Version` and the API versions.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Version {
    pub client: Client,
    pub server: Server,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Client {
    #[serde(rename = "Platform")]
    pub platform: Platform,
    #[serde(rename = "Version")]
    pub version: String,
    #[serde(rename = "ApiVersion")]
    pub api_version: &'static str,
    #[serde(rename = "DefaultAPIVersion")]
    pub default_api_version: &'static str,
    #[serde(rename = "GitCommit")]
    pub git_commit: String,
    #[serde(rename = "Os")]
    pub os: &'static str,
    #[serde(rename = "Arch")]
    pub arch: String,
    #[serde(rename = "Context")]
    pub context: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Server {
    #[serde(rename = "Platform")]
    pub platform: Platform,
    #[serde(rename = "Components")]
    pub components: Vec<Component>,
    #[serde(rename = "Version")]
    pub version: String,
    #[serde(rename = "ApiVersion")]
    pub api_version: &'static str,
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: &'static str,
    #[serde(rename = "GitCommit")]
    pub git_commit: String,
    #[serde(rename = "Os")]
    pub os: &'static str,
    #[serde(rename = "Arch")]
    pub arch: String,
    #[serde(rename = "KernelVersion")]
    pub kernel_version: String,
    #[serde(rename = "Experimental")]
    pub experimental: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Platform {
    pub name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Component {
    pub name: &'static str,
    pub version: String,
    pub details: BTreeMap<&'static str, String>,
}

/// `docker info --format '{{json .}}'`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Info {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Containers")]
    pub containers: usize,
    #[serde(rename = "ContainersRunning")]
    pub containers_running: usize,
    #[serde(rename = "ContainersPaused")]
    pub containers_paused: usize,
    #[serde(rename = "ContainersStopped")]
    pub containers_stopped: usize,
    #[serde(rename = "Images")]
    pub images: usize,
    #[serde(rename = "Driver")]
    pub driver: &'static str,
    #[serde(rename = "DriverStatus")]
    pub driver_status: Vec<[String; 2]>,
    #[serde(rename = "Plugins")]
    pub plugins: Plugins,
    #[serde(rename = "MemoryLimit")]
    pub memory_limit: bool,
    #[serde(rename = "SwapLimit")]
    pub swap_limit: bool,
    #[serde(rename = "CpuCfsPeriod")]
    pub cpu_cfs_period: bool,
    #[serde(rename = "CpuCfsQuota")]
    pub cpu_cfs_quota: bool,
    #[serde(rename = "CPUShares")]
    pub cpu_shares: bool,
    #[serde(rename = "CPUSet")]
    pub cpu_set: bool,
    #[serde(rename = "PidsLimit")]
    pub pids_limit: bool,
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    #[serde(rename = "Debug")]
    pub debug: bool,
    #[serde(rename = "OomKillDisable")]
    pub oom_kill_disable: bool,
    #[serde(rename = "SystemTime")]
    pub system_time: String,
    #[serde(rename = "LoggingDriver")]
    pub logging_driver: String,
    #[serde(rename = "CgroupDriver")]
    pub cgroup_driver: &'static str,
    #[serde(rename = "CgroupVersion")]
    pub cgroup_version: &'static str,
    #[serde(rename = "KernelVersion")]
    pub kernel_version: String,
    #[serde(rename = "OperatingSystem")]
    pub operating_system: String,
    #[serde(rename = "OSVersion")]
    pub os_version: String,
    #[serde(rename = "OSType")]
    pub os_type: &'static str,
    #[serde(rename = "Architecture")]
    pub architecture: String,
    #[serde(rename = "NCPU")]
    pub ncpu: usize,
    #[serde(rename = "MemTotal")]
    pub mem_total: u64,
    #[serde(rename = "IndexServerAddress")]
    pub index_server_address: &'static str,
    #[serde(rename = "RegistryConfig")]
    pub registry_config: RegistryConfig,
    #[serde(rename = "DockerRootDir")]
    pub docker_root_dir: String,
    #[serde(rename = "HttpProxy")]
    pub http_proxy: String,
    #[serde(rename = "HttpsProxy")]
    pub https_proxy: String,
    #[serde(rename = "NoProxy")]
    pub no_proxy: String,
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "Labels")]
    pub labels: Vec<String>,
    #[serde(rename = "ExperimentalBuild")]
    pub experimental_build: bool,
    #[serde(rename = "ServerVersion")]
    pub server_version: String,
    #[serde(rename = "Runtimes")]
    pub runtimes: BTreeMap<String, Runtime>,
    #[serde(rename = "DefaultRuntime")]
    pub default_runtime: String,
    #[serde(rename = "Swarm")]
    pub swarm: Swarm,
    #[serde(rename = "LiveRestoreEnabled")]
    pub live_restore_enabled: bool,
    #[serde(rename = "InitBinary")]
    pub init_binary: &'static str,
    #[serde(rename = "SecurityOptions")]
    pub security_options: Vec<String>,
    #[serde(rename = "CDISpecDirs")]
    pub cdi_spec_dirs: Vec<String>,
    #[serde(rename = "DiscoveredDevices")]
    pub discovered_devices: Vec<DiscoveredDevice>,
    /// Ours alone: a mechanism and the way it goes on this kernel.
    #[serde(rename = "KernelMechanisms")]
    pub kernel_mechanisms: Vec<KernelMechanism>,
    #[serde(rename = "Warnings")]
    pub warnings: Option<Vec<String>>,
    #[serde(rename = "ClientInfo")]
    pub client_info: ClientInfo,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plugins {
    pub volume: Vec<&'static str>,
    pub network: Vec<&'static str>,
    pub authorization: Option<Vec<&'static str>>,
    pub log: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegistryConfig {
    #[serde(rename = "InsecureRegistryCIDRs")]
    pub insecure_registry_cidrs: Vec<String>,
    #[serde(rename = "IndexConfigs")]
    pub index_configs: BTreeMap<String, IndexConfig>,
    #[serde(rename = "Mirrors")]
    pub mirrors: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IndexConfig {
    pub name: String,
    pub mirrors: Vec<String>,
    pub secure: bool,
    pub official: bool,
}

/// A device that can be named by `--device`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiscoveredDevice {
    #[serde(rename = "Source")]
    pub source: &'static str,
    #[serde(rename = "ID")]
    pub id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KernelMechanism {
    pub name: &'static str,
    pub chosen: &'static str,
    pub fallback: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Runtime {
    pub path: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Swarm {
    #[serde(rename = "NodeID")]
    pub node_id: &'static str,
    pub node_addr: &'static str,
    pub local_node_state: &'static str,
    pub control_available: bool,
    pub error: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClientInfo {
    pub debug: bool,
    pub context: &'static str,
    pub plugins: Vec<Plugin>,
    pub warnings: Option<Vec<String>>,
}

/// What the command line offers beside Docker's own commands: `docker compose`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plugin {
    #[serde(rename = "SchemaVersion")]
    pub schema_version: &'static str,
    #[serde(rename = "Vendor")]
    pub vendor: &'static str,
    #[serde(rename = "Version")]
    pub version: String,
    #[serde(rename = "ShortDescription")]
    pub short_description: &'static str,
    #[serde(rename = "Name")]
    pub name: &'static str,
    #[serde(rename = "Path")]
    pub path: String,
}
