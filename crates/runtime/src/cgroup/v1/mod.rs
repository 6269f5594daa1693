//! Groups in v1 hierarchies: which are needed, and making them.
//!
//! Source: kernel `cgroup-v1/cgroups.rst`, `cgroup-v1/cpusets.rst`.

mod block_io;
mod cpu;
mod limits;
mod memory;
mod real_time;

pub(super) use limits::apply as apply_limits;

use super::{Cgroup, Error, Place, V1Group};
use oci_spec::runtime::LinuxResources;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use sys::cgroupfs::{self, Made};

/// Made for every container: they count, and making them later would miss what was.
const ALWAYS: [&str; 4] = ["cpu", "cpuacct", "memory", "pids"];

pub(super) fn make(group: &mut Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    let wanted = needed(group, resources);
    make_in(group, &wanted)?;
    join_shared_devices(group)
}

/// For an update that brings a controller the container did not need so far: its processes are moved in.
pub(super) fn make_missing(group: &mut Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    let before = group.v1.len();
    let wanted = needed(group, resources);
    make_in(group, &wanted)?;
    if group.v1.len() == before {
        return Ok(());
    }
    for pid in group.pids()? {
        for new in &group.v1[before..] {
            let failed = |source| Error::Write {
                path: new.path.join("cgroup.procs"),
                value: pid.to_string(),
                source,
            };
            match cgroupfs::write(&new.directory, "cgroup.procs", &pid.to_string()) {
                // It has ended meanwhile.
                Err(e) if e.raw_os_error() == Some(3) => {}
                other => other.map_err(failed)?,
            }
        }
    }
    Ok(())
}

fn needed(group: &Cgroup, resources: &LinuxResources) -> Vec<&'static str> {
    let mut wanted = ALWAYS.to_vec();
    if resources
        .cpu()
        .as_ref()
        .is_some_and(|cpu| cpu.cpus().is_some() || cpu.mems().is_some())
    {
        wanted.push("cpuset");
    }
    if resources.block_io().is_some() {
        wanted.push("blkio");
    }
    if resources
        .hugepage_limits()
        .as_ref()
        .is_some_and(|limits| !limits.is_empty())
    {
        wanted.push("hugetlb");
    }
    if let Some(network) = resources.network() {
        wanted.extend(network.class_id().map(|_| "net_cls"));
        wanted.extend(network.priorities().as_ref().map(|_| "net_prio"));
    }
    if resources.rdma().is_some() {
        wanted.push("rdma");
    }
    // With v2 beside, its own freezer works without a controller.
    if group.v2.is_none() {
        wanted.push("freezer");
    }
    if super::devices::differs(resources) {
        wanted.push("devices");
    }
    wanted
}

fn make_in(group: &mut Cgroup, wanted: &[&str]) -> Result<(), Error> {
    let hierarchies = Arc::clone(&group.hierarchies);
    for hierarchy in &hierarchies.v1 {
        let has = |controller: &&str| hierarchy.controllers.iter().any(|c| c == controller);
        let known = group
            .v1
            .iter()
            .any(|v1| v1.controllers == hierarchy.controllers);
        // A configuration may show its groups to the container to write in: then none of them may be the host's.
        let all = group.place.is_of_spec();
        if known || !(all || wanted.iter().any(has)) {
            continue;
        }
        let made = make_group(hierarchy, &group.place)?;
        group.v1.push(made);
    }
    Ok(())
}

fn make_group(hierarchy: &cgroupfs::V1, place: &Place) -> Result<V1Group, Error> {
    let cpuset = hierarchy.controllers.iter().any(|c| c == "cpuset");
    let path = hierarchy.mount.join(place.path());
    let inherit = |path: &Path, made| match made {
        Made::New if cpuset => inherit_cpuset(path),
        Made::New | Made::Existed => Ok(()),
    };
    let (directory, made) = super::parents::make_group(&hierarchy.mount, place, inherit)?;
    let group = V1Group {
        controllers: hierarchy.controllers.clone(),
        path,
        directory,
    };
    if made == Made::Existed && place.must_be_unused() {
        require_unused(&group)?;
    }
    if cpuset {
        inherit_cpuset(&group.path)?;
    }
    Ok(group)
}

/// A group that is there may be used if it is empty and its processes would run.
fn require_unused(group: &V1Group) -> Result<(), Error> {
    super::place::require_empty(&group.path, group.directory.as_fd())?;
    let state = group
        .has("freezer")
        .then(|| cgroupfs::read(&group.directory, "freezer.state"));
    match state {
        Some(Ok(state)) if state.trim() != "THAWED" => Err(Error::Frozen {
            path: group.path.clone(),
        }),
        _ => Ok(()),
    }
}

/// A v1 cpuset is born without CPUs and memory nodes, and takes no process until it has some.
fn inherit_cpuset(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Make {
        path: path.to_owned(),
        source,
    };
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    let (above, here) = (
        cgroupfs::open(parent).map_err(failed)?,
        cgroupfs::open(path).map_err(failed)?,
    );
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if cgroupfs::read(&here, file)
            .map_err(failed)?
            .trim()
            .is_empty()
        {
            let value = cgroupfs::read(&above, file).map_err(failed)?;
            cgroupfs::write(&here, file, value.trim()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Where no group of its own is needed for devices, the one with the default rules is shared.
fn join_shared_devices(group: &mut Cgroup) -> Result<(), Error> {
    if group.v1_with("devices").is_some() {
        return Ok(());
    }
    let Some(hierarchy) = group.hierarchies.v1_with("devices").cloned() else {
        return Ok(());
    };
    let parent = hierarchy.mount.join(group.place.parent());
    let make_parent = || super::parents::make(&hierarchy.mount, &group.place, |_, _| Ok(()));
    let shared = super::devices::hold_v1(&parent, make_parent)?;
    group.v1_shared.push(shared);
    Ok(())
}
