//! The files of v1 controllers that hold the limits.
//!
//! Source: kernel `cgroup-v1/{memory,cpusets,pids,blkio-controller,hugetlb,net_cls,net_prio}.rst`, `scheduler/sched-bwc.rst`.

use super::{Cgroup, Error, V1Group};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};
use sys::cgroupfs;

/// Sets what v1 has controllers for and returns the rest.
pub(super) fn apply(group: &Cgroup, resources: &LinuxResources) -> Result<LinuxResources, Error> {
    let mut rest = resources.clone();
    if let (Some(memory), Some(v1)) = (resources.memory(), group.v1_with("memory")) {
        set_memory(v1, memory)?;
        rest.set_memory(None);
    }
    if let Some(cpu) = resources.cpu() {
        rest.set_cpu(set_cpu(group, cpu)?);
    }
    if let (Some(pids), Some(v1)) = (resources.pids(), group.v1_with("pids")) {
        let limit = pids.limit();
        write(
            v1,
            "pids.max",
            &if limit > 0 {
                limit.to_string()
            } else {
                "max".to_owned()
            },
            "a limit of processes",
        )?;
        rest.set_pids(None);
    }
    if let (Some(io), Some(v1)) = (resources.block_io(), group.v1_with("blkio")) {
        set_block_io(v1, io)?;
        rest.set_block_io(None);
    }
    if let (Some(limits), Some(v1)) = (resources.hugepage_limits(), group.v1_with("hugetlb")) {
        for limit in limits {
            let file = format!("hugetlb.{}.limit_in_bytes", limit.page_size());
            write(
                v1,
                &file,
                &limit.limit().to_string(),
                "a limit of huge pages",
            )?;
        }
        rest.set_hugepage_limits(None);
    }
    if let Some(network) = resources.network() {
        set_network(group, network)?;
        rest.set_network(None);
    }
    Ok(rest)
}

fn set_network(group: &Cgroup, network: &oci_spec::runtime::LinuxNetwork) -> Result<(), Error> {
    let missing = |controller: &str| Error::Controller {
        controller: controller.to_owned(),
        limit: "network classes".to_owned(),
    };
    if let Some(class) = network.class_id() {
        let v1 = group.v1_with("net_cls").ok_or_else(|| missing("net_cls"))?;
        write(v1, "net_cls.classid", &class.to_string(), "a network class")?;
    }
    for priority in network.priorities().iter().flatten() {
        let v1 = group
            .v1_with("net_prio")
            .ok_or_else(|| missing("net_prio"))?;
        write(
            v1,
            "net_prio.ifpriomap",
            &format!("{} {}", priority.name(), priority.priority()),
            "a network priority",
        )?;
    }
    Ok(())
}

fn set_memory(group: &V1Group, memory: &LinuxMemory) -> Result<(), Error> {
    const LIMIT: &str = "memory.limit_in_bytes";
    const SWAP: &str = "memory.memsw.limit_in_bytes";
    let limit = memory.limit().filter(|limit| *limit != 0);
    let swap = memory.swap().filter(|swap| *swap != 0);
    match (limit, swap) {
        (Some(limit), Some(swap)) => {
            // The kernel demands memory <= memory+swap at every moment: which of the two goes first depends on the direction.
            let value = |n: i64| n.to_string();
            if write(group, LIMIT, &value(limit), "a memory limit").is_err() {
                write(group, SWAP, &value(swap), "a limit of memory and swap")?;
                write(group, LIMIT, &value(limit), "a memory limit")?;
            }
            write(group, SWAP, &value(swap), "a limit of memory and swap")?;
        }
        (Some(limit), None) => write(group, LIMIT, &limit.to_string(), "a memory limit")?,
        (None, Some(swap)) => write(group, SWAP, &swap.to_string(), "a limit of memory and swap")?,
        (None, None) => {}
    }
    let numbers = [
        ("memory.soft_limit_in_bytes", memory.reservation()),
        ("memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp()),
        (
            "memory.swappiness",
            memory.swappiness().map(|value| value as i64),
        ),
        (
            "memory.oom_control",
            memory
                .disable_oom_killer()
                .filter(|disable| *disable)
                .map(|_| 1),
        ),
    ];
    for (file, value) in numbers {
        if let Some(value) = value {
            write(group, file, &value.to_string(), file)?;
        }
    }
    Ok(())
}

/// Sets what the hierarchies have; returns what is left for v2.
fn set_cpu(group: &Cgroup, cpu: &LinuxCpu) -> Result<Option<LinuxCpu>, Error> {
    let mut rest = cpu.clone();
    if let Some(v1) = group.v1_with("cpu") {
        let numbers = [
            // The period first: a quota is judged by the period in force.
            (
                "cpu.cfs_period_us",
                cpu.period()
                    .filter(|period| *period != 0)
                    .map(|period| period as i64),
            ),
            ("cpu.cfs_quota_us", cpu.quota().filter(|quota| *quota != 0)),
            ("cpu.cfs_burst_us", cpu.burst().map(|burst| burst as i64)),
            (
                "cpu.shares",
                cpu.shares()
                    .filter(|shares| *shares != 0)
                    .map(|shares| shares as i64),
            ),
            ("cpu.idle", cpu.idle()),
            (
                "cpu.rt_period_us",
                cpu.realtime_period()
                    .filter(|period| *period != 0)
                    .map(|period| period as i64),
            ),
            (
                "cpu.rt_runtime_us",
                cpu.realtime_runtime().filter(|runtime| *runtime != 0),
            ),
        ];
        for (file, value) in numbers {
            if let Some(value) = value {
                write(v1, file, &value.to_string(), file)?;
            }
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
    Ok((rest != LinuxCpu::default() && !is_empty(&rest)).then_some(rest))
}

fn is_empty(cpu: &LinuxCpu) -> bool {
    let numbers = cpu.shares().is_none()
        && cpu.quota().is_none()
        && cpu.period().is_none()
        && cpu.idle().is_none();
    numbers && cpu.burst().is_none() && cpu.cpus().is_none() && cpu.mems().is_none()
}

fn set_block_io(group: &V1Group, io: &LinuxBlockIo) -> Result<(), Error> {
    // BFQ carries the weight since the CFQ scheduler is gone (Linux 5.0).
    let weight = if cgroupfs::exists(rustix_fd(group), "blkio.weight") {
        "blkio.weight"
    } else {
        "blkio.bfq.weight"
    };
    if let Some(value) = io.weight().filter(|weight| *weight != 0) {
        write(group, weight, &value.to_string(), "a block I/O weight")?;
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(value) = device.weight() {
            let line = format!("{}:{} {value}", device.major(), device.minor());
            write(
                group,
                &format!("{weight}_device"),
                &line,
                "a block I/O weight of a device",
            )?;
        }
    }
    let throttles: [(&str, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        (
            "blkio.throttle.read_bps_device",
            io.throttle_read_bps_device(),
        ),
        (
            "blkio.throttle.write_bps_device",
            io.throttle_write_bps_device(),
        ),
        (
            "blkio.throttle.read_iops_device",
            io.throttle_read_iops_device(),
        ),
        (
            "blkio.throttle.write_iops_device",
            io.throttle_write_iops_device(),
        ),
    ];
    for (file, devices) in throttles {
        for device in devices.iter().flatten() {
            write(
                group,
                file,
                &format!("{}:{} {}", device.major(), device.minor(), device.rate()),
                "a block I/O rate",
            )?;
        }
    }
    Ok(())
}

fn rustix_fd(group: &V1Group) -> std::os::fd::BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(&group.directory)
}

fn write(group: &V1Group, file: &str, value: &str, limit: &str) -> Result<(), Error> {
    cgroupfs::write(&group.directory, file, value).map_err(|source| match source.raw_os_error() {
        // The controller is there and was built without this file: swap accounting, real-time groups, BFQ.
        Some(2) => Error::Controller {
            controller: file.to_owned(),
            limit: limit.to_owned(),
        },
        _ => Error::Write {
            path: group.path.join(file),
            value: value.to_owned(),
            source,
        },
    })
}

/// A host without any hierarchy enforces nothing: each limit that was asked for is named.
pub(super) fn require_nothing(resources: &LinuxResources) -> Result<(), Error> {
    let missing = |controller: &str, limit: &str| {
        Err(Error::Controller {
            controller: controller.to_owned(),
            limit: limit.to_owned(),
        })
    };
    if resources
        .memory()
        .as_ref()
        .is_some_and(|memory| memory.limit().is_some_and(|limit| limit > 0))
    {
        return missing("memory", "a memory limit");
    }
    if resources.cpu().as_ref().is_some_and(|cpu| !is_empty(cpu)) {
        return missing("cpu", "a CPU limit");
    }
    if resources
        .pids()
        .as_ref()
        .is_some_and(|pids| pids.limit() > 0)
    {
        return missing("pids", "a limit of processes");
    }
    if resources.block_io().is_some() {
        return missing("io", "a block I/O limit");
    }
    Ok(())
}
