//! `Resources`: of a container that is made, and of one that is changed.

use super::{Error, or_default, positive, said};
use model::device::{DeviceMapping, DeviceRequest};
use model::limits::{DeviceValue, Resources, Ulimit};
use model::restart::RestartPolicy;
use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LimitsBody {
    cpu_shares: Option<i64>,
    memory: Option<i64>,
    #[serde(alias = "NanoCPUs")]
    nano_cpus: Option<i64>,
    pub(super) cgroup_parent: Option<String>,
    blkio_weight: Option<u16>,
    #[serde(deserialize_with = "or_default")]
    blkio_weight_device: Vec<Weight>,
    #[serde(deserialize_with = "or_default")]
    blkio_device_read_bps: Vec<Rate>,
    #[serde(deserialize_with = "or_default")]
    blkio_device_write_bps: Vec<Rate>,
    #[serde(rename = "BlkioDeviceReadIOps", deserialize_with = "or_default")]
    blkio_device_read_iops: Vec<Rate>,
    #[serde(rename = "BlkioDeviceWriteIOps", deserialize_with = "or_default")]
    blkio_device_write_iops: Vec<Rate>,
    cpu_period: Option<i64>,
    cpu_quota: Option<i64>,
    cpu_realtime_period: Option<i64>,
    cpu_realtime_runtime: Option<i64>,
    cpuset_cpus: Option<String>,
    cpuset_mems: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) devices: Vec<Device>,
    #[serde(deserialize_with = "or_default")]
    pub(super) device_cgroup_rules: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) device_requests: Vec<Request>,
    memory_reservation: Option<i64>,
    memory_swap: Option<i64>,
    memory_swappiness: Option<i64>,
    oom_kill_disable: Option<bool>,
    pids_limit: Option<i64>,
    #[serde(deserialize_with = "or_default")]
    pub(super) ulimits: Vec<UlimitBody>,
    pub(super) restart_policy: Option<Restart>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Weight {
    path: String,
    weight: u16,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Rate {
    path: String,
    rate: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Device {
    path_on_host: String,
    path_in_container: String,
    cgroup_permissions: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Request {
    driver: Option<String>,
    count: Option<i64>,
    #[serde(rename = "DeviceIDs", deserialize_with = "or_default")]
    device_ids: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    capabilities: Vec<Vec<String>>,
    #[serde(deserialize_with = "or_default")]
    options: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct UlimitBody {
    name: String,
    soft: i64,
    hard: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Restart {
    name: Option<String>,
    maximum_retry_count: Option<i64>,
}

impl Restart {
    /// `None`: nothing was said.
    pub(super) fn read(&self) -> Result<Option<RestartPolicy>, Error> {
        let Some(name) = self.name.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let text = match self.maximum_retry_count {
            Some(count) if count != 0 => format!("{name}:{count}"),
            _ => name.to_owned(),
        };
        Ok(Some(text.parse()?))
    }
}

impl Device {
    pub(super) fn read(&self) -> Result<DeviceMapping, Error> {
        let inside = match self.path_in_container.as_str() {
            "" => &self.path_on_host,
            path => path,
        };
        let permissions = match self.cgroup_permissions.as_str() {
            "" => "rwm",
            some => some,
        };
        // Through the short form: what that refuses is refused.
        Ok(format!("{}:{inside}:{permissions}", self.path_on_host).parse()?)
    }
}

impl Request {
    pub(super) fn read(self) -> DeviceRequest {
        DeviceRequest {
            driver: self.driver.unwrap_or_default(),
            count: self.count.unwrap_or(0),
            device_ids: self.device_ids,
            capabilities: self.capabilities,
            options: self.options,
        }
    }
}

impl UlimitBody {
    pub(super) fn read(&self) -> Result<Ulimit, Error> {
        Ok(format!("{}={}:{}", self.name, self.soft, self.hard).parse()?)
    }
}

impl LimitsBody {
    pub fn resources(&self) -> Result<Resources, Error> {
        let rates = |list: &[Rate]| {
            let each = list.iter().map(|entry| DeviceValue {
                path: entry.path.clone(),
                value: entry.rate,
            });
            each.collect()
        };
        let weights = self.blkio_weight_device.iter().map(|entry| DeviceValue {
            path: entry.path.clone(),
            value: entry.weight.into(),
        });
        for (what, number) in [("memory", self.memory), ("CPUs", self.nano_cpus)] {
            if let Some(number) = number.filter(|n| *n < 0) {
                return Err(Error::value(what, number.to_string(), "it is below zero"));
            }
        }
        Ok(Resources {
            memory: positive(self.memory),
            memory_reservation: positive(self.memory_reservation),
            memory_swap: self.memory_swap.filter(|n| *n != 0),
            memory_swappiness: self.memory_swappiness.and_then(|n| u64::try_from(n).ok()),
            oom_kill_disable: self.oom_kill_disable.unwrap_or(false),
            nano_cpus: positive(self.nano_cpus),
            cpu_shares: positive(self.cpu_shares),
            cpu_period: positive(self.cpu_period),
            cpu_quota: self.cpu_quota.filter(|n| *n != 0),
            cpu_rt_period: positive(self.cpu_realtime_period),
            cpu_rt_runtime: self.cpu_realtime_runtime.filter(|n| *n != 0),
            cpuset_cpus: said(self.cpuset_cpus.clone()),
            cpuset_mems: said(self.cpuset_mems.clone()),
            pids_limit: self.pids_limit.filter(|n| *n != 0),
            blkio_weight: self.blkio_weight.filter(|n| *n != 0),
            blkio_weight_device: weights.collect(),
            device_read_bps: rates(&self.blkio_device_read_bps),
            device_write_bps: rates(&self.blkio_device_write_bps),
            device_read_iops: rates(&self.blkio_device_read_iops),
            device_write_iops: rates(&self.blkio_device_write_iops),
        })
    }

    /// What the restart policy is to be; `None`: as it is.
    pub fn restart(&self) -> Result<Option<RestartPolicy>, Error> {
        let policy = self.restart_policy.as_ref();
        Ok(policy.map(Restart::read).transpose()?.flatten())
    }
}
