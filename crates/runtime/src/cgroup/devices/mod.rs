//! Which devices a container may use.
//!
//! The rules every container of the engine has stand once, in a group beside the containers: on v1 they live in it, on v2 their
//! program is taken from it. A container gets rules of its own only when its spec has others, or comes from an OCI configuration.
//! Source: kernel `cgroup-v1/devices.rst`, `cgroup-v2.rst` "Device controller".

mod rules;
mod shared;

pub(super) use rules::{Exception, List, Target, differs};
pub(super) use shared::{hold_v1, let_go, remove};

use super::{Cgroup, Error};
use oci_spec::runtime::LinuxResources;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::bpf::DeviceRule;
use sys::cgroupfs;

/// The name of the group that holds what all containers share.
pub(super) const SHARED: &str = "default-devices";

pub(super) fn apply(group: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    let of_spec = group.place.is_of_spec();
    let rules = || match of_spec {
        true => rules::of_spec(resources),
        false => rules::of_engine(resources),
    };
    if let Some(v1) = group.v1_with("devices") {
        return write_v1(&v1.directory, &v1.path, &rules()?);
    }
    // With a v1 hierarchy and no rules of its own, the parent's hold.
    if group.hierarchies.v1_with("devices").is_some() {
        return Ok(());
    }
    let Some(v2) = &group.v2 else { return Ok(()) };
    if of_spec || differs(resources) {
        let rules = rules()?;
        // As a list it is shorter and adds up the rights of equal rules; in order it can do what no list can.
        let rules = List::of(&rules).map_or(rules, |list| list.rules());
        let program = sys::bpf::device_program(&rules);
        let failed = |source| Error::DeviceProgram {
            path: v2.path.clone(),
            source,
        };
        return sys::bpf::replace_device_program(v2.directory.as_fd(), &program).map_err(failed);
    }
    let Some(mount) = &group.hierarchies.v2 else {
        return Ok(());
    };
    let shared = mount.join(group.place.parent()).join(SHARED);
    shared::attach_v2(v2.directory.as_fd(), &shared).map_err(|source| Error::DeviceProgram {
        path: v2.path.clone(),
        source,
    })
}

/// The rules of an OCI configuration as one list, for systemd; `None` where no list can hold them.
pub(super) fn list_of_spec(resources: &LinuxResources) -> Result<Option<List>, Error> {
    Ok(List::of(&rules::of_spec(resources)?).ok())
}

fn write_v1(directory: &OwnedFd, path: &Path, rules: &[DeviceRule]) -> Result<(), Error> {
    let write = |file: &str, value: &str| {
        let failed = |source| Error::Write {
            path: path.join(file),
            value: value.to_owned(),
            source,
        };
        cgroupfs::write(directory, file, value).map_err(failed)
    };
    let list = List::of(rules)?;
    // Something may be running already: then what it may use must not be refused for a moment.
    let now = cgroupfs::read(directory, "devices.list").ok();
    if let Some(now) = now.as_deref().and_then(List::parse)
        && !now.allows
        && !list.allows
    {
        let (allow, deny) = now.changes(&list);
        allow
            .iter()
            .try_for_each(|line| write("devices.allow", line))?;
        return deny.iter().try_for_each(|line| write("devices.deny", line));
    }
    let (reset, exception) = match list.allows {
        false => ("devices.deny", "devices.allow"),
        true => ("devices.allow", "devices.deny"),
    };
    write(reset, "a")?;
    list.exceptions
        .iter()
        .try_for_each(|rule| write(exception, &rule.line()))
}
