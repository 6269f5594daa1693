//! Groups in v1 hierarchies: which are needed, and making them.
//!
//! Source: kernel `cgroup-v1/cgroups.rst`, `cgroup-v1/cpusets.rst`.

use super::{Cgroup, Error, V1Group};
use oci_spec::runtime::LinuxResources;
use std::path::Path;
use sys::cgroupfs;

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
    for hierarchy in group.hierarchies.v1.clone() {
        let has = |controller: &&str| hierarchy.controllers.iter().any(|c| c == controller);
        let known = group
            .v1
            .iter()
            .any(|v1| v1.controllers == hierarchy.controllers);
        if known || !wanted.iter().any(has) {
            continue;
        }
        let path = hierarchy.mount.join(&group.parent).join(&group.name);
        let failed = |source| Error::Make {
            path: path.clone(),
            source,
        };
        let directory = match cgroupfs::make(&path) {
            Ok((directory, _)) => directory,
            // The first container of this parent.
            Err(e) if e.raw_os_error() == Some(2) => {
                make_parents(&hierarchy.mount, &group.parent, has(&"cpuset"))?;
                cgroupfs::make(&path).map_err(failed)?.0
            }
            Err(e) => return Err(failed(e)),
        };
        if has(&"cpuset") {
            inherit_cpuset(&path)?;
        }
        group.v1.push(V1Group {
            controllers: hierarchy.controllers,
            path,
            directory,
        });
    }
    Ok(())
}

fn make_parents(mount: &Path, parent: &Path, cpuset: bool) -> Result<(), Error> {
    let mut path = mount.to_owned();
    for component in parent.components() {
        path.push(component);
        let (_, made) = cgroupfs::make(&path).map_err(|source| Error::Make {
            path: path.clone(),
            source,
        })?;
        if cpuset && made == cgroupfs::Made::New {
            inherit_cpuset(&path)?;
        }
    }
    Ok(())
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
    let parent = hierarchy.mount.join(&group.parent);
    let shared = match super::devices::shared_v1(&parent) {
        Err(Error::Make { source, .. }) if source.raw_os_error() == Some(2) => {
            make_parents(&hierarchy.mount, &group.parent, false)?;
            super::devices::shared_v1(&parent)?
        }
        other => other?,
    };
    group.v1_shared.push(shared);
    Ok(())
}
