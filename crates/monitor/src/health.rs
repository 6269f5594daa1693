//! Health probes: a process in the container every so often, its exit code counted.
//!
//! Source: Docker CLI reference (`HEALTHCHECK`), moby `daemon/health.go`: the first probe comes one interval
//! after the start; failures within the start period do not count; within it the start interval holds.

use crate::interest::{Interest, Who};
use engine::Context;
use engine::container::exec::Target;
use engine::container::record::ContainerRecord;
use engine::container::state::{HealthState, HealthStatus, Probe};
use engine::timestamp::Timestamp;
use model::health::{HealthTest, Healthcheck};
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
    pub(crate) fn new(ctx: &Context, container: &ContainerRecord) -> Option<Self> {
        let check = container.healthcheck.clone()?;
        let state = HealthState::default();
        let _ = state.save(ctx, container.id.as_str());
        let now = Instant::now();
        let mut checker = Self {
            check,
            state,
            started: now,
            next: now,
            running: None,
        };
        checker.next = now + checker.interval();
        Some(checker)
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

    /// Starts the probe that is due, kills the one that takes too long.
    pub(crate) fn tick(&mut self, container: &ContainerRecord, target: &Target<'_>) {
        let now = Instant::now();
        match &mut self.running {
            None if now >= self.next => self.start(container, target),
            Some(running) if now >= running.kill_at && !running.killed => {
                running.killed = true;
                let _ = sys::process::pidfd_send_signal(&running.pidfd, 9);
            }
            _ => {}
        }
    }

    fn start(&mut self, container: &ContainerRecord, target: &Target<'_>) {
        let start = Timestamp::now();
        let args = match &self.check.test {
            HealthTest::Cmd(args) => args.clone(),
            HealthTest::Shell(command) => vec!["/bin/sh".into(), "-c".into(), command.clone()],
            HealthTest::Inherit | HealthTest::None => return,
        };
        match engine::container::exec::probe(container, target, args) {
            Ok((pidfd, output)) => {
                let kill_at = Instant::now() + self.check.timeout.unwrap_or(TIMEOUT);
                let collected = Vec::new();
                self.running = Some(Running {
                    pidfd,
                    output: Some(output),
                    collected,
                    start,
                    kill_at,
                    killed: false,
                });
            }
            Err(e) => {
                self.next = Instant::now() + self.interval();
                let probe = Probe {
                    start,
                    end: Timestamp::now(),
                    exit_code: -1,
                    output: error_text(&e),
                };
                self.count(probe);
            }
        }
    }

    pub(crate) fn read_output(&mut self, buffer: &mut [u8]) {
        let Some(running) = &mut self.running else {
            return;
        };
        let Some(fd) = &running.output else { return };
        match rustix::io::read(fd, &mut *buffer) {
            Ok(0) | Err(_) => running.output = None,
            Ok(n) => {
                let room = OUTPUT_MAX.saturating_sub(running.collected.len());
                running.collected.extend_from_slice(&buffer[..n.min(room)]);
            }
        }
    }

    /// The probe has ended: counts it and gives the new status when it changed.
    pub(crate) fn finish(
        &mut self,
        ctx: &Context,
        container: &ContainerRecord,
    ) -> Option<HealthStatus> {
        let running = self.running.take()?;
        let status = sys::process::wait(&running.pidfd).ok()?;
        let timeout = self.check.timeout.unwrap_or(TIMEOUT);
        let (exit_code, output) = if running.killed {
            (
                -1,
                format!(
                    "Health check exceeded timeout ({})",
                    model::duration::format(timeout)
                ),
            )
        } else {
            (
                status.code(),
                String::from_utf8_lossy(&running.collected).into_owned(),
            )
        };
        let before = self.state.status;
        self.count(Probe {
            start: running.start,
            end: Timestamp::now(),
            exit_code,
            output,
        });
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

fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
