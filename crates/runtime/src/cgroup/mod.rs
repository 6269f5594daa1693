//! A container's control groups, on v2, v1 and hosts with both.
//!
//! `<root of the hierarchy>/<parent>/<name>`. On v2 all controllers the host has are enabled for the parent; on v1 a group is made
//! only in the hierarchies that count (cpu, cpuacct, memory, pids) or that a limit needs, and the device rules that all containers
//! share stand once on the parent. A limit whose controller is missing is an error with the controller's name.
//! Only groups below `parent` are ever made, written or removed.
//! Source: kernel `cgroup-v2.rst` and `cgroup-v1/`, runtime-spec `config-linux.md` "Control groups".

mod devices;
mod error;
mod place;
mod stats;
mod v1;
mod v1_limits;
mod v2;
mod view;

pub use error::Error;
pub use place::{children, hierarchies, limits_swap, remove_parent};
pub use stats::Stats;
pub(crate) use view::{attach_v1, make_v1_directory};

use oci_spec::runtime::LinuxResources;
use place::{check, check_name, child_groups};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
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
    hierarchies: Hierarchies,
    parent: PathBuf,
    name: String,
    v2: Option<V2Group>,
    v1: Vec<V1Group>,
    /// v1 groups that containers share: the default device rules.
    v1_shared: Vec<OwnedFd>,
}

/// What a pids file or a missing one says.
pub type Pids = Vec<i32>;

impl Cgroup {
    /// Makes the groups and sets the limits. What was made is removed again if anything fails.
    pub fn create(
        parent: &str,
        name: &str,
        resources: Option<&LinuxResources>,
    ) -> Result<Self, Error> {
        Self::create_on(hierarchies()?, parent, name, resources)
    }

    /// The same on known hierarchies.
    pub fn create_on(
        hierarchies: Hierarchies,
        parent: &str,
        name: &str,
        resources: Option<&LinuxResources>,
    ) -> Result<Self, Error> {
        let parent = check(parent)?;
        let mut group = Self {
            hierarchies,
            parent,
            name: check_name(name)?,
            v2: None,
            v1: Vec::new(),
            v1_shared: Vec::new(),
        };
        let made = group.make(resources);
        if let Err(error) = made {
            // The first error is the one to tell; what cannot be removed now is an empty group.
            let _ = group.remove();
            return Err(error);
        }
        Ok(group)
    }

    fn make(&mut self, resources: Option<&LinuxResources>) -> Result<(), Error> {
        let default = LinuxResources::default();
        let resources = resources.unwrap_or(&default);
        v2::make(self)?;
        v1::make(self, resources)?;
        self.apply(resources)?;
        devices::apply(self, resources)
    }

    /// Opens the groups of a container made before; those that are gone are left out.
    pub fn open(parent: &str, name: &str) -> Result<Self, Error> {
        let hierarchies = hierarchies()?;
        let parent = check(parent)?;
        let name = check_name(name)?;
        let mut group = Self {
            hierarchies,
            parent,
            name,
            v2: None,
            v1: Vec::new(),
            v1_shared: Vec::new(),
        };
        if let Some(mount) = &group.hierarchies.v2 {
            let path = mount.join(&group.parent).join(&group.name);
            group.v2 = cgroupfs::open(&path)
                .ok()
                .map(|directory| V2Group { path, directory });
        }
        for hierarchy in &group.hierarchies.v1 {
            let path = hierarchy.mount.join(&group.parent).join(&group.name);
            if let Ok(directory) = cgroupfs::open(&path) {
                group.v1.push(V1Group {
                    controllers: hierarchy.controllers.clone(),
                    path,
                    directory,
                });
            } else if hierarchy.controllers.iter().any(|c| c == "devices") {
                let shared = hierarchy.mount.join(&group.parent).join(devices::SHARED);
                group.v1_shared.extend(cgroupfs::open(&shared));
            }
        }
        Ok(group)
    }

    /// `parent/name`, as it appears in /proc/PID/cgroup.
    pub fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
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
        v1::make_missing(self, resources)?;
        self.apply(resources)
    }

    fn apply(&self, resources: &LinuxResources) -> Result<(), Error> {
        if self.hierarchies.is_empty() {
            return v1_limits::require_nothing(resources);
        }
        // On a host with both, each controller is bound to one of the two: v1 takes what it has, v2 the rest.
        let rest = v1_limits::apply(self, resources)?;
        v2::apply(self, &rest)
    }

    fn v1_with(&self, controller: &str) -> Option<&V1Group> {
        self.v1.iter().find(|group| group.has(controller))
    }

    /// Host pids of all processes in the container.
    pub fn pids(&self) -> Result<Pids, Error> {
        let Some((path, directory)) = self.any() else {
            return Ok(Vec::new());
        };
        match cgroupfs::pids(directory) {
            Ok(pids) => Ok(self.with_children(pids, path)),
            Err(e) if e.raw_os_error() == Some(19) => Ok(Vec::new()),
            Err(source) => Err(Error::Read {
                path: path.join("cgroup.procs"),
                source,
            }),
        }
    }

    /// Containers may make groups of their own below (systemd, docker in docker).
    fn with_children(&self, mut pids: Pids, path: &Path) -> Pids {
        for child in child_groups(path) {
            if let Ok(directory) = cgroupfs::open(&child) {
                pids.extend(cgroupfs::pids(&directory).unwrap_or_default());
            }
        }
        pids
    }

    fn any(&self) -> Option<(&Path, BorrowedFd<'_>)> {
        let v2 = self
            .v2
            .as_ref()
            .map(|group| (group.path.as_path(), group.directory.as_fd()));
        let pids = || {
            self.v1_with("pids")
                .or(self.v1.first())
                .map(|group| (group.path.as_path(), group.directory.as_fd()))
        };
        v2.or_else(pids)
    }

    /// Stops every process of the container where it is.
    pub fn freeze(&self) -> Result<(), Error> {
        self.set_frozen(true)
    }

    pub fn thaw(&self) -> Result<(), Error> {
        self.set_frozen(false)
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), Error> {
        if let Some(group) = &self.v2 {
            self.write_v2(group, "cgroup.freeze", if frozen { "1" } else { "0" })?;
            return self.await_freeze(frozen);
        }
        let group = self.v1_with("freezer").ok_or(Error::Controller {
            controller: "freezer".to_owned(),
            limit: "pause".to_owned(),
        })?;
        let state = if frozen { "FROZEN" } else { "THAWED" };
        let path = group.path.join("freezer.state");
        cgroupfs::write(&group.directory, "freezer.state", state).map_err(|source| {
            Error::Write {
                path,
                value: state.to_owned(),
                source,
            }
        })?;
        self.await_freeze(frozen)
    }

    /// The kernel stops processes one by one and says so when it has them all.
    fn await_freeze(&self, frozen: bool) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.is_frozen()? != frozen {
            if Instant::now() > deadline {
                return Err(Error::Freeze { path: self.path() });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    pub fn is_frozen(&self) -> Result<bool, Error> {
        if let Some(group) = &self.v2 {
            let file = "cgroup.events";
            let read = cgroupfs::read_field(&group.directory, file, "frozen");
            return read
                .map(|frozen| frozen == Some(1))
                .map_err(|source| Error::Read {
                    path: group.path.join(file),
                    source,
                });
        }
        let Some(group) = self.v1_with("freezer") else {
            return Ok(false);
        };
        let file = "freezer.state";
        let state = cgroupfs::read(&group.directory, file).map_err(|source| Error::Read {
            path: group.path.join(file),
            source,
        })?;
        Ok(state.trim() == "FROZEN")
    }

    /// SIGKILL to every process, those being born included.
    pub fn kill_all(&self) -> Result<(), Error> {
        if let Some(group) = &self.v2
            && cgroupfs::write(&group.directory, "cgroup.kill", "1").is_ok()
        {
            return Ok(());
        }
        // Before Linux 5.14, or without v2: until a round finds nobody.
        for _ in 0..100 {
            let pids = self.pids()?;
            if pids.is_empty() {
                return Ok(());
            }
            for pid in pids {
                if let Ok(pidfd) = sys::process::pidfd_open(pid) {
                    // It may have ended by itself in between.
                    let _ = sys::process::pidfd_send_signal(pidfd, 9);
                }
            }
            // v1: the dead wait for a thaw if they were frozen.
            let _ = self.thaw_v1();
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn thaw_v1(&self) -> std::io::Result<()> {
        match self.v1_with("freezer") {
            Some(group) => cgroupfs::write(&group.directory, "freezer.state", "THAWED"),
            None => Ok(()),
        }
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
        let v1 = self.v1.iter().map(|group| &group.path);
        for path in self.v2.iter().map(|group| &group.path).chain(v1) {
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
        first.map_or(Ok(()), Err)
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
