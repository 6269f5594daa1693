//! A container's control groups, on v2, v1 and hosts with both.
//!
//! `<root of the hierarchy>/<parent>/<name>`. On v2 all controllers the host has are enabled for the parent; on v1 a group is made
//! only in the hierarchies that count (cpu, cpuacct, memory, pids) or that a limit needs, and the device rules that all containers
//! share stand once on the parent. A limit whose controller is missing is an error with the controller's name.
//! Only groups below `parent` are ever made, written or removed.
//! Source: kernel `cgroup-v2.rst` and `cgroup-v1/`, runtime-spec `config-linux.md` "Control groups".

mod devices;
mod error;
mod hierarchy;
mod limits;
mod oom;
mod parents;
mod place;
mod processes;
pub mod report;
mod stats;
mod subgroup;
pub mod systemd;
mod v1;
mod v2;
mod view;

pub use error::Error;
pub use hierarchy::{children, hierarchies, limits_swap, remove_parent};
pub use oom::{OomEvent, OomWatch};
pub use place::Place;
pub use report::Report;
pub use stats::Stats;
pub(crate) use systemd::Anchor;
pub(crate) use view::View;

use hierarchy::child_groups;
use oci_spec::runtime::LinuxResources;
use place::Origin;
use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use sys::cgroupfs::{self, Hierarchies};

/// The parent of containers of the default data root.
pub const DEFAULT_PARENT: &str = "dockless";

/// One v1 hierarchy's group of this container.
#[derive(Debug)]
pub(crate) struct V1Group {
    controllers: Vec<String>,
    path: PathBuf,
    directory: OwnedFd,
}

impl V1Group {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }
}

#[derive(Debug)]
pub(crate) struct V2Group {
    path: PathBuf,
    directory: OwnedFd,
}

/// The groups of one container.
#[derive(Debug)]
pub struct Cgroup {
    /// Shared: a monitor keeps them for its next run.
    hierarchies: Arc<Hierarchies>,
    place: Place,
    v2: Option<V2Group>,
    v1: Vec<V1Group>,
    /// v1 groups that containers share: the default device rules.
    v1_shared: Vec<OwnedFd>,
    /// What systemd's scope began with, until the container's init is in it.
    anchor: RefCell<Option<Anchor>>,
}

/// What a pids file or a missing one says.
pub type Pids = Vec<i32>;

impl Cgroup {
    /// Makes the groups of an engine's container and sets the limits.
    pub fn create(
        parent: &str,
        name: &str,
        resources: Option<&LinuxResources>,
    ) -> Result<Self, Error> {
        Self::place(&Place::below(parent, name)?, resources)
    }

    /// Makes the groups and sets the limits. What was made is removed again if anything fails.
    pub fn place(place: &Place, resources: Option<&LinuxResources>) -> Result<Self, Error> {
        Self::place_on(hierarchies()?, place, resources)
    }

    /// The same on known hierarchies.
    pub fn place_on(
        hierarchies: impl Into<Arc<Hierarchies>>,
        place: &Place,
        resources: Option<&LinuxResources>,
    ) -> Result<Self, Error> {
        let mut group = Self::unmade(hierarchies, place.clone());
        let made = group.make(resources);
        if let Err(error) = made {
            // The first error is the one to tell; what cannot be removed now is an empty group.
            let _ = group.remove();
            return Err(error);
        }
        Ok(group)
    }

    fn unmade(hierarchies: impl Into<Arc<Hierarchies>>, place: Place) -> Self {
        Self {
            hierarchies: hierarchies.into(),
            place,
            v2: None,
            v1: Vec::new(),
            v1_shared: Vec::new(),
            anchor: RefCell::new(None),
        }
    }

    fn make(&mut self, resources: Option<&LinuxResources>) -> Result<(), Error> {
        let default = LinuxResources::default();
        let resources = resources.unwrap_or(&default);
        limits::require(&self.hierarchies, resources)?;
        self.start_scope(resources)?;
        v2::make(self)?;
        v1::make(self, resources)?;
        self.apply(resources)?;
        devices::apply(self, resources)
    }

    fn start_scope(&self, resources: &LinuxResources) -> Result<(), Error> {
        let Some(scope) = self.place.scope() else {
            return Ok(());
        };
        let devices = devices::list_of_spec(resources)?;
        let anchor = systemd::start(scope, resources, devices.as_ref());
        self.anchor.replace(Some(anchor.map_err(scope.failed())?));
        Ok(())
    }

    /// Hands over what holds the scope until init is in it.
    pub(crate) fn take_anchor(&self) -> Option<Anchor> {
        self.anchor.take()
    }

    /// Opens the groups of an engine's container made before.
    pub fn open(parent: &str, name: &str) -> Result<Self, Error> {
        Self::open_at(&Place::below(parent, name)?)
    }

    /// Opens groups made before; those that are gone are left out.
    pub fn open_at(place: &Place) -> Result<Self, Error> {
        let mut group = Self::unmade(hierarchies()?, place.clone());
        if let Some(mount) = &group.hierarchies.v2 {
            let path = mount.join(group.place.path());
            group.v2 = cgroupfs::open(&path)
                .ok()
                .map(|directory| V2Group { path, directory });
        }
        for hierarchy in &group.hierarchies.v1 {
            let path = hierarchy.mount.join(group.place.path());
            if let Ok(directory) = cgroupfs::open(&path) {
                group.v1.push(V1Group {
                    controllers: hierarchy.controllers.clone(),
                    path,
                    directory,
                });
            } else if *group.place.origin() == Origin::Engine
                && hierarchy.controllers.iter().any(|c| c == "devices")
            {
                let shared = hierarchy
                    .mount
                    .join(group.place.parent())
                    .join(devices::SHARED);
                group.v1_shared.extend(cgroupfs::open(&shared));
            }
        }
        Ok(group)
    }

    /// The path below the hierarchies' roots, as it appears in /proc/PID/cgroup.
    pub fn path(&self) -> PathBuf {
        self.place.path().to_owned()
    }

    pub fn located(&self) -> &Place {
        &self.place
    }

    pub fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    /// Whether any group of it exists.
    pub fn exists(&self) -> bool {
        self.v2.is_some() || !self.v1.is_empty()
    }

    /// For `clone3(CLONE_INTO_CGROUP)`.
    pub(crate) fn v2_fd(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(|group| group.directory.as_fd())
    }

    /// The v2 group a process is in now.
    pub(crate) fn open_v2_of(&self, pid: i32) -> std::io::Result<OwnedFd> {
        let missing = || std::io::Error::from_raw_os_error(2);
        let mount = self.hierarchies.v2.as_ref().ok_or_else(missing)?;
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let path = groups
            .lines()
            .find_map(|line| line.strip_prefix("0::/"))
            .ok_or_else(missing)?;
        cgroupfs::open(&mount.join(path))
    }

    /// Moves the calling, single-threaded process into the v1 groups.
    pub(crate) fn join_v1_self(&self) -> std::io::Result<()> {
        for group in &self.v1 {
            cgroupfs::join_v1_as_single_thread(group.directory.as_fd())?;
        }
        for shared in &self.v1_shared {
            cgroupfs::join_v1_as_single_thread(shared.as_fd())?;
        }
        Ok(())
    }

    /// Changes limits of a running container; what is not named stays.
    pub fn update(&mut self, resources: &LinuxResources) -> Result<(), Error> {
        limits::require(&self.hierarchies, resources)?;
        if let Some(scope) = self.place.scope() {
            let devices = match resources.devices() {
                Some(_) => devices::list_of_spec(resources)?,
                None => None,
            };
            systemd::update(scope, resources, devices.as_ref()).map_err(scope.failed())?;
        }
        v1::make_missing(self, resources)?;
        self.apply(resources)?;
        match resources.devices() {
            Some(_) => devices::apply(self, resources),
            None => Ok(()),
        }
    }

    fn apply(&self, resources: &LinuxResources) -> Result<(), Error> {
        // On a host with both, each controller is bound to one of the two: v1 takes what it has, v2 the rest.
        let rest = v1::apply_limits(self, resources)?;
        v2::apply(self, &rest)
    }

    fn v1_with(&self, controller: &str) -> Option<&V1Group> {
        self.v1.iter().find(|group| group.has(controller))
    }

    /// How often the kernel killed a process here for want of memory.
    pub fn oom_count(&self) -> u64 {
        if let Some(group) = self.v1_with("memory") {
            return cgroupfs::read_field(&group.directory, "memory.oom_control", "oom_kill")
                .ok()
                .flatten()
                .unwrap_or(0);
        }
        let Some(group) = &self.v2 else { return 0 };
        cgroupfs::read_field(&group.directory, "memory.events", "oom_kill")
            .ok()
            .flatten()
            .unwrap_or(0)
    }

    /// Consumption now.
    pub fn stats(&self) -> Stats {
        stats::read(self)
    }

    /// Removes the empty groups. Goes on after an error and tells the first; what is gone already is fine.
    pub fn remove(&self) -> Result<(), Error> {
        let mut first = None;
        drop(self.anchor.take());
        self.v1_shared.iter().for_each(devices::let_go);
        let v1 = self.v1.iter().map(|group| &group.path);
        for path in self.v2.iter().map(|group| &group.path).chain(v1) {
            // Nearly always it is empty by now and has no groups below.
            if cgroupfs::remove(path, Duration::ZERO).is_ok() {
                continue;
            }
            let mut below: Vec<PathBuf> = child_groups(path);
            below.sort_by_key(|child| std::cmp::Reverse(child.components().count()));
            for directory in below.iter().chain([path]) {
                if let Err(source) = cgroupfs::remove(directory, Duration::from_secs(2)) {
                    first.get_or_insert(Error::Remove {
                        path: directory.clone(),
                        source,
                    });
                }
            }
        }
        self.remove_parents();
        if let Some(scope) = self.place.scope()
            && self.exists()
        {
            // Without systemd there is no scope left either.
            let _ = systemd::stop(scope);
        }
        first.map_or(Ok(()), Err)
    }

    /// The engine removes its one parent itself, systemd its slices.
    fn remove_parents(&self) {
        if *self.place.origin() != Origin::Spec {
            return;
        }
        let v1 = self.hierarchies.v1.iter().map(|hierarchy| &hierarchy.mount);
        for mount in v1.chain(&self.hierarchies.v2) {
            parents::remove(mount, &mount.join(self.place.path()));
        }
    }

    fn write_v2(&self, group: &V2Group, file: &str, value: &str) -> Result<(), Error> {
        let failed = |source| Error::Write {
            path: group.path.join(file),
            value: value.to_owned(),
            source,
        };
        cgroupfs::write(&group.directory, file, value).map_err(failed)
    }
}
