//! OCI's limits, which are worded for v1, in the files of v2.
//!
//! Pure: what has to be known of the group is read before. The conversions of weights are those that the field has agreed on: CPU
//! shares by a curve through (2, 1), (1024, 100) and (262144, 10000), block I/O weights linearly.
//! Source: kernel `cgroup-v2.rst`; runtime-spec `config-linux.md`.

use crate::cgroup::limits::{self, max_or};
use crate::cgroup::{Error, V2Group};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};
use std::os::fd::AsFd;
use sys::cgroupfs;

/// One value for one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: String,
    pub(super) file: String,
    pub(super) value: String,
    /// Whether the limit is not kept if the file is missing.
    pub(super) required: bool,
    /// Whether the spec named the file itself.
    pub(super) unified: bool,
}

/// What the group has now, as far as the new limits depend on it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The quota of `cpu.max`, when only a period is to be set.
    quota: Option<String>,
    /// `memory.max`, when only a limit of memory and swap is to be set.
    memory: Option<u64>,
    /// Whether BFQ's own weights are there.
    bfq: bool,
}

impl Found {
    pub(super) fn of(group: &V2Group, resources: &LinuxResources) -> Self {
        let mut found = Self::default();
        let set = |value: Option<u64>| value.is_some_and(|value| value != 0);
        if let Some(cpu) = resources.cpu()
            && set(cpu.period())
            && cpu.quota().is_none_or(|quota| quota == 0)
        {
            let text = cgroupfs::read(&group.directory, "cpu.max").unwrap_or_default();
            found.quota = text.split_whitespace().next().map(str::to_owned);
        }
        if let Some(memory) = resources.memory()
            && memory.swap().is_some_and(|swap| swap > 0)
            && memory.limit().is_none_or(|limit| limit == 0)
        {
            found.memory = cgroupfs::read_number(&group.directory, "memory.max")
                .ok()
                .flatten();
        }
        if let Some(io) = resources.block_io() {
            let weights = io.weight().is_some() || io.weight_device().is_some();
            found.bfq = weights && cgroupfs::exists(group.directory.as_fd(), "io.bfq.weight");
        }
        found
    }
}

fn set(controller: &str, file: impl Into<String>, value: impl ToString) -> Setting {
    Setting {
        controller: controller.to_owned(),
        file: file.into(),
        value: value.to_string(),
        required: true,
        unified: false,
    }
}

fn if_there(setting: Setting) -> Setting {
    Setting {
        required: false,
        ..setting
    }
}

/// The files and values for the limits, in the order to write them.
pub(super) fn settings(resources: &LinuxResources, found: &Found) -> Result<Vec<Setting>, Error> {
    let mut out = Vec::new();
    if let Some(memory) = resources.memory() {
        memory_settings(memory, found, &mut out)?;
    }
    if let Some(cpu) = resources.cpu() {
        cpu_settings(cpu, found, &mut out);
    }
    if let Some(wanted) = resources.pids() {
        let setting = set("pids", "pids.max", limits::pids(wanted.limit()));
        // No limit needs no controller.
        out.push(Setting {
            required: wanted.limit() > 0,
            ..setting
        });
    }
    if let Some(io) = resources.block_io() {
        io_settings(io, found, &mut out);
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        let size = limits::page_size(limit)?;
        let value = max_or(limit.limit());
        out.push(set("hugetlb", format!("hugetlb.{size}.max"), &value));
        // Pages reserved and not yet touched are counted since Linux 5.7.
        out.push(if_there(set(
            "hugetlb",
            format!("hugetlb.{size}.rsvd.max"),
            value,
        )));
    }
    for (device, limit) in resources.rdma().iter().flatten() {
        out.push(set("rdma", "rdma.max", limits::rdma(device, limit)?));
    }
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort_unstable();
    out.extend(unified.into_iter().map(|(file, value)| Setting {
        unified: true,
        ..set(file.split('.').next().unwrap_or(file), file, value)
    }));
    Ok(out)
}

fn memory_settings(
    memory: &LinuxMemory,
    found: &Found,
    out: &mut Vec<Setting>,
) -> Result<(), Error> {
    let limit = memory.limit().filter(|limit| *limit != 0);
    if let Some(swap) = swap_alone(memory, found)? {
        let setting = set("memory", "memory.swap.max", max_or(swap));
        // Without swap accounting there is none to limit and none to have.
        out.push(Setting {
            required: swap > 0,
            ..setting
        });
    }
    out.extend(limit.map(|limit| Setting {
        required: limit > 0,
        ..set("memory", "memory.max", max_or(limit))
    }));
    let low = memory.reservation().filter(|reservation| *reservation != 0);
    out.extend(low.map(|low| set("memory", "memory.low", max_or(low))));
    Ok(())
}

/// OCI counts swap together with memory, v2 alone.
fn swap_alone(memory: &LinuxMemory, found: &Found) -> Result<Option<i64>, Error> {
    let limit = memory.limit().filter(|limit| *limit != 0);
    let Some(swap) = memory.swap() else {
        // As v1 does: memory without a limit means both without one.
        return Ok((limit == Some(-1)).then_some(-1));
    };
    match (limit, swap) {
        (_, -1) => Ok(Some(-1)),
        (None, 0) => Ok(Some(0)),
        (Some(-1), 0) => Ok(Some(-1)),
        (Some(_), 0) => Ok(None),
        (Some(-1), swap) => Ok(Some(swap)),
        (limit, swap) => {
            let limit = limit.or(found.memory.map(|limit| limit as i64));
            match limit {
                Some(limit) if swap >= limit => Ok(Some(swap - limit)),
                limit => Err(Error::Swap { swap, limit }),
            }
        }
    }
}

fn cpu_settings(cpu: &LinuxCpu, found: &Found, out: &mut Vec<Setting>) {
    out.extend(cpu.idle().map(|idle| Setting {
        required: idle != 0,
        ..set("cpu", "cpu.idle", idle)
    }));
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        out.push(set("cpu", "cpu.weight", weight_of_shares(shares)));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    // A burst may not exceed the quota at any moment: with a new quota the old one goes first.
    if quota.is_some() && cpu.burst().is_some() {
        out.push(set("cpu", "cpu.max.burst", 0));
    }
    let value = match (quota.map(max_or), period) {
        (Some(quota), Some(period)) => Some(format!("{quota} {period}")),
        // One number alone leaves the period as it is.
        (Some(quota), None) => Some(quota),
        (None, Some(period)) => {
            let quota = found.quota.as_deref().unwrap_or("max");
            Some(format!("{quota} {period}"))
        }
        (None, None) => None,
    };
    out.extend(value.map(|value| Setting {
        required: period.is_some() || quota.is_some_and(|quota| quota > 0),
        ..set("cpu", "cpu.max", value)
    }));
    out.extend(cpu.burst().map(|burst| set("cpu", "cpu.max.burst", burst)));
    for (file, value) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            out.push(set("cpuset", file, value));
        }
    }
}

/// Shares [2, 262144] to weights [1, 10000], with 1024 at the default of 100.
pub(in crate::cgroup) fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            (10_f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
        }
    }
}

/// [10, 1000] of OCI to [1, 10000] of `io.weight`.
pub(in crate::cgroup) fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

fn io_settings(io: &LinuxBlockIo, found: &Found, out: &mut Vec<Setting>) {
    // BFQ takes OCI's scale as it is; `io.weight` belongs to another scheduler with a scale of its own.
    let (file, convert): (_, fn(u16) -> u64) = match found.bfq {
        true => ("io.bfq.weight", u64::from),
        false => ("io.weight", io_weight),
    };
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        out.push(set("io", file, format!("default {}", convert(weight))));
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let line = format!("{}:{} {}", device.major(), device.minor(), convert(weight));
            out.push(set("io", file, line));
        }
    }
    for (key, devices) in limits::throttles(io) {
        for device in devices {
            // Zero takes a limit away.
            let rate = match device.rate() {
                0 => "max".to_owned(),
                rate => rate.to_string(),
            };
            let line = format!("{}:{} {key}={rate}", device.major(), device.minor());
            out.push(set("io", "io.max", line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: serde_json::Value, found: &Found) -> Vec<String> {
        let resources: LinuxResources = serde_json::from_value(json).unwrap();
        let settings = settings(&resources, found).unwrap();
        settings
            .into_iter()
            .map(|setting| format!("{}={}", setting.file, setting.value))
            .collect()
    }

    fn fresh(json: serde_json::Value) -> Vec<String> {
        written(json, &Found::default())
    }

    #[test]
    fn v1_words_become_v2_words() {
        let wanted = serde_json::json!({
            "memory": {"limit": 100, "swap": 150, "reservation": 50},
            "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-1", "burst": 7, "idle": 1},
            "pids": {"limit": 0},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
            "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
            "unified": {"memory.high": "9", "cgroup.max.depth": "1"},
        });
        let expected = [
            "memory.swap.max=50",
            "memory.max=100",
            "memory.low=50",
            "cpu.idle=1",
            "cpu.weight=100",
            "cpu.max.burst=0",
            "cpu.max=50000 100000",
            "cpu.max.burst=7",
            "cpuset.cpus=0-1",
            "pids.max=max",
            "hugetlb.2MB.max=4194304",
            "hugetlb.2MB.rsvd.max=4194304",
            "rdma.max=mlx5_1 hca_handle=3 hca_object=10000",
            "cgroup.max.depth=1",
            "memory.high=9",
        ];
        assert_eq!(fresh(wanted), expected);
    }

    #[test]
    fn cpu_time_keeps_the_half_that_is_not_named() {
        let cpu = |json| serde_json::json!({ "cpu": json });
        assert_eq!(
            fresh(cpu(serde_json::json!({"quota": -1}))),
            ["cpu.max=max"]
        );
        assert_eq!(fresh(cpu(serde_json::json!({"quota": 0}))), [""; 0]);
        assert_eq!(
            fresh(cpu(serde_json::json!({"quota": 600_000}))),
            ["cpu.max=600000"]
        );
        let found = Found {
            quota: Some("500000".to_owned()),
            ..Found::default()
        };
        let period = cpu(serde_json::json!({"period": 900_000}));
        assert_eq!(written(period, &found), ["cpu.max=500000 900000"]);
    }

    #[test]
    fn swap_is_what_is_above_memory() {
        let memory = |limit: Option<i64>, swap: Option<i64>, now: Option<u64>| {
            let mut memory = LinuxMemory::default();
            memory.set_limit(limit).set_swap(swap);
            let found = Found {
                memory: now,
                ..Found::default()
            };
            swap_alone(&memory, &found)
        };
        assert_eq!(memory(Some(10), Some(10), None).unwrap(), Some(0));
        assert_eq!(memory(Some(10), Some(-1), None).unwrap(), Some(-1));
        assert_eq!(memory(Some(-1), None, None).unwrap(), Some(-1));
        assert_eq!(memory(Some(10), None, None).unwrap(), None);
        assert_eq!(memory(None, Some(0), None).unwrap(), Some(0));
        assert_eq!(memory(None, Some(30), Some(10)).unwrap(), Some(20));
        assert!(matches!(
            memory(None, Some(30), None),
            Err(Error::Swap { .. })
        ));
        assert!(matches!(
            memory(Some(10), Some(5), None),
            Err(Error::Swap { .. })
        ));
    }

    #[test]
    fn block_io() {
        let wanted = serde_json::json!({"blockIO": {
            "weight": 500,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 16, "rate": 600}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}],
        }});
        let plain = [
            "io.weight=default 4950",
            "io.weight=8:0 10000",
            "io.max=8:16 rbps=600",
            "io.max=8:16 wiops=max",
        ];
        assert_eq!(fresh(wanted.clone()), plain);
        let found = Found {
            bfq: true,
            ..Found::default()
        };
        let bfq = written(wanted, &found);
        assert_eq!(
            bfq[..2],
            ["io.bfq.weight=default 500", "io.bfq.weight=8:0 1000"]
        );
    }

    #[test]
    fn shares_follow_the_curve() {
        let pairs = [
            (1, 1),
            (2, 1),
            (3, 2),
            (100, 17),
            (512, 59),
            (1024, 100),
            (22_000, 1204),
            (260_000, 9929),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ];
        for (shares, weight) in pairs {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }

    #[test]
    fn names_that_would_leave_the_group() {
        let sizes =
            serde_json::json!({"hugepageLimits": [{"pageSize": "../../x/2MB", "limit": 1}]});
        let resources: LinuxResources = serde_json::from_value(sizes).unwrap();
        assert!(matches!(
            settings(&resources, &Found::default()),
            Err(Error::PageSize { .. })
        ));
    }
}
