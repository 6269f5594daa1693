//! Groups in the unified hierarchy, and writing their limits.
//!
//! Source: kernel `cgroup-v2.rst`.

mod settings;

use super::{Cgroup, Error, Place, V2Group};
use oci_spec::runtime::LinuxResources;
use settings::{Found, Setting, settings};
pub(super) use settings::{io_weight, weight_of_shares};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::cgroupfs::{self, Made};

pub(super) fn make(group: &mut Cgroup) -> Result<(), Error> {
    let Some(mount) = group.hierarchies.v2.clone() else {
        return Ok(());
    };
    let path = mount.join(group.place.path());
    let (directory, made) = make_group(&mount, &group.place)?;
    if made == Made::Existed && group.place.must_be_unused() {
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
    // Without a hierarchy there is nothing left to set: `limits::require` has refused it.
    let Some(v2) = &group.v2 else { return Ok(()) };
    match write_all(v2, resources) {
        // Somebody (systemd) may have taken a controller away since the parent was made: hand it down again.
        Err(Error::Controller { .. } | Error::Unified { .. }) => {
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
    if let Some(memory) = resources.memory()
        && memory.check_before_update() == Some(true)
    {
        let usage = cgroupfs::read_number(&v2.directory, "memory.current");
        super::limits::require_room(memory, usage.ok().flatten())?;
    }
    for setting in settings(resources, &Found::of(v2, resources))? {
        write(v2, &setting)?;
    }
    Ok(())
}

fn write(group: &V2Group, setting: &Setting) -> Result<(), Error> {
    let Err(source) = cgroupfs::write(&group.directory, &setting.file, &setting.value) else {
        return Ok(());
    };
    let missing = source.raw_os_error() == Some(2);
    if missing && !setting.required {
        return Ok(());
    }
    if missing && !has_controller(group, &setting.controller) {
        return Err(match setting.unified {
            true => Error::Unified {
                key: setting.file.clone(),
                controller: setting.controller.clone(),
            },
            false => Error::Controller {
                controller: setting.controller.clone(),
                limit: setting.file.clone(),
            },
        });
    }
    Err(Error::Write {
        path: group.path.join(&setting.file),
        value: setting.value.clone(),
        source,
    })
}

fn has_controller(group: &V2Group, controller: &str) -> bool {
    controller == "cgroup"
        || cgroupfs::read(&group.directory, "cgroup.controllers")
            .is_ok_and(|text| text.split_whitespace().any(|name| name == controller))
}
