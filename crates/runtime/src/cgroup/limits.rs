//! Limits: which controllers they need, and what both versions say in the same way.
//!
//! Source: runtime-spec `config-linux.md` "Control groups".

use super::Error;
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxRdma, LinuxResources,
    LinuxThrottleDevice,
};
use std::path::Path;
use sys::cgroupfs::Hierarchies;

/// A limit and the controllers that could enforce it.
struct Need {
    v1: Option<&'static str>,
    v2: Option<&'static str>,
    limit: &'static str,
}

const fn both(v1: &'static str, v2: &'static str, limit: &'static str) -> Need {
    Need {
        v1: Some(v1),
        v2: Some(v2),
        limit,
    }
}

const fn v1_only(v1: &'static str, limit: &'static str) -> Need {
    Need {
        v1: Some(v1),
        v2: None,
        limit,
    }
}

/// Refuses, before anything is made, what no controller of this host enforces.
pub(super) fn require(found: &Hierarchies, resources: &LinuxResources) -> Result<(), Error> {
    let needs = needs(resources);
    let unified = resources.unified().as_ref().filter(|map| !map.is_empty());
    if needs.is_empty() && unified.is_none() {
        return Ok(());
    }
    let v2 = found.v2.as_deref().map(controllers).unwrap_or_default();
    for need in needs {
        let on_v1 = need.v1.is_some_and(|name| found.v1_with(name).is_some());
        let on_v2 = need.v2.is_some_and(|name| v2.iter().any(|c| c == name));
        if !on_v1 && !on_v2 {
            return Err(Error::Controller {
                controller: need.v1.or(need.v2).unwrap_or("cgroup").to_owned(),
                limit: need.limit.to_owned(),
            });
        }
    }
    for key in unified.iter().flat_map(|map| map.keys()) {
        require_unified(found, &v2, key)?;
    }
    Ok(())
}

fn controllers(mount: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// A key is a file of the v2 group, and nothing that leads out of it.
fn require_unified(found: &Hierarchies, v2: &[String], key: &str) -> Result<(), Error> {
    let wrong = || Error::UnifiedKey {
        key: key.to_owned(),
    };
    let (controller, rest) = key.split_once('.').ok_or_else(wrong)?;
    if controller.is_empty() || rest.is_empty() || key.contains('/') {
        return Err(wrong());
    }
    // Every v2 group has the core's files.
    let known = controller == "cgroup" || v2.iter().any(|name| name == controller);
    if found.v2.is_some() && known {
        return Ok(());
    }
    Err(Error::Unified {
        key: key.to_owned(),
        controller: controller.to_owned(),
    })
}

fn needs(resources: &LinuxResources) -> Vec<Need> {
    let mut needs = Vec::new();
    if let Some(memory) = resources.memory() {
        memory_needs(memory, &mut needs);
    }
    if let Some(cpu) = resources.cpu() {
        cpu_needs(cpu, &mut needs);
    }
    if resources
        .pids()
        .as_ref()
        .is_some_and(|pids| pids.limit() > 0)
    {
        needs.push(both("pids", "pids", "a limit of processes"));
    }
    if let Some(io) = resources.block_io() {
        let leaf = io.leaf_weight().is_some_and(|weight| weight != 0)
            || io
                .weight_device()
                .iter()
                .flatten()
                .any(|d| d.leaf_weight().is_some());
        if leaf {
            needs.push(v1_only("blkio", "a block I/O leaf weight"));
        }
        let weights = io.weight().is_some_and(|weight| weight != 0);
        let devices = io.weight_device().iter().flatten().next().is_some();
        if weights || devices || throttles(io).iter().any(|(_, list)| !list.is_empty()) {
            needs.push(both("blkio", "io", "a block I/O limit"));
        }
    }
    if resources
        .hugepage_limits()
        .iter()
        .flatten()
        .next()
        .is_some()
    {
        needs.push(both("hugetlb", "hugetlb", "a limit of huge pages"));
    }
    if resources
        .rdma()
        .as_ref()
        .is_some_and(|rdma| !rdma.is_empty())
    {
        needs.push(both("rdma", "rdma", "a limit of RDMA"));
    }
    if let Some(network) = resources.network() {
        if network.class_id().is_some() {
            needs.push(v1_only("net_cls", "a network class"));
        }
        if network.priorities().iter().flatten().next().is_some() {
            needs.push(v1_only("net_prio", "a network priority"));
        }
    }
    needs
}

fn memory_needs(memory: &LinuxMemory, needs: &mut Vec<Need>) {
    let wished = |value: Option<i64>| value.is_some_and(|value| value != 0 && value != -1);
    if wished(memory.limit()) || wished(memory.swap()) || wished(memory.reservation()) {
        needs.push(both("memory", "memory", "a memory limit"));
    }
    let old = [
        (wished(memory.kernel()), "a limit of kernel memory"),
        (wished(memory.kernel_tcp()), "a limit of TCP memory"),
        (memory.swappiness().is_some(), "memory swappiness"),
        (
            memory.disable_oom_killer() == Some(true),
            "a disabled OOM killer",
        ),
        (
            memory.use_hierarchy() == Some(false),
            "memory not counted upwards",
        ),
    ];
    for (_, limit) in old.into_iter().filter(|(wished, _)| *wished) {
        needs.push(v1_only("memory", limit));
    }
}

fn cpu_needs(cpu: &LinuxCpu, needs: &mut Vec<Need>) {
    let number = |value: Option<u64>| value.is_some_and(|value| value != 0);
    let limited = number(cpu.shares())
        || number(cpu.period())
        || number(cpu.burst())
        || cpu.quota().is_some_and(|quota| quota > 0)
        || cpu.idle().is_some_and(|idle| idle != 0);
    if limited {
        needs.push(both("cpu", "cpu", "a CPU limit"));
    }
    let real_time = cpu.realtime_runtime().is_some_and(|runtime| runtime != 0);
    if real_time || number(cpu.realtime_period()) {
        needs.push(v1_only("cpu", "real-time CPU"));
    }
    let named = |set: &Option<String>| set.as_ref().is_some_and(|set| !set.is_empty());
    if named(cpu.cpus()) || named(cpu.mems()) {
        needs.push(both("cpuset", "cpuset", "a set of CPUs or memory nodes"));
    }
}

/// Zero and below are no limit.
pub(super) fn pids(limit: i64) -> String {
    max_or(if limit > 0 { limit } else { -1 })
}

pub(super) fn max_or(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

/// `2MB`: digits, then KB, MB or GB. It becomes a part of a file's name.
pub(super) fn page_size(limit: &LinuxHugepageLimit) -> Result<&str, Error> {
    let size = limit.page_size();
    let number = ["KB", "MB", "GB"]
        .iter()
        .find_map(|unit| size.strip_suffix(unit));
    let fine = number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    fine.then_some(size.as_str())
        .ok_or_else(|| Error::PageSize { size: size.clone() })
}

/// A line of `rdma.max`, the same in both versions.
pub(super) fn rdma(device: &str, limit: &LinuxRdma) -> Result<String, Error> {
    if device.is_empty() || device.contains(char::is_whitespace) {
        return Err(Error::RdmaDevice {
            device: device.to_owned(),
        });
    }
    let mut line = device.to_owned();
    for (key, value) in [
        ("hca_handle", limit.hca_handles()),
        ("hca_object", limit.hca_objects()),
    ] {
        line.extend(value.map(|n| format!(" {key}={n}")));
    }
    Ok(line)
}

/// The throttles under the keys of `io.max`.
pub(super) fn throttles(io: &LinuxBlockIo) -> [(&'static str, &[LinuxThrottleDevice]); 4] {
    [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ]
    .map(|(key, devices)| (key, devices.as_deref().unwrap_or_default()))
}

/// `checkBeforeUpdate`: a limit below what is used would end processes.
pub(super) fn require_room(memory: &LinuxMemory, usage: Option<u64>) -> Result<(), Error> {
    let usage = usage.unwrap_or(0);
    let below = |limit: &i64| *limit > 0 && (*limit as u64) < usage;
    let limits = [memory.limit(), memory.swap()];
    limits
        .into_iter()
        .flatten()
        .find(below)
        .map_or(Ok(()), |limit| {
            Err(Error::MemoryInUse {
                limit: limit as u64,
                usage,
            })
        })
}
