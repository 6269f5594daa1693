//! cgroup limits and resource limits (`--memory`, `--cpus`, `--ulimit`, …).

use serde::{Deserialize, Serialize};

/// Limits of a container's cgroup. Bytes, Docker's units elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    pub memory: Option<u64>,
    pub memory_reservation: Option<u64>,
    /// Memory plus swap; -1: unlimited swap.
    pub memory_swap: Option<i64>,
    pub memory_swappiness: Option<u64>,
    pub oom_kill_disable: bool,
    /// Billionths of a CPU (`--cpus 1.5` is 1,500,000,000).
    pub nano_cpus: Option<u64>,
    pub cpu_shares: Option<u64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds per period; -1: unlimited.
    pub cpu_quota: Option<i64>,
    pub cpu_rt_period: Option<u64>,
    pub cpu_rt_runtime: Option<i64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    /// -1 or 0: unlimited.
    pub pids_limit: Option<i64>,
    /// 10 to 1000.
    pub blkio_weight: Option<u16>,
    pub blkio_weight_device: Vec<DeviceValue>,
    pub device_read_bps: Vec<DeviceValue>,
    pub device_write_bps: Vec<DeviceValue>,
    pub device_read_iops: Vec<DeviceValue>,
    pub device_write_iops: Vec<DeviceValue>,
}

/// A value for one block device, named by its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceValue {
    pub path: String,
    pub value: u64,
}

/// `--ulimit name=soft[:hard]`; -1: unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}
