//! cgroup limits in OCI's words.

use crate::error::{Error, Result};
use model::container::ContainerSpec;
use model::limits::{DeviceValue, Resources};
use oci_spec::runtime::{
    LinuxBlockIo, LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxDeviceCgroup, LinuxMemoryBuilder,
    LinuxPidsBuilder, LinuxResources, LinuxThrottleDevice, LinuxThrottleDeviceBuilder,
    LinuxWeightDeviceBuilder,
};
use std::os::unix::fs::MetadataExt;

/// The smallest memory limit a container can live with; Docker's.
const MEMORY_MIN: u64 = 6 << 20;
/// The period that `--cpus` is expressed in: 100 ms.
const PERIOD: u64 = 100_000;

/// Limits and device rules. Contradictions are errors, in Docker's texts.
pub fn linux_resources(
    spec: &ContainerSpec,
    rules: &[LinuxDeviceCgroup],
) -> Result<LinuxResources> {
    let wanted = &spec.resources;
    check_memory(wanted)?;
    let mut resources = LinuxResources::default();
    resources.set_devices((!rules.is_empty()).then(|| rules.to_vec()));
    memory(wanted, &mut resources)?;
    cpu(wanted, &mut resources)?;
    if let Some(limit) = wanted.pids_limit.filter(|l| *l > 0) {
        resources.set_pids(Some(
            LinuxPidsBuilder::default()
                .limit(limit)
                .build()
                .map_err(super::spec_error)?,
        ));
    }
    resources.set_block_io(block_io(wanted)?);
    Ok(resources)
}

fn check_memory(wanted: &Resources) -> Result<()> {
    let invalid = |what: &str, cause: &str| Err(Error::invalid(what, cause));
    if wanted.memory.is_some_and(|m| m > 0 && m < MEMORY_MIN) {
        return invalid(
            "Minimum memory limit allowed is 6MB",
            "give the container more with --memory",
        );
    }
    if let (Some(limit), Some(reservation)) = (wanted.memory, wanted.memory_reservation)
        && reservation > limit
    {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit",
            "lower --memory-reservation or raise --memory",
        );
    }
    match (wanted.memory, wanted.memory_swap) {
        (None, Some(swap)) if swap > 0 => invalid(
            "You should always set the Memory limit when using Memoryswap limit",
            "add --memory",
        ),
        (Some(limit), Some(swap)) if swap > 0 && (swap as u64) < limit => invalid(
            "Minimum memoryswap limit should be larger than memory limit",
            "--memory-swap is the sum of memory and swap",
        ),
        _ => Ok(()),
    }
}

fn memory(wanted: &Resources, resources: &mut LinuxResources) -> Result<()> {
    if wanted.memory.is_none()
        && wanted.memory_reservation.is_none()
        && wanted.memory_swappiness.is_none()
        && !wanted.oom_kill_disable
    {
        return Ok(());
    }
    let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    // v2 knows neither of the two; `container::warnings` says so.
    let older = || {
        let found = runtime::cgroup::hierarchies();
        !found.is_ok_and(|h| h.v1_with("memory").is_none())
    };
    let mut builder = LinuxMemoryBuilder::default();
    if let Some(limit) = wanted.memory.filter(|m| *m > 0) {
        builder = builder.limit(bytes(limit));
        // As Docker: as much swap again as memory, unless told otherwise; only where swap is accounted.
        let swap = wanted.memory_swap.filter(|s| *s != 0);
        if let Some(swap) =
            swap.or_else(|| runtime::cgroup::limits_swap().then(|| bytes(limit).saturating_mul(2)))
        {
            builder = builder.swap(swap);
        }
    }
    if let Some(reservation) = wanted.memory_reservation {
        builder = builder.reservation(bytes(reservation));
    }
    if let Some(swappiness) = wanted.memory_swappiness.filter(|_| older()) {
        builder = builder.swappiness(swappiness);
    }
    if wanted.oom_kill_disable && older() {
        builder = builder.disable_oom_killer(true);
    }
    resources.set_memory(Some(builder.build().map_err(super::spec_error)?));
    Ok(())
}

fn cpu(wanted: &Resources, resources: &mut LinuxResources) -> Result<()> {
    if wanted.nano_cpus.is_some() && (wanted.cpu_quota.is_some() || wanted.cpu_period.is_some()) {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
            "use --cpus alone",
        ));
    }
    let mut builder = LinuxCpuBuilder::default();
    let mut any = false;
    let mut set = |apply: &mut dyn FnMut(LinuxCpuBuilder) -> LinuxCpuBuilder| {
        builder = apply(std::mem::take(&mut builder));
        any = true;
    };
    if let Some(nano) = wanted.nano_cpus.filter(|n| *n > 0) {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        if nano > cpus * 1_000_000_000 {
            return Err(Error::invalid(
                format!("range of CPUs is from 0.01 to {cpus}.00"),
                format!("as there are only {cpus} CPUs available"),
            ));
        }
        let quota = i64::try_from(nano * PERIOD / 1_000_000_000).unwrap_or(i64::MAX);
        set(&mut |b| b.period(PERIOD).quota(quota));
    }
    if let Some(shares) = wanted.cpu_shares.filter(|s| *s > 0) {
        set(&mut |b| b.shares(shares));
    }
    if let Some(period) = wanted.cpu_period {
        set(&mut |b| b.period(period));
    }
    if let Some(quota) = wanted.cpu_quota {
        set(&mut |b| b.quota(quota));
    }
    if let Some(period) = wanted.cpu_rt_period {
        set(&mut |b| b.realtime_period(period));
    }
    if let Some(runtime) = wanted.cpu_rt_runtime {
        set(&mut |b| b.realtime_runtime(runtime));
    }
    if let Some(cpus) = &wanted.cpuset_cpus {
        set(&mut |b| b.cpus(cpus.clone()));
    }
    if let Some(mems) = &wanted.cpuset_mems {
        set(&mut |b| b.mems(mems.clone()));
    }
    if any {
        resources.set_cpu(Some(builder.build().map_err(super::spec_error)?));
    }
    Ok(())
}

fn block_io(wanted: &Resources) -> Result<Option<LinuxBlockIo>> {
    let lists = [
        &wanted.device_read_bps,
        &wanted.device_write_bps,
        &wanted.device_read_iops,
        &wanted.device_write_iops,
    ];
    if wanted.blkio_weight.is_none()
        && wanted.blkio_weight_device.is_empty()
        && lists.iter().all(|l| l.is_empty())
    {
        return Ok(None);
    }
    if wanted
        .blkio_weight
        .is_some_and(|w| !(10..=1000).contains(&w))
    {
        return Err(Error::invalid(
            "Range of blkio weight is from 10 to 1000",
            "choose a weight in it",
        ));
    }
    let mut io = LinuxBlockIoBuilder::default()
        .build()
        .map_err(super::spec_error)?;
    io.set_weight(wanted.blkio_weight);
    let mut weights = Vec::new();
    for device in &wanted.blkio_weight_device {
        let (major, minor) = numbers(device)?;
        let weight = u16::try_from(device.value).unwrap_or(u16::MAX);
        let built = LinuxWeightDeviceBuilder::default()
            .major(major)
            .minor(minor)
            .weight(weight)
            .build();
        weights.push(built.map_err(super::spec_error)?);
    }
    io.set_weight_device((!weights.is_empty()).then_some(weights));
    io.set_throttle_read_bps_device(throttle(&wanted.device_read_bps)?);
    io.set_throttle_write_bps_device(throttle(&wanted.device_write_bps)?);
    io.set_throttle_read_iops_device(throttle(&wanted.device_read_iops)?);
    io.set_throttle_write_iops_device(throttle(&wanted.device_write_iops)?);
    Ok(Some(io))
}

fn throttle(list: &[DeviceValue]) -> Result<Option<Vec<LinuxThrottleDevice>>> {
    let mut built = Vec::new();
    for device in list {
        let (major, minor) = numbers(device)?;
        let one = LinuxThrottleDeviceBuilder::default()
            .major(major)
            .minor(minor)
            .rate(device.value)
            .build();
        built.push(one.map_err(super::spec_error)?);
    }
    Ok((!built.is_empty()).then_some(built))
}

fn numbers(device: &DeviceValue) -> Result<(i64, i64)> {
    let meta = std::fs::metadata(&device.path)
        .map_err(Error::file("look at the block device", &device.path))?;
    Ok((
        i64::from(rustix::fs::major(meta.rdev())),
        i64::from(rustix::fs::minor(meta.rdev())),
    ))
}
