//! Which devices a container may use.
//!
//! The rules every container of the engine has stand once, in a group beside the containers: on v1 they live in it, on v2 their
//! program is taken from it. A container gets rules of its own only when its spec has others, or comes from an OCI configuration.
//! Source: kernel `cgroup-v1/devices.rst`, `cgroup-v2.rst` "Device controller".

mod rules;

pub(super) use rules::{Exception, List, Target, differs};

use super::{Cgroup, Error};
use oci_spec::runtime::LinuxResources;
use rules::DEFAULT_RULES;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
    attach_default(v2.directory.as_fd(), &shared).map_err(|source| Error::DeviceProgram {
        path: v2.path.clone(),
        source,
    })
}

/// The rules of an OCI configuration as one list, for systemd; `None` where no list can hold them.
pub(super) fn list_of_spec(resources: &LinuxResources) -> Result<Option<List>, Error> {
    Ok(List::of(&rules::of_spec(resources)?).ok())
}

/// v2: programs of ancestors must all agree, so the parent carries none. The default program is loaded once, kept by an empty
/// group, and attached from there to each container: microseconds in place of a verifier's run.
fn attach_default(group: BorrowedFd<'_>, shared: &Path) -> std::io::Result<()> {
    let (keeper, _) = cgroupfs::make(shared)?;
    if sys::bpf::attach_kept(keeper.as_fd(), group)? {
        return Ok(());
    }
    let program = sys::bpf::load_device_program(&sys::bpf::device_program(&DEFAULT_RULES))?;
    sys::bpf::attach(keeper.as_fd(), program.as_fd())?;
    sys::bpf::attach(group, program.as_fd())
}

/// v1: the group that containers without rules of their own share, below the parent. The parent itself allows everything,
/// because a child may only narrow what its parent has, and `--device` must be able to add.
pub(super) fn shared_v1(parent: &Path) -> Result<OwnedFd, Error> {
    let path = parent.join(SHARED);
    let failed = |source| Error::Make {
        path: path.clone(),
        source,
    };
    let (directory, _) = cgroupfs::make(&path).map_err(failed)?;
    if allows_everything(&directory) {
        // Two first containers at once: one writes, the other waits and sees it done.
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| failed(e.into()))?;
        if allows_everything(&directory) {
            write_v1(&directory, &path, &DEFAULT_RULES)?;
        }
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::Unlock)
            .map_err(|e| failed(e.into()))?;
    }
    Ok(directory)
}

fn allows_everything(directory: &OwnedFd) -> bool {
    cgroupfs::read(directory, "devices.list").is_ok_and(|list| list.starts_with("a "))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A group that a killed container left behind has the program already.
    #[test]
    fn the_default_program_is_attached_once() {
        let Some(mount) = crate::cgroup::hierarchies().unwrap().v2.clone() else {
            return;
        };
        let parent = mount.join(format!("dockless-devices-{}", std::process::id()));
        let (shared, path) = (parent.join(SHARED), parent.join("container"));
        cgroupfs::make(&parent).unwrap();
        let (group, _) = cgroupfs::make(&path).unwrap();
        let outcome = [(); 3].map(|()| attach_default(group.as_fd(), &shared));
        for directory in [&path, &shared, &parent] {
            std::fs::remove_dir(directory).unwrap();
        }
        for attached in outcome {
            attached.unwrap();
        }
    }
}
