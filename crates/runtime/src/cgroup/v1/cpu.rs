//! The cpu and cpuset controllers of v1.
//!
//! Source: kernel `scheduler/sched-bwc.rst`, `cgroup-v1/cpusets.rst`.

use super::limits::write;
use crate::cgroup::{Cgroup, Error, V1Group};
use oci_spec::runtime::LinuxCpu;

const EINVAL: i32 = 22;

/// Sets what the hierarchies have; returns what is left for v2.
pub(super) fn set(group: &Cgroup, cpu: &LinuxCpu) -> Result<Option<LinuxCpu>, Error> {
    let mut rest = cpu.clone();
    if let Some(v1) = group.v1_with("cpu") {
        set_bandwidth(v1, cpu)?;
        super::real_time::set(v1, cpu)?;
        let numbers = [
            ("cpu.shares", nonzero(cpu.shares())),
            ("cpu.idle", cpu.idle()),
        ];
        for (file, value) in numbers {
            set_number(v1, file, value)?;
        }
        rest = LinuxCpu::default();
        rest.set_cpus(cpu.cpus().clone())
            .set_mems(cpu.mems().clone());
    }
    if let Some(v1) = group.v1_with("cpuset") {
        for (file, value) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                write(v1, file, value, "a set of CPUs or memory nodes")?;
            }
        }
        rest.set_cpus(None).set_mems(None);
    }
    Ok((rest != LinuxCpu::default()).then_some(rest))
}

fn nonzero(value: Option<u64>) -> Option<i64> {
    value.filter(|value| *value != 0).map(|value| value as i64)
}

fn set_number(group: &V1Group, file: &str, value: Option<i64>) -> Result<(), Error> {
    value.map_or(Ok(()), |value| write(group, file, &value.to_string(), file))
}

fn set_bandwidth(group: &V1Group, cpu: &LinuxCpu) -> Result<(), Error> {
    const PERIOD: &str = "cpu.cfs_period_us";
    const QUOTA: &str = "cpu.cfs_quota_us";
    const BURST: &str = "cpu.cfs_burst_us";
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = nonzero(cpu.period());
    let burst = cpu.burst().map(|burst| burst as i64);
    // A burst may not exceed the quota at any moment: with a new quota the old one goes first.
    if quota.is_some() && burst.is_some() {
        set_number(group, BURST, Some(0))?;
    }
    match set_number(group, PERIOD, period) {
        // The old quota in the new period may exceed what the parent has: then the new one goes first.
        Err(Error::Write { source, .. })
            if source.raw_os_error() == Some(EINVAL) && quota.is_some() =>
        {
            set_number(group, QUOTA, quota)?;
            set_number(group, PERIOD, period)?;
        }
        other => {
            other?;
            set_number(group, QUOTA, quota)?;
        }
    }
    set_number(group, BURST, burst)
}
