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
        self.set_state(frozen)?;
        self.await_freeze(frozen)
    }

    fn set_state(&self, frozen: bool) -> Result<(), Error> {
        if let Some(group) = &self.v2 {
            return self.write_v2(group, "cgroup.freeze", if frozen { "1" } else { "0" });
        }
        let group = self.v1_with("freezer").ok_or(Error::Controller {
            controller: "freezer".to_owned(),
            limit: "pause".to_owned(),
        })?;
        let state = if frozen { "FROZEN" } else { "THAWED" };
        cgroupfs::write(&group.directory, "freezer.state", state).map_err(|source| Error::Write {
            path: group.path.join("freezer.state"),
            value: state.to_owned(),
            source,
        })
    }

    /// The kernel stops processes one by one and says so when it has them all. On v1 it stops looking after a round: it is told again,
    /// and once in a while all run for a moment, because two that wait for each other cannot be stopped one by one.
    fn await_freeze(&self, frozen: bool) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_secs(10);
        for round in 1_u32.. {
            if self.is_frozen()? == frozen {
                return Ok(());
            }
            if Instant::now() > deadline {
                // Half a container stopped is worse than none.
                let _ = self.set_state(false);
                return Err(Error::Freeze { path: self.path() });
            }
            std::thread::sleep(Duration::from_millis(1));
            if self.v2.is_none() {
                if frozen && round.is_multiple_of(50) {
                    self.set_state(false)?;
                }
                self.set_state(frozen)?;
            }
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
        for _ in 0..1000 {
            let pids = self.pids()?;
            if pids.is_empty() {
                return Ok(());
            }
            // Who is stopped has no children meanwhile; the signal works when they run again.
            let _ = self.set_state(true);
            send(&pids, 9);
            let _ = self.set_state(false);
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Takes back a process that somebody froze in a group elsewhere (v1): in a group that runs it runs, and can die.
    pub fn reclaim(&self, pid: i32) -> Result<(), Error> {
        let Some(group) = self.v1_with("freezer") else {
            return Ok(());
        };
        let file = "cgroup.procs";
        cgroupfs::write(&group.directory, file, &pid.to_string()).map_err(|source| Error::Write {
            path: group.path.join(file),
            value: pid.to_string(),
            source,
        })
    }

    /// A signal to every process that is in the container now, all of them stopped while it is sent.
    pub fn signal_all(&self, signal: i32) -> Result<(), Error> {
        if signal == 9 {
            return self.kill_all();
        }
        // One that is paused stays so; where nothing can be stopped, those born meanwhile are missed.
        let stopped = !self.is_frozen()? && self.set_frozen(true).is_ok();
        let pids = self.pids();
        send(pids.as_deref().unwrap_or_default(), signal);
        if stopped {
            self.set_frozen(false)?;
        }
        pids.map(drop)
    }
}

fn send(pids: &[i32], signal: i32) {
    for pid in pids {
        if let Ok(pidfd) = sys::process::pidfd_open(*pid) {
            // It may have ended by itself in between.
            let _ = sys::process::pidfd_send_signal(pidfd, signal);
        }
    }
}
