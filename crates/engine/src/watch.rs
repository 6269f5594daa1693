//! Waiting for a change below the run root: `inotify(7)` with a time limit.

use crate::context::Context;
use crate::error::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Sees every change of the records of the given containers.
#[derive(Debug)]
pub struct Watch {
    fd: OwnedFd,
}

impl Watch {
    /// Watches the run directories (state, health) and the data directories (exit record) of containers.
    pub fn containers<'a>(ctx: &Context, ids: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(|e| Error::system("watch containers")(e.into()))?;
        let flags = inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::DELETE;
        for id in ids {
            for dir in [ctx.layout.run_container(id), ctx.layout.container(id)] {
                // One that is not there has nothing to say yet; the time limit covers its coming.
                let _ = inotify::add_watch(&fd, &dir, flags);
            }
        }
        Ok(Self { fd })
    }

    /// Waits for a change, at most `timeout`.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        drain_after_poll(&self.fd, Some(timeout))
    }
}

/// Calls `ready` at once and after every change until it gives a value or the time is over.
pub fn until<T>(
    watch: &Watch,
    timeout: Option<Duration>,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    // Backstop for changes no record tells (a process killed from outside).
    const LOOK_AGAIN: Duration = Duration::from_millis(250);
    let end = timeout.map(|t| Instant::now() + t);
    loop {
        if let Some(value) = ready()? {
            return Ok(Some(value));
        }
        let left = end.map_or(LOOK_AGAIN, |end| {
            end.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            return Ok(None);
        }
        watch.wait(left.min(LOOK_AGAIN))?;
    }
}

pub(crate) fn drain_after_poll(fd: &OwnedFd, timeout: Option<Duration>) -> Result<()> {
    let limit = timeout.map(|t| Timespec {
        tv_sec: t.as_secs() as i64,
        tv_nsec: i64::from(t.subsec_nanos()),
    });
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    match rustix::event::poll(&mut fds, limit.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(e) => return Err(Error::system("wait for a change")(e.into())),
    }
    let mut buffer = [0u8; 4096];
    while rustix::io::read(fd.as_fd(), &mut buffer).is_ok_and(|n| n > 0) {}
    Ok(())
}
