//! cgroup limits: the same flags for `run`, `create` and `update`.

use super::{parse_all, parse_some};
use crate::failure::Failure;
use model::limits::{DeviceValue, Resources, parse_cpus};
use model::size;
use std::str::FromStr;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct ResourceFlags {
    #[command(flatten)]
    basic: BasicLimits,
    /// Tune container memory swappiness (0 to 100)
    #[arg(long, value_name = "int", allow_hyphen_values = true)]
    memory_swappiness: Option<String>,
    /// Disable OOM Killer
    #[arg(long)]
    oom_kill_disable: bool,
    /// Block IO weight (relative device weight)
    #[arg(long, value_name = "list")]
    blkio_weight_device: Vec<String>,
    /// Limit read rate (bytes per second) from a device
    #[arg(long, value_name = "list")]
    device_read_bps: Vec<String>,
    /// Limit write rate (bytes per second) to a device
    #[arg(long, value_name = "list")]
    device_write_bps: Vec<String>,
    /// Limit read rate (IO per second) from a device
    #[arg(long, value_name = "list")]
    device_read_iops: Vec<String>,
    /// Limit write rate (IO per second) to a device
    #[arg(long, value_name = "list")]
    device_write_iops: Vec<String>,
}

/// The limits that can also be changed later (`update`).
#[derive(Debug, Default, clap::Args)]
pub(crate) struct BasicLimits {
    /// Memory limit
    #[arg(short, long, value_name = "bytes")]
    memory: Option<String>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes")]
    memory_reservation: Option<String>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "bytes", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal")]
    cpus: Option<String>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int")]
    cpu_shares: Option<String>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int")]
    cpu_period: Option<String>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int", allow_hyphen_values = true)]
    cpu_quota: Option<String>,
    /// Limit CPU real-time period in microseconds
    #[arg(long, value_name = "int")]
    cpu_rt_period: Option<String>,
    /// Limit CPU real-time runtime in microseconds
    #[arg(long, value_name = "int")]
    cpu_rt_runtime: Option<String>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_mems: Option<String>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", allow_hyphen_values = true)]
    pids_limit: Option<String>,
    /// Kernel memory limit: no kernel has it any more
    #[arg(long, value_name = "bytes", hide = true)]
    kernel_memory: Option<String>,
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable
    #[arg(long, value_name = "uint16")]
    blkio_weight: Option<String>,
}

fn number<T: FromStr>(flag: &str, value: Option<&String>) -> Result<Option<T>, Failure> {
    parse_some(flag, value, |text| {
        text.parse::<T>()
            .map_err(|_| format!("parsing {text:?}: invalid syntax"))
    })
}

fn set<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

impl BasicLimits {
    /// Writes what was given over what is there.
    pub(crate) fn apply(&self, limits: &mut Resources) -> Result<(), Failure> {
        set(
            &mut limits.memory,
            parse_some("memory", self.memory.as_ref(), size::parse)?,
        );
        set(
            &mut limits.memory_reservation,
            parse_some(
                "memory-reservation",
                self.memory_reservation.as_ref(),
                size::parse,
            )?,
        );
        set(
            &mut limits.memory_swap,
            parse_some(
                "memory-swap",
                self.memory_swap.as_ref(),
                size::parse_or_unlimited,
            )?,
        );
        set(
            &mut limits.nano_cpus,
            parse_some("cpus", self.cpus.as_ref(), parse_cpus)?,
        );
        set(
            &mut limits.cpu_shares,
            number("cpu-shares", self.cpu_shares.as_ref())?,
        );
        set(
            &mut limits.cpu_period,
            number("cpu-period", self.cpu_period.as_ref())?,
        );
        set(
            &mut limits.cpu_quota,
            number("cpu-quota", self.cpu_quota.as_ref())?,
        );
        set(
            &mut limits.cpu_rt_period,
            number("cpu-rt-period", self.cpu_rt_period.as_ref())?,
        );
        set(
            &mut limits.cpu_rt_runtime,
            number("cpu-rt-runtime", self.cpu_rt_runtime.as_ref())?,
        );
        set(&mut limits.cpuset_cpus, self.cpuset_cpus.clone());
        set(&mut limits.cpuset_mems, self.cpuset_mems.clone());
        set(
            &mut limits.pids_limit,
            number("pids-limit", self.pids_limit.as_ref())?,
        );
        if let Some(text) = &self.kernel_memory {
            super::parse("kernel-memory", text, size::parse)?;
            crate::output::warn(
                "--kernel-memory is obsolete and has no effect: the kernel counts it as memory.",
            );
        }
        let weight = number::<u16>("blkio-weight", self.blkio_weight.as_ref())?;
        if let Some(weight) = weight.filter(|weight| *weight != 0 && !(10..=1000).contains(weight))
        {
            return Err(super::bad_value(
                "blkio-weight",
                weight,
                "the range is 10 to 1000",
            ));
        }
        set(
            &mut limits.blkio_weight,
            weight.filter(|weight| *weight != 0),
        );
        Ok(())
    }
}

impl ResourceFlags {
    pub(super) fn apply(&self, limits: &mut Resources) -> Result<(), Failure> {
        self.basic.apply(limits)?;
        let swappiness: Option<i64> = number("memory-swappiness", self.memory_swappiness.as_ref())?;
        if let Some(value) = swappiness.filter(|value| !(-1..=100).contains(value)) {
            return Err(super::bad_value(
                "memory-swappiness",
                value,
                "the range is 0 to 100",
            ));
        }
        limits.memory_swappiness = swappiness.and_then(|value| u64::try_from(value).ok());
        limits.oom_kill_disable = self.oom_kill_disable;
        limits.blkio_weight_device = parse_all(
            "blkio-weight-device",
            &self.blkio_weight_device,
            DeviceValue::parse_weight,
        )?;
        limits.device_read_bps = parse_all(
            "device-read-bps",
            &self.device_read_bps,
            DeviceValue::parse_bytes,
        )?;
        limits.device_write_bps = parse_all(
            "device-write-bps",
            &self.device_write_bps,
            DeviceValue::parse_bytes,
        )?;
        limits.device_read_iops = parse_all(
            "device-read-iops",
            &self.device_read_iops,
            DeviceValue::parse_count,
        )?;
        limits.device_write_iops = parse_all(
            "device-write-iops",
            &self.device_write_iops,
            DeviceValue::parse_count,
        )?;
        Ok(())
    }
}
