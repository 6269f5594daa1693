//! Waiting for descriptors.
//!
//! Source: poll(2).

use rustix::time::Timespec;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

pub use rustix::event::{PollFd, PollFlags};

/// Waits until something is ready or the time is over (`None`: no limit); interrupted calls count as nothing ready.
#[inline]
pub fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(|time| Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    match rustix::event::poll(fds, timeout.as_ref()) {
        Err(rustix::io::Errno::INTR) => Ok(0),
        other => Ok(other?),
    }
}

/// Whether the descriptor can be read (or has hung up) within the time.
pub fn readable(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    Ok(wait(&mut fds, Some(timeout))? > 0)
}
