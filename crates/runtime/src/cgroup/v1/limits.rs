//! The files of v1 controllers that hold the limits.
//!
//! Source: kernel `cgroup-v1/{pids,hugetlb,net_cls,net_prio,rdma}.rst`; memory, CPU and block I/O have files of their own here.

use super::{block_io, cpu, memory};
use crate::cgroup::{Cgroup, Error, V1Group};
use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxResources};
use sys::cgroupfs;

/// Sets what v1 has controllers for and returns the rest.
pub(in crate::cgroup) fn apply(
    group: &Cgroup,
    resources: &LinuxResources,
) -> Result<LinuxResources, Error> {
    let mut rest = resources.clone();
    if let (Some(wanted), Some(v1)) = (resources.memory(), group.v1_with("memory")) {
        memory::set(v1, wanted)?;
        rest.set_memory(None);
    }
    if let Some(wanted) = resources.cpu() {
        rest.set_cpu(cpu::set(group, wanted)?);
    }
    if let (Some(pids), Some(v1)) = (resources.pids(), group.v1_with("pids")) {
        let value = crate::cgroup::limits::pids(pids.limit());
        write(v1, "pids.max", &value, "a limit of processes")?;
        rest.set_pids(None);
    }
    if let (Some(io), Some(v1)) = (resources.block_io(), group.v1_with("blkio")) {
        block_io::set(v1, io)?;
        rest.set_block_io(None);
    }
    if let (Some(limits), Some(v1)) = (resources.hugepage_limits(), group.v1_with("hugetlb")) {
        limits.iter().try_for_each(|limit| set_huge(v1, limit))?;
        rest.set_hugepage_limits(None);
    }
    if let (Some(limits), Some(v1)) = (resources.rdma(), group.v1_with("rdma")) {
        for (device, limit) in limits {
            let line = crate::cgroup::limits::rdma(device, limit)?;
            write(v1, "rdma.max", &line, "a limit of RDMA")?;
        }
        rest.set_rdma(None);
    }
    if let Some(network) = resources.network() {
        set_network(group, network)?;
        rest.set_network(None);
    }
    Ok(rest)
}

fn set_huge(group: &V1Group, limit: &LinuxHugepageLimit) -> Result<(), Error> {
    let size = crate::cgroup::limits::page_size(limit)?;
    let value = limit.limit().to_string();
    let file = format!("hugetlb.{size}.limit_in_bytes");
    write(group, &file, &value, "a limit of huge pages")?;
    // Pages reserved and not yet touched are counted since Linux 5.7.
    let file = format!("hugetlb.{size}.rsvd.limit_in_bytes");
    match write(group, &file, &value, "a limit of huge pages") {
        Err(Error::NoFile { .. }) => Ok(()),
        other => other,
    }
}

fn set_network(group: &Cgroup, network: &LinuxNetwork) -> Result<(), Error> {
    if let (Some(class), Some(v1)) = (network.class_id(), group.v1_with("net_cls")) {
        write(v1, "net_cls.classid", &class.to_string(), "a network class")?;
    }
    for priority in network.priorities().iter().flatten() {
        if let Some(v1) = group.v1_with("net_prio") {
            let line = format!("{} {}", priority.name(), priority.priority());
            write(v1, "net_prio.ifpriomap", &line, "a network priority")?;
        }
    }
    Ok(())
}

pub(super) fn write(group: &V1Group, file: &str, value: &str, limit: &str) -> Result<(), Error> {
    cgroupfs::write(&group.directory, file, value).map_err(|source| match source.raw_os_error() {
        // The controller is there and was built without this file: swap accounting, real-time groups, BFQ.
        Some(2) => Error::NoFile {
            file: file.to_owned(),
            limit: limit.to_owned(),
        },
        _ => Error::Write {
            path: group.path.join(file),
            value: value.to_owned(),
            source,
        },
    })
}
