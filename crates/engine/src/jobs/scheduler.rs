//! Who keeps time for the jobs that have schedules: `dockless scheduler <data root> <run root>`, one for a data root.
//!
//! It sleeps until a job is due, a record changes or the host's clock is set, and ends when no schedule is left. It decides nothing
//! that is not in the records: killed, it is started by the next command that looks after jobs, or by `boot`, and makes up for what
//! it missed as each job says. Source: timerfd_create(2), inotify(7).

use super::{JobRecord, change, run};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use model::schedule::MissedFires;
use rustix::fs::inotify;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use sys::lock::FileLock;
use sys::poll::{PollFd, PollFlags};
use sys::process::Child;
use sys::timer::WallTimer;

/// The role's name.
pub const ROLE: &str = "scheduler";

/// The whole life of the role.
pub fn role_main(arguments: &[OsString]) -> u8 {
    sys::signal::started_with_defaults();
    let opened = Context::of_role(arguments);
    u8::from(opened.and_then(|ctx| keep_time(&ctx)).is_err())
}

/// Sees to it that somebody keeps time where there are schedules.
pub fn ensure(ctx: &Context) -> Result<()> {
    if !has_schedules(ctx)? || take_lock(ctx)?.is_none() {
        return Ok(());
    }
    let role = sys::role::Role {
        argv: ctx.role_arguments(ROLE, &[])?,
        ..sys::role::Role::default()
    };
    sys::role::spawn(&role)
        .map(sys::reaper::leave)
        .map_err(Error::system("start the scheduler of jobs"))
}

/// `None`: somebody keeps time.
fn take_lock(ctx: &Context) -> Result<Option<FileLock>> {
    let path = ctx.layout.locks().join("scheduler");
    FileLock::try_exclusive(&path).map_err(Error::file("lock", path))
}

fn has_schedules(ctx: &Context) -> Result<bool> {
    Ok(JobRecord::list(ctx)?
        .iter()
        .any(|job| job.next_fire().is_some()))
}

fn keep_time(ctx: &Context) -> Result<()> {
    let since = Timestamp::now();
    while let Some(lock) = take_lock(ctx)? {
        Watchman::new(ctx, since)?.stand()?;
        drop(lock);
        // Whoever registered a job meanwhile found the lock held, and relied on it.
        if !has_schedules(ctx)? {
            break;
        }
    }
    Ok(())
}

struct Watchman<'a> {
    ctx: &'a Context,
    /// What was due before is missed.
    since: Timestamp,
    changes: OwnedFd,
    timer: WallTimer,
    runs: Vec<Child>,
}

impl<'a> Watchman<'a> {
    fn new(ctx: &'a Context, since: Timestamp) -> Result<Self> {
        let directory = ctx.layout.jobs();
        let failed = || Error::file("watch", directory.clone());
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(|e| failed()(e.into()))?;
        let flags = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::DELETE;
        inotify::add_watch(&changes, &directory, flags).map_err(|e| failed()(e.into()))?;
        Ok(Self {
            ctx,
            since,
            changes,
            timer: WallTimer::new().map_err(Error::system("make a timer"))?,
            runs: Vec::new(),
        })
    }

    /// Until there is no schedule any more. Runs that go on need nobody.
    fn stand(&mut self) -> Result<()> {
        loop {
            self.runs
                .retain(|run| matches!(sys::process::try_wait(&run.pidfd), Ok(None)));
            let Some(next) = self.fire_what_is_due()? else {
                return Ok(());
            };
            self.timer
                .set(next.seconds())
                .map_err(Error::system("set a timer"))?;
            self.sleep()?;
        }
    }

    /// When something is due next.
    fn fire_what_is_due(&mut self) -> Result<Option<Timestamp>> {
        let mut next: Option<Timestamp> = None;
        for mut job in JobRecord::list(self.ctx)? {
            let Some(mut due) = job.next_fire() else {
                continue;
            };
            let now = Timestamp::now();
            if due <= now {
                // Written down before anything is done: killed in between it is done once less, not twice.
                change(self.ctx, &job.name, |job| job.last_fire = Some(now))?;
                job.last_fire = Some(now);
                let missed = job.schedule.as_ref().and_then(|s| s.missed_fires);
                let forgone = due < self.since && missed == Some(MissedFires::Skip);
                if !forgone {
                    // One that cannot be started now is due again the next time.
                    self.runs.extend(run::fire(self.ctx, &job.name).ok());
                }
                match job.next_fire() {
                    Some(later) => due = later,
                    None => continue,
                }
            }
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        Ok(next)
    }

    fn sleep(&self) -> Result<()> {
        let mut fds = vec![
            PollFd::new(&self.changes, PollFlags::IN),
            PollFd::from_borrowed_fd(self.timer.as_fd(), PollFlags::IN),
        ];
        fds.extend(
            self.runs
                .iter()
                .map(|run| PollFd::new(&run.pidfd, PollFlags::IN)),
        );
        sys::poll::wait(&mut fds, None).map_err(Error::system("wait for the time"))?;
        drop(fds);
        self.timer.take();
        let mut buffer = [0u8; 4096];
        while rustix::io::read(&self.changes, &mut buffer).is_ok_and(|n| n > 0) {}
        Ok(())
    }
}
