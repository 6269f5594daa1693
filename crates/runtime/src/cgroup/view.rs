//! What a container sees at /sys/fs/cgroup.
//!
//! v2: the one hierarchy. v1 and hybrid: a directory of all hierarchies, as the host has it, with links for controllers mounted together.
//! In a cgroup namespace each hierarchy begins at the container's group by itself; without one the container's group is shown by a bind.
//! Source: runtime-spec `config-linux.md` "Default Filesystems"; cgroup_namespaces(7), kernel `cgroup-v1/cgroups.rst`.

use super::Cgroup;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::cgroupfs::{Hierarchies, V1};
use sys::mount::{self, Attributes, Flags, FsContext, Recursion};

const UNIFIED: &str = "unified";
const EBUSY: i32 = 16;

/// How it is wished.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) hierarchies: &'a Hierarchies,
    pub(crate) group: Option<&'a Cgroup>,
    /// Whether the container has a cgroup namespace of its own.
    pub(crate) namespace: bool,
    /// `cgroup2`: the unified hierarchy even where there are others.
    pub(crate) only_v2: bool,
    pub(crate) flags: Flags,
    /// Parameters of v2's file system. Those of v1 were set by who mounted it first.
    pub(crate) data: &'a [(String, Option<String>)],
}

impl View<'_> {
    pub(crate) fn attach(&self, target: BorrowedFd<'_>) -> io::Result<()> {
        if self.only_v2 || self.hierarchies.v1.is_empty() {
            return attach_over(self.v2()?.as_fd(), target);
        }
        let writable = self.flags - Flags::MOUNT_ATTR_RDONLY;
        let directory = mount::new_filesystem("tmpfs", &[("mode", Some("755"))], writable)?;
        let shown = || self.hierarchies.v1.iter().filter(|v1| self.shows(v1));
        for hierarchy in shown() {
            make_directory(directory.as_fd(), hierarchy)?;
        }
        mount::attach(directory.as_fd(), target)?;
        for hierarchy in shown() {
            self.v1(hierarchy, directory.as_fd())?;
        }
        if self.hierarchies.v2.is_some() {
            let mode = rustix::fs::Mode::from_raw_mode(0o755);
            rustix::fs::mkdirat(&directory, UNIFIED, mode)?;
            mount::attach_at(self.unified()?.as_fd(), directory.as_fd(), UNIFIED)?;
        }
        if self.flags.contains(Flags::MOUNT_ATTR_RDONLY) {
            mount::set_attributes(directory.as_fd(), Attributes::read_only())?;
        }
        Ok(())
    }

    /// A hierarchy in which the container has no group shows the host's groups and nothing of the container. It is left out of
    /// what can only be read, unless it is `cpuset`: Java believes no limit where that is missing.
    fn shows(&self, hierarchy: &V1) -> bool {
        let read_only = self.flags.contains(Flags::MOUNT_ATTR_RDONLY);
        let known = |name: &String| name == "cpuset";
        !(self.namespace && read_only && self.group.is_some())
            || self.own_group(hierarchy).is_some()
            || hierarchy.controllers.iter().any(known)
    }

    fn own_group(&self, hierarchy: &V1) -> Option<&super::V1Group> {
        let own = |group: &&super::V1Group| group.controllers == hierarchy.controllers;
        self.group?.v1.iter().find(own)
    }

    /// A hierarchy; inside a cgroup namespace it shows the container's group as its root.
    fn v1(&self, hierarchy: &V1, directory: BorrowedFd<'_>) -> io::Result<()> {
        let name = directory_name(hierarchy);
        if !self.namespace {
            let group = self.own_group(hierarchy);
            let tree = self.bind(group.map_or(&hierarchy.mount, |group| &group.path))?;
            return mount::attach_at(tree.as_fd(), directory, &name);
        }
        let options: Vec<String> = hierarchy
            .controllers
            .iter()
            .map(|controller| match controller.contains('=') {
                true => format!("none,{controller}"),
                false => controller.clone(),
            })
            .collect();
        mount::mount_at(directory, &name, "cgroup", self.flags, &options.join(","))
    }

    /// v2 beside v1.
    fn unified(&self) -> io::Result<OwnedFd> {
        match self.group.and_then(|group| group.v2.as_ref()) {
            Some(group) if !self.namespace => self.bind(&group.path),
            _ => self.v2(),
        }
    }

    fn v2(&self) -> io::Result<OwnedFd> {
        let context = FsContext::open("cgroup2")?;
        for (key, value) in self.data {
            match value {
                Some(value) => context.set(key, value.as_str())?,
                None => context.set_flag(key)?,
            }
        }
        context.create(self.flags)
    }

    /// A group of the host's mount, whose attributes stay unless more are wished.
    fn bind(&self, path: &Path) -> io::Result<OwnedFd> {
        let tree = mount::clone_path(path, Recursion::None)?;
        let plain = Flags::MOUNT_ATTR_RDONLY
            | Flags::MOUNT_ATTR_NOSUID
            | Flags::MOUNT_ATTR_NODEV
            | Flags::MOUNT_ATTR_NOEXEC;
        let change = Attributes {
            set: (self.flags & plain).bits().into(),
            ..Attributes::default()
        };
        mount::set_attributes(tree.as_fd(), change)?;
        Ok(tree)
    }
}

/// The kernel does not stack the same mount twice in one place, as over a /sys that came along with its mounts: then with something else
/// between.
fn attach_over(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    match mount::attach(tree, target) {
        Err(e) if e.raw_os_error() == Some(EBUSY) => {
            let between = mount::new_filesystem("tmpfs", &[], Flags::MOUNT_ATTR_RDONLY)?;
            mount::attach(between.as_fd(), target)?;
            mount::attach(tree, between.as_fd())
        }
        other => other,
    }
}

/// The directory of a hierarchy, and links for controllers mounted together.
fn make_directory(directory: BorrowedFd<'_>, hierarchy: &V1) -> io::Result<()> {
    let name = directory_name(hierarchy);
    let mode = rustix::fs::Mode::from_raw_mode(0o755);
    rustix::fs::mkdirat(directory, name.as_str(), mode)?;
    let links = hierarchy
        .controllers
        .iter()
        .filter(|controller| **controller != name && !controller.contains('='));
    for controller in links {
        sys::path::ensure_link(directory, controller, &name)?;
    }
    Ok(())
}

fn directory_name(hierarchy: &V1) -> String {
    let name = hierarchy.controllers.join(",");
    name.strip_prefix("name=").unwrap_or(&name).to_owned()
}
