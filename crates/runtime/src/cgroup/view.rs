//! What a container sees of v1 at /sys/fs/cgroup: one directory for each hierarchy, as the host has it.
//!
//! Source: cgroup_namespaces(7), kernel `cgroup-v1/cgroups.rst`.

use std::os::fd::{AsFd, BorrowedFd};
use sys::cgroupfs;
use sys::mount::Flags;

/// Makes the directory of a hierarchy, and links for controllers mounted together.
pub(crate) fn make_v1_directory(
    directory: BorrowedFd<'_>,
    hierarchy: &cgroupfs::V1,
) -> std::io::Result<()> {
    let name = directory_name(hierarchy);
    rustix::fs::mkdirat(
        directory,
        name.as_str(),
        rustix::fs::Mode::from_raw_mode(0o755),
    )?;
    for controller in hierarchy
        .controllers
        .iter()
        .filter(|c| **c != name && !c.contains('='))
    {
        sys::path::ensure_link(directory, controller, &name)?;
    }
    Ok(())
}

/// Mounts it there. Inside a cgroup namespace it shows the container's group as its root.
pub(crate) fn attach_v1(
    directory: BorrowedFd<'_>,
    hierarchy: &cgroupfs::V1,
    flags: Flags,
) -> std::io::Result<()> {
    let context = sys::mount::FsContext::open("cgroup")?;
    for controller in &hierarchy.controllers {
        match controller.split_once('=') {
            Some((key, value)) => {
                context.set_flag("none")?;
                context.set(key, value)?;
            }
            None => context.set_flag(controller)?,
        }
    }
    sys::mount::attach_at(
        context.create(flags)?.as_fd(),
        directory,
        &directory_name(hierarchy),
    )
}

fn directory_name(hierarchy: &cgroupfs::V1) -> String {
    let name = hierarchy.controllers.join(",");
    name.strip_prefix("name=").unwrap_or(&name).to_owned()
}
