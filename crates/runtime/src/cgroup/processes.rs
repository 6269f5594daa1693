//! The processes of a container: which, stopping them where they are, ending them.
//!
//! Source: kernel `cgroup-v2.rst` (`cgroup.freeze`, `cgroup.kill`), `cgroup-v1/freezer-subsystem.rst`.

use super::hierarchy::child_groups;
use super::{Cgroup, Error, Pids};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};
use sys::cgroupfs;

impl Cgroup {
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
}
