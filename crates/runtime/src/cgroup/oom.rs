//! Being told when the kernel ends a process of the group for want of memory.
//!
//! v1 counts such events into an eventfd; v2 changes `memory.events`, which inotify sees. Both tell of the group's end too: v1 rings
//! the eventfd when the group goes, v2 says `populated 0`.
//! Source: kernel `cgroup-v1/memory.rst` "OOM Control", `cgroup-v2.rst` "memory.events", inotify(7).

use super::{Cgroup, Error};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;
use sys::cgroupfs;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OomEvent {
    /// The kernel was out of memory here.
    Oom,
    /// The group is gone or empty: nothing more will come.
    End,
}

/// Watches one group. Readable when there may be something to tell.
#[derive(Debug)]
pub struct OomWatch {
    fd: OwnedFd,
    directory: OwnedFd,
    path: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Counter,
    Files { seen: u64 },
}

impl Cgroup {
    pub fn watch_oom(&self) -> Result<OomWatch, Error> {
        if let Some(group) = self.v1_with("memory") {
            return counter(&group.directory, group.path.clone());
        }
        let group = self.v2.as_ref();
        match group.filter(|v2| cgroupfs::exists(v2.directory.as_fd(), "memory.events")) {
            Some(group) => files(&group.directory, group.path.clone()),
            None => Err(Error::Controller {
                controller: "memory".to_owned(),
                limit: "telling of a want of memory".to_owned(),
            }),
        }
    }
}

fn counter(group: &OwnedFd, path: PathBuf) -> Result<OomWatch, Error> {
    use rustix::fs::{Mode, OFlags};
    let failed = |e: rustix::io::Errno| Error::Watch {
        path: path.clone(),
        source: e.into(),
    };
    let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let control =
        rustix::fs::openat(group, "memory.oom_control", flags, Mode::empty()).map_err(failed)?;
    let line = format!("{} {}", fd.as_raw_fd(), control.as_raw_fd());
    cgroupfs::write(group, "cgroup.event_control", &line).map_err(|source| Error::Watch {
        path: path.clone(),
        source,
    })?;
    Ok(OomWatch {
        fd,
        directory: rustix::io::fcntl_dupfd_cloexec(group, 0).map_err(failed)?,
        source: Source::Counter,
        path,
    })
}

fn files(group: &OwnedFd, path: PathBuf) -> Result<OomWatch, Error> {
    let failed = |e: rustix::io::Errno| Error::Watch {
        path: path.clone(),
        source: e.into(),
    };
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .map_err(failed)?;
    for file in ["memory.events", "cgroup.events"] {
        inotify::add_watch(&fd, path.join(file), inotify::WatchFlags::MODIFY).map_err(failed)?;
    }
    Ok(OomWatch {
        fd,
        directory: rustix::io::fcntl_dupfd_cloexec(group, 0).map_err(failed)?,
        source: Source::Files {
            seen: killed(group),
        },
        path,
    })
}

fn killed(group: impl AsFd) -> u64 {
    let events = cgroupfs::read(group, "memory.events").unwrap_or_default();
    cgroupfs::field(&events, "oom_kill").unwrap_or(0)
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl OomWatch {
    /// Waits for the next event; `None` when the time is over or nothing of the kind happened.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<OomEvent>, Error> {
        let failed = |source| Error::Watch {
            path: self.path.clone(),
            source,
        };
        let mut fds = [sys::poll::PollFd::new(&self.fd, sys::poll::PollFlags::IN)];
        if sys::poll::wait(&mut fds, timeout).map_err(failed)? == 0 {
            return Ok(None);
        }
        // What it says is only that something is there.
        let mut buffer = [0_u8; 4096];
        let _ = rustix::io::read(&self.fd, &mut buffer);
        Ok(self.look())
    }

    fn look(&mut self) -> Option<OomEvent> {
        match &mut self.source {
            Source::Counter => {
                let there = cgroupfs::exists(self.directory.as_fd(), "cgroup.event_control");
                Some(if there { OomEvent::Oom } else { OomEvent::End })
            }
            Source::Files { seen } => {
                let now = killed(&self.directory);
                if now > *seen {
                    *seen = now;
                    return Some(OomEvent::Oom);
                }
                let populated = cgroupfs::read_field(&self.directory, "cgroup.events", "populated");
                (!matches!(populated, Ok(Some(1)))).then_some(OomEvent::End)
            }
        }
    }
}
