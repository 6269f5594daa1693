//! Health probes: a process in the container every so often, its exit code counted.
//!
//! Source: Docker CLI reference (`HEALTHCHECK`), moby `daemon/health.go`: the first probe comes one interval
//! after the start; failures within the start period do not count; within it the start interval holds.

use crate::interest::{Interest, Who};
use crate::launch::chain;
use engine::Context;
use engine::container::exec::Target;
use engine::container::record::ContainerRecord;
use engine::container::state::{HealthState, HealthStatus, Probe};
use engine::timestamp::Timestamp;
use model::health::{HealthTest, Healthcheck};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// Docker keeps this much of a probe's output, and this many probes.
const OUTPUT_MAX: usize = 4096;
const LOG_LENGTH: usize = 5;

/// The checking of one run.
#[derive(Debug)]
pub(crate) struct Checker {
    check: Healthcheck,
    state: HealthState,
    started: Instant,
    next: Instant,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    pidfd: OwnedFd,
    output: Option<OwnedFd>,
    collected: Vec<u8>,
    start: Timestamp,
    kill_at: Instant,
    killed: bool,
}

impl Checker {
    /// For a run that begins.
    pub(crate) fn new(ctx: &Context, container: &ContainerRecord) -> Option<Self> {
        let checker = Self::of(
            container.healthcheck.clone()?,
            HealthState::default(),
            Instant::now(),
        );
        let _ = checker.state.save(ctx, container.id.as_str());
        Some(checker)
    }

    /// For a run that began under another monitor: its probes still count.
    pub(crate) fn taken_over(
        ctx: &Context,
        container: &ContainerRecord,
        started: Instant,
    ) -> Option<Self> {
        let check = container.healthcheck.clone()?;
        let state = HealthState::load(ctx, container.id.as_str());
        Some(Self::of(
            check,
            state.ok().flatten().unwrap_or_default(),
            started,
        ))
    }

    fn of(check: Healthcheck, state: HealthState, started: Instant) -> Self {
        let mut checker = Self {
            check,
            state,
            started,
            next: Instant::now(),
            running: None,
        };
        checker.next += checker.interval();
        checker
    }

    fn start_period(&self) -> Duration {
        self.check.start_period.unwrap_or_default()
    }

    fn in_start_period(&self) -> bool {
        self.state.status == HealthStatus::Starting && self.started.elapsed() < self.start_period()
    }

    fn interval(&self) -> Duration {
        if self.in_start_period() {
            return self.check.start_interval.unwrap_or(START_INTERVAL);
        }
        self.check.interval.unwrap_or(INTERVAL)
    }

    fn timeout(&self) -> Duration {
        self.check.timeout.unwrap_or(TIMEOUT)
    }

    pub(crate) fn interest<'a>(&'a self, interest: &mut Interest<'a>) {
        match &self.running {
            None => interest.deadline(Some(self.next)),
            Some(running) => {
                interest.readable(running.pidfd.as_fd(), Who::Probe);
                if let Some(output) = &running.output {
                    interest.readable(output.as_fd(), Who::ProbeOutput);
                }
                interest.deadline((!running.killed).then_some(running.kill_at));
            }
        }
    }

    /// Starts the probe that is due, kills the one that takes too long. Gives the new status when one that
    /// could not even be started changed it.
    pub(crate) fn tick(
        &mut self,
        ctx: &Context,
        container: &ContainerRecord,
        target: &Target<'_>,
    ) -> Option<HealthStatus> {
        let now = Instant::now();
        match &mut self.running {
            None if now >= self.next => return self.start(ctx, container, target),
            Some(running) if now >= running.kill_at && !running.killed => {
                running.killed = true;
                let _ = sys::process::pidfd_send_signal(&running.pidfd, 9);
            }
            _ => {}
        }
        None
    }

    fn start(
        &mut self,
        ctx: &Context,
        container: &ContainerRecord,
        target: &Target<'_>,
    ) -> Option<HealthStatus> {
        let start = Timestamp::now();
        let args = match &self.check.test {
            HealthTest::Cmd(args) => args.clone(),
            HealthTest::Shell(command) => vec!["/bin/sh".into(), "-c".into(), command.clone()],
            HealthTest::Inherit | HealthTest::None => return None,
        };
        match engine::container::exec::probe(container, target, args) {
            Ok((pidfd, output)) => {
                self.running = Some(Running {
                    pidfd,
                    // One that cannot be read without waiting is not read.
                    output: sys::pipe::set_nonblocking(&output, true)
                        .ok()
                        .map(|()| output),
                    collected: Vec::new(),
                    start,
                    kill_at: Instant::now() + self.timeout(),
                    killed: false,
                });
                None
            }
            Err(e) => {
                let probe = Probe {
                    start,
                    end: Timestamp::now(),
                    exit_code: -1,
                    output: chain(&e),
                };
                self.conclude(ctx, container, probe)
            }
        }
    }

    /// Takes what the probe has written so far.
    pub(crate) fn read_output(&mut self, buffer: &mut [u8]) {
        if let Some(running) = &mut self.running {
            running.read(buffer);
        }
    }

    /// The probe has ended: counts it and gives the new status when it changed.
    pub(crate) fn finish(
        &mut self,
        ctx: &Context,
        container: &ContainerRecord,
        buffer: &mut [u8],
    ) -> Option<HealthStatus> {
        let mut running = self.running.take()?;
        // Its last words may have come together with its end.
        running.read(buffer);
        let (exit_code, output) = match sys::process::wait(&running.pidfd) {
            Ok(_) if running.killed => {
                let limit = model::duration::format(self.timeout());
                (-1, format!("Health check exceeded timeout ({limit})"))
            }
            Ok(status) => (
                status.code(),
                String::from_utf8_lossy(&running.collected).into_owned(),
            ),
            Err(e) => (-1, format!("cannot learn how the probe ended: {e}")),
        };
        let probe = Probe {
            start: running.start,
            end: Timestamp::now(),
            exit_code,
            output,
        };
        self.conclude(ctx, container, probe)
    }

    fn conclude(
        &mut self,
        ctx: &Context,
        container: &ContainerRecord,
        probe: Probe,
    ) -> Option<HealthStatus> {
        let before = self.state.status;
        self.count(probe);
        self.next = Instant::now() + self.interval();
        let _ = self.state.save(ctx, container.id.as_str());
        (self.state.status != before).then_some(self.state.status)
    }

    fn count(&mut self, probe: Probe) {
        if probe.exit_code == 0 {
            self.state.failing_streak = 0;
            self.state.status = HealthStatus::Healthy;
        } else if !self.in_start_period() {
            self.state.failing_streak += 1;
            if self.state.failing_streak >= self.check.retries.unwrap_or(RETRIES) {
                self.state.status = HealthStatus::Unhealthy;
            }
        }
        self.state.log.push(probe);
        if self.state.log.len() > LOG_LENGTH {
            self.state.log.remove(0);
        }
    }
}

impl Running {
    /// All that is there now; more than Docker keeps is read and dropped.
    fn read(&mut self, buffer: &mut [u8]) {
        while let Some(fd) = &self.output {
            match rustix::io::read(fd, &mut *buffer) {
                Ok(n) if n > 0 => {
                    let room = OUTPUT_MAX.saturating_sub(self.collected.len());
                    self.collected.extend_from_slice(&buffer[..n.min(room)]);
                    if room == 0 {
                        // A probe that never stops writing is stopped by its time limit, not read for ever here.
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                _ => self.output = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checker(check: Healthcheck, running_for: Duration) -> Checker {
        Checker::of(
            check,
            HealthState::default(),
            crate::run::before(running_for),
        )
    }

    fn check() -> Healthcheck {
        Healthcheck {
            test: HealthTest::Shell("true".into()),
            interval: None,
            timeout: None,
            start_period: None,
            start_interval: None,
            retries: Some(2),
        }
    }

    fn probe(exit_code: i32) -> Probe {
        let now = Timestamp::now();
        Probe {
            start: now,
            end: now,
            exit_code,
            output: String::new(),
        }
    }

    #[test]
    fn so_many_failures_in_a_row_make_it_unhealthy_and_one_success_healthy() {
        let mut checker = checker(check(), Duration::ZERO);
        checker.count(probe(1));
        assert_eq!(checker.state.status, HealthStatus::Starting);
        checker.count(probe(0));
        assert_eq!(checker.state.status, HealthStatus::Healthy);
        checker.count(probe(1));
        assert_eq!(checker.state.status, HealthStatus::Healthy, "one of two");
        checker.count(probe(-1));
        assert_eq!(checker.state.status, HealthStatus::Unhealthy);
        assert_eq!(checker.state.failing_streak, 2);
        checker.count(probe(0));
        assert_eq!(
            (checker.state.status, checker.state.failing_streak),
            (HealthStatus::Healthy, 0)
        );
    }

    #[test]
    fn failures_within_the_start_period_do_not_count_until_a_success_ends_it() {
        let period = Healthcheck {
            start_period: Some(Duration::from_secs(600)),
            start_interval: Some(Duration::from_secs(1)),
            ..check()
        };
        let mut starting = checker(period.clone(), Duration::ZERO);
        assert_eq!(starting.interval(), Duration::from_secs(1));
        for _ in 0..5 {
            starting.count(probe(1));
        }
        assert_eq!(
            (starting.state.status, starting.state.failing_streak),
            (HealthStatus::Starting, 0)
        );
        starting.count(probe(0));
        assert_eq!(starting.interval(), INTERVAL, "healthy: the period is over");
        starting.count(probe(1));
        assert_eq!(starting.state.failing_streak, 1);
        let late = checker(period, Duration::from_secs(601));
        assert_eq!(late.interval(), INTERVAL);
    }

    #[test]
    fn the_last_five_probes_are_kept() {
        let mut checker = checker(check(), Duration::ZERO);
        for code in 0..8 {
            checker.count(probe(code));
        }
        let codes: Vec<i32> = checker.state.log.iter().map(|p| p.exit_code).collect();
        assert_eq!(codes, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn output_is_cut_and_read_to_its_end() {
        let (read, write) = sys::pipe::new().unwrap();
        sys::pipe::set_nonblocking(&read, true).unwrap();
        rustix::io::write(&write, &[b'x'; OUTPUT_MAX + 100]).unwrap();
        drop(write);
        let mut running = Running {
            pidfd: sys::process::pidfd_open(1).unwrap(),
            output: Some(read),
            collected: Vec::new(),
            start: Timestamp::now(),
            kill_at: Instant::now(),
            killed: false,
        };
        running.read(&mut [0; 1000]);
        running.read(&mut [0; 1000]);
        assert_eq!(running.collected.len(), OUTPUT_MAX);
        assert!(running.output.is_none());
    }
}
