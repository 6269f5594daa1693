//! Timers as descriptors, on the clock that does not stop for suspend nor jump with the wall clock.
//!
//! Source: timerfd_create(2).

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A timer that becomes readable when it expires.
#[derive(Debug)]
pub struct Timer(OwnedFd);

impl Timer {
    /// A timer that is not running.
    pub fn new() -> io::Result<Self> {
        Ok(Self(rustix::time::timerfd_create(
            TimerfdClockId::Boottime,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?))
    }

    /// Expires once after `delay` (at once for zero).
    pub fn set(&self, delay: Duration) -> io::Result<()> {
        self.arm(
            timespec(delay.max(Duration::from_nanos(1))),
            timespec(Duration::ZERO),
        )
    }

    /// Expires every `interval`.
    pub fn set_interval(&self, interval: Duration) -> io::Result<()> {
        let interval = timespec(interval.max(Duration::from_nanos(1)));
        self.arm(interval, interval)
    }

    pub fn stop(&self) -> io::Result<()> {
        self.arm(timespec(Duration::ZERO), timespec(Duration::ZERO))
    }

    /// How often it expired since the last call.
    pub fn take(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        match rustix::io::read(&self.0, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(rustix::io::Errno::AGAIN) => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    fn arm(&self, it_value: Timespec, it_interval: Timespec) -> io::Result<()> {
        rustix::time::timerfd_settime(
            &self.0,
            TimerfdTimerFlags::empty(),
            &Itimerspec {
                it_interval,
                it_value,
            },
        )?;
        Ok(())
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
