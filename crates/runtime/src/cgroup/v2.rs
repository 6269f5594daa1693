//! Limits in the unified hierarchy.
//!
//! Source: kernel `cgroup-v2.rst`; the conversions of v1 values are those of the runtime-spec's readers (runc, crun).

use super::{Cgroup, Error, Place, V2Group};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::cgroupfs::{self, Made};

pub(super) fn make(group: &mut Cgroup) -> Result<(), Error> {
    let Some(mount) = group.hierarchies.v2.clone() else {
        return Ok(());
    };
    let path = mount.join(group.place.path());
    let (directory, made) = make_group(&mount, &group.place)?;
    if made == Made::Existed && group.place.is_of_spec() {
        require_unused(&path, &directory)?;
    }
    group.v2 = Some(V2Group { path, directory });
    Ok(())
}

/// All controllers are handed down from the hierarchy's root to the parent.
fn make_group(mount: &Path, place: &Place) -> Result<(OwnedFd, Made), Error> {
    let mut root = Some(mount);
    super::parents::make_group(mount, place, |path, _| {
        root.take().map_or(Ok(()), enable)?;
        enable(path)
    })
}

/// A group that is there may be used if it is empty and its processes would run.
fn require_unused(path: &Path, directory: &OwnedFd) -> Result<(), Error> {
    super::place::require_empty(path, directory.as_fd())?;
    match cgroupfs::read_number(directory, "cgroup.freeze") {
        Ok(Some(1)) => Err(Error::Frozen {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Hands every controller the group has down to its children. One by one when the kernel refuses them together: a limit that
/// needs a refused one fails by name later.
fn enable(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let directory = cgroupfs::open(path).map_err(failed)?;
    let available = cgroupfs::read(&directory, "cgroup.controllers").map_err(failed)?;
    let enabled = cgroupfs::read(&directory, "cgroup.subtree_control").map_err(failed)?;
    let enabled: Vec<&str> = enabled.split_whitespace().collect();
    let missing: Vec<String> = available
        .split_whitespace()
        .filter(|c| !enabled.contains(c))
        .map(|c| format!("+{c}"))
        .collect();
    if missing.is_empty()
        || cgroupfs::write(&directory, "cgroup.subtree_control", &missing.join(" ")).is_ok()
    {
        return Ok(());
    }
    for controller in missing {
        // Refused: real-time processes outside the root group (cpu), a controller bound to v1, a threaded domain.
        let _ = cgroupfs::write(&directory, "cgroup.subtree_control", &controller);
    }
    Ok(())
}

pub(super) fn apply(group: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    let Some(v2) = &group.v2 else {
        return super::v1_limits::require_nothing(resources);
    };
    match write_all(v2, resources) {
        // Somebody (systemd) may have taken a controller away since the parent was made: hand it down again.
        Err(Error::Controller { .. }) => {
            if let Some(mount) = &group.hierarchies.v2 {
                enable(mount)?;
                super::parents::make(mount, &group.place, |path, _| enable(path))?;
            }
            write_all(v2, resources)
        }
        other => other,
    }
}

fn write_all(v2: &V2Group, resources: &LinuxResources) -> Result<(), Error> {
    for (controller, file, value) in settings(resources) {
        write(v2, controller, &file, &value)?;
    }
    for (file, value) in resources.unified().iter().flatten() {
        let controller = file.split('.').next().unwrap_or(file);
        write(v2, controller, file, value)?;
    }
    Ok(())
}

fn write(group: &V2Group, controller: &str, file: &str, value: &str) -> Result<(), Error> {
    cgroupfs::write(&group.directory, file, value).map_err(|source| match source.raw_os_error() {
        Some(2) => Error::Controller {
            controller: controller.to_owned(),
            limit: file.to_owned(),
        },
        _ => Error::Write {
            path: group.path.join(file),
            value: value.to_owned(),
            source,
        },
    })
}

type Setting = (&'static str, String, String);

/// The files and values for the limits, in the order to write them.
fn settings(resources: &LinuxResources) -> Vec<Setting> {
    let mut out = Vec::new();
    resources
        .memory()
        .iter()
        .for_each(|memory| memory_settings(memory, &mut out));
    resources
        .cpu()
        .iter()
        .for_each(|cpu| cpu_settings(cpu, &mut out));
    if let Some(pids) = resources.pids() {
        let limit = pids.limit();
        out.push((
            "pids",
            "pids.max".to_owned(),
            max_or(if limit > 0 { limit } else { -1 }),
        ));
    }
    resources
        .block_io()
        .iter()
        .for_each(|io| io_settings(io, &mut out));
    for limit in resources.hugepage_limits().iter().flatten() {
        out.push((
            "hugetlb",
            format!("hugetlb.{}.max", limit.page_size()),
            limit.limit().to_string(),
        ));
    }
    for (device, limits) in resources.rdma().iter().flatten() {
        let handles = limits
            .hca_handles()
            .map(|n| format!(" hca_handle={n}"))
            .unwrap_or_default();
        let objects = limits
            .hca_objects()
            .map(|n| format!(" hca_object={n}"))
            .unwrap_or_default();
        out.push((
            "rdma",
            "rdma.max".to_owned(),
            format!("{device}{handles}{objects}"),
        ));
    }
    out
}

fn max_or(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

fn memory_settings(memory: &LinuxMemory, out: &mut Vec<Setting>) {
    let limit = memory.limit().filter(|limit| *limit != 0);
    // v1 and OCI count swap together with memory, v2 alone.
    let swap = match (limit, memory.swap().filter(|swap| *swap != 0)) {
        (_, Some(-1)) => Some(-1),
        (Some(limit), Some(swap)) if limit > 0 => Some((swap - limit).max(0)),
        _ => None,
    };
    out.extend(swap.map(|swap| ("memory", "memory.swap.max".to_owned(), max_or(swap))));
    out.extend(limit.map(|limit| ("memory", "memory.max".to_owned(), max_or(limit))));
    let low = memory.reservation().filter(|reservation| *reservation != 0);
    out.extend(low.map(|low| ("memory", "memory.low".to_owned(), max_or(low))));
}

fn cpu_settings(cpu: &LinuxCpu, out: &mut Vec<Setting>) {
    if let Some(idle) = cpu.idle() {
        out.push(("cpu", "cpu.idle".to_owned(), idle.to_string()));
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        out.push((
            "cpu",
            "cpu.weight".to_owned(),
            weight_of(shares).to_string(),
        ));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        let value = format!(
            "{} {}",
            max_or(quota.unwrap_or(-1)),
            period.unwrap_or(100_000)
        );
        out.push(("cpu", "cpu.max".to_owned(), value));
    }
    out.extend(
        cpu.burst()
            .map(|burst| ("cpu", "cpu.max.burst".to_owned(), burst.to_string())),
    );
    for (file, value) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            out.push(("cpuset", file.to_owned(), value.clone()));
        }
    }
}

/// v1 shares [2, 262144] to v2 weights [1, 10000].
fn weight_of(shares: u64) -> u64 {
    1 + ((shares.clamp(2, 262_144) - 2) * 9999) / 262_142
}

fn io_settings(io: &LinuxBlockIo, out: &mut Vec<Setting>) {
    // [10, 1000] of OCI to [1, 10000] of io.weight.
    let convert = |weight: u16| 1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990;
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        out.push((
            "io",
            "io.weight".to_owned(),
            format!("default {}", convert(weight)),
        ));
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            out.push((
                "io",
                "io.weight".to_owned(),
                format!("{}:{} {}", device.major(), device.minor(), convert(weight)),
            ));
        }
    }
    let throttles: [(&str, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ];
    for (key, devices) in throttles {
        for device in devices.iter().flatten() {
            out.push((
                "io",
                "io.max".to_owned(),
                format!(
                    "{}:{} {key}={}",
                    device.major(),
                    device.minor(),
                    device.rate()
                ),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxCpuBuilder, LinuxMemoryBuilder, LinuxResourcesBuilder};

    #[test]
    fn v1_words_become_v2_words() {
        let memory = LinuxMemoryBuilder::default()
            .limit(100)
            .swap(150)
            .reservation(50)
            .build()
            .unwrap();
        let cpu = LinuxCpuBuilder::default()
            .shares(1024u64)
            .quota(50_000)
            .period(100_000u64)
            .cpus("0-1")
            .build()
            .unwrap();
        let resources = LinuxResourcesBuilder::default()
            .memory(memory)
            .cpu(cpu)
            .build()
            .unwrap();
        let written: Vec<String> = settings(&resources)
            .into_iter()
            .map(|(_, file, value)| format!("{file}={value}"))
            .collect();
        let expected = [
            "memory.swap.max=50",
            "memory.max=100",
            "memory.low=50",
            "cpu.weight=39",
            "cpu.max=50000 100000",
            "cpuset.cpus=0-1",
        ];
        assert_eq!(written, expected);
    }

    #[test]
    fn weights_reach_both_ends() {
        assert_eq!((weight_of(2), weight_of(262_144)), (1, 10_000));
    }
}
