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

/// A timer on the host's clock, as people read it: a clock that is set makes it expire at once, so that its owner looks again.
#[derive(Debug)]
pub struct WallTimer(OwnedFd);

impl WallTimer {
    pub fn new() -> io::Result<Self> {
        Ok(Self(rustix::time::timerfd_create(
            TimerfdClockId::Realtime,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?))
    }

    /// Expires when the clock shows so many seconds since the epoch; at once where it does already.
    pub fn set(&self, second: i64) -> io::Result<()> {
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        let moment = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            // Zero would stop it.
            it_value: Timespec {
                tv_sec: second.max(0),
                tv_nsec: 1,
            },
        };
        rustix::time::timerfd_settime(&self.0, flags, &moment)?;
        Ok(())
    }

    /// Makes it unreadable again, whatever it was that made it readable (ECANCELED: the clock was set).
    pub fn take(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for WallTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
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
