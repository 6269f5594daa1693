//! A container that was made: its directory, its record, and how the kernel says it is.

use crate::error::{Error, Result};
use crate::groups;
use crate::record::{self, Record, Stage};
use crate::state::{State, Status};
use oci_spec::runtime::Spec;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::lock::DirectoryLock;

#[derive(Debug)]
pub struct Container {
    directory: PathBuf,
    handle: OwnedFd,
    record: Record,
}

impl Container {
    /// Also one that is still being made, if there is something to tell of it.
    pub(crate) fn open(directory: PathBuf, id: &str) -> Result<Self> {
        let unknown = || Error::Unknown(id.to_owned());
        let Ok(handle) = sys::mount::open_root(&directory) else {
            return Err(unknown());
        };
        let read = || state::record::read::<Record>(&directory.join(record::FILE));
        let is_made = |record: &Record| record.stage == Stage::Made;
        let mut found = read()?;
        if !found.as_ref().is_some_and(is_made) && !is_being_made(&directory) {
            // Whoever makes it holds the lock: it was made in between, or its maker was killed and left it.
            found = Some(read()?.filter(is_made).ok_or_else(unknown)?);
        }
        let record = found.ok_or_else(|| Error::Creating(id.to_owned()))?;
        Ok(Self {
            directory,
            handle,
            record,
        })
    }

    pub fn id(&self) -> &str {
        &self.record.id
    }

    pub fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Keeps other verbs that change the container out while it is held.
    pub(crate) fn lock(&self) -> Result<DirectoryLock> {
        DirectoryLock::exclusive(&self.directory).map_err(|_| Error::Unknown(self.id().to_owned()))
    }

    pub(crate) fn is_being_made(&self) -> bool {
        self.record.stage == Stage::Creating
    }

    pub(crate) fn cgroup(&self) -> Result<runtime::Cgroup> {
        let place = self.record.cgroup.place(self.id())?;
        Ok(runtime::Cgroup::open_at(&place)?)
    }

    /// A handle on the first process, if it lives.
    pub fn process(&self) -> Option<OwnedFd> {
        if !sys::process::is_running(self.record.pid, self.record.start_time) {
            return None;
        }
        sys::process::pidfd_open_verified(self.record.pid, self.record.start_time).ok()
    }

    /// Waits so long for the first process to end, and says whether it has.
    pub fn await_end(&self, patience: Duration) -> bool {
        use sys::poll::{PollFd, PollFlags};
        let Some(process) = self.process() else {
            return true;
        };
        let mut fds = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
        sys::poll::wait(&mut fds, Some(patience)).is_ok() && !fds[0].revents().is_empty()
    }

    pub fn status(&self) -> Status {
        if self.is_being_made() {
            return Status::Creating;
        }
        if !sys::process::is_running(self.record.pid, self.record.start_time) {
            return Status::Stopped;
        }
        if self
            .cgroup()
            .is_ok_and(|group| group.is_frozen().unwrap_or(false))
        {
            return Status::Paused;
        }
        if runtime::gate::is_shut(self.handle()) {
            Status::Created
        } else {
            Status::Running
        }
    }

    pub fn state(&self) -> State {
        State::of(&self.record, self.status())
    }

    /// The specification it was made from.
    pub fn spec(&self) -> Result<Spec> {
        let path = self.directory.join(record::CONFIG);
        let text = std::fs::read(&path).map_err(Error::file("read", &path))?;
        let mut spec = oci::spec::parse(&text)
            .map_err(|source| Error::Config { path, source })?
            .value;
        groups::keep(&mut spec);
        Ok(spec)
    }
}

fn is_being_made(directory: &Path) -> bool {
    matches!(DirectoryLock::try_exclusive(directory), Ok(None))
}
