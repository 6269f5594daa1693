//! The live state of one container: a record in the run root, believed only as far as the kernel agrees.
//!
//! ```text
//! <run>/containers/<id>/
//!   state.json        RunState, written by the monitor alone
//!   health.json       HealthState, written by the monitor alone
//!   monitor.sock      requests to the monitor (SOCK_SEQPACKET, 0600)
//!   stdin stdout stderr   FIFOs of a container without a terminal
//! ```
//!
//! A pid is believed only together with its start time; a record whose process is gone means the container
//! has exited, whatever the record says.

use super::record::Lifecycle;
use crate::context::Context;
use crate::error::Result;
use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use state::record;
use std::path::PathBuf;

/// A process that is still the one it was when it was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    pub pid: i32,
    /// Clock ticks since boot, field 22 of proc_pid_stat(5).
    pub start_time: u64,
}

impl ProcessRef {
    pub fn is_alive(self) -> bool {
        sys::process::is_running(self.pid, self.start_time)
    }

    /// Whether it still does anything: one that was killed may have layers to unmount.
    pub fn is_acting(self) -> bool {
        sys::process::is_acting(self.pid, self.start_time)
    }

    pub fn current() -> std::io::Result<Self> {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        Ok(Self {
            pid,
            start_time: sys::process::start_time(pid)?,
        })
    }
}

/// What the monitor says of its container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    pub monitor: ProcessRef,
    pub phase: Phase,
    pub started_at: Timestamp,
    pub restart_count: u32,
    /// The cgroup above the container's own, which is named by the id.
    pub cgroup_parent: String,
    /// What `network` set up, for teardown and inspection.
    pub network: Option<network::Attached>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub enum Phase {
    Starting,
    Running {
        process: ProcessRef,
    },
    Paused {
        process: ProcessRef,
    },
    /// Between two runs, by the restart policy.
    Restarting,
}

/// Docker's health of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthState {
    pub status: HealthStatus,
    pub failing_streak: u32,
    /// The last five probes.
    pub log: Vec<Probe>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl HealthStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub start: Timestamp,
    pub end: Timestamp,
    pub exit_code: i32,
    pub output: String,
}

/// The state of a container as Docker tells it.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    Created,
    Running {
        process: ProcessRef,
        run: Box<RunState>,
        health: Option<HealthState>,
    },
    Paused {
        process: ProcessRef,
        run: Box<RunState>,
        health: Option<HealthState>,
    },
    Restarting {
        run: Box<RunState>,
        last: Lifecycle,
    },
    Exited(Lifecycle),
}

impl State {
    /// Docker's word: `created`, `running`, `paused`, `restarting`, `exited`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Restarting { .. } => "restarting",
            Self::Exited(_) => "exited",
        }
    }

    /// The first process, when there is one.
    pub fn process(&self) -> Option<ProcessRef> {
        match self {
            Self::Running { process, .. } | Self::Paused { process, .. } => Some(*process),
            _ => None,
        }
    }

    pub fn run(&self) -> Option<&RunState> {
        match self {
            Self::Running { run, .. } | Self::Paused { run, .. } | Self::Restarting { run, .. } => {
                Some(run)
            }
            _ => None,
        }
    }

    pub fn health(&self) -> Option<&HealthState> {
        match self {
            Self::Running { health, .. } | Self::Paused { health, .. } => health.as_ref(),
            _ => None,
        }
    }

    pub fn is_active(&self) -> bool {
        matches!(
            self,
            Self::Running { .. } | Self::Paused { .. } | Self::Restarting { .. }
        )
    }

    /// Reads what the run root says and checks it against the kernel.
    ///
    /// Two records make up the picture, and a monitor may change both meanwhile. It writes how a run ended before it
    /// takes its state away, and that one runs before anything else; so the state is read first, and what could be
    /// half of two pictures is looked at again.
    pub fn load(ctx: &Context, id: &str) -> Result<Self> {
        loop {
            let run = RunState::load(ctx, id)?;
            if let Some(run) = &run
                && let Some(state) = Self::with_process(ctx, id, run)?
            {
                return Ok(state);
            }
            let last = Lifecycle::load(ctx, id)?;
            let settled = last.as_ref().is_none_or(|l| !l.running);
            if settled || (RunState::load(ctx, id)? == run && Lifecycle::load(ctx, id)? == last) {
                return Ok(Self::without_process(run, last));
            }
        }
    }

    /// `Running` or `Paused`, when that is what it is.
    fn with_process(ctx: &Context, id: &str, run: &RunState) -> Result<Option<Self>> {
        // A process that has ended while its monitor lives is about to be written down; until then it runs.
        let alive = |process: ProcessRef| process.is_alive() || run.monitor.is_alive();
        let boxed = || Box::new(run.clone());
        Ok(match run.phase {
            Phase::Running { process } if alive(process) => Some(Self::Running {
                process,
                run: boxed(),
                health: HealthState::load(ctx, id)?,
            }),
            Phase::Paused { process } if alive(process) => Some(Self::Paused {
                process,
                run: boxed(),
                health: HealthState::load(ctx, id)?,
            }),
            _ => None,
        })
    }

    fn without_process(run: Option<RunState>, last: Option<Lifecycle>) -> Self {
        match (run, last) {
            (Some(run), last) if run.phase == Phase::Restarting && run.monitor.is_alive() => {
                Self::Restarting {
                    run: Box::new(run),
                    last: last.unwrap_or_default(),
                }
            }
            (_, None) => Self::Created,
            // Marked running, but nothing runs: the host went down, or all was killed at once.
            (_, Some(last)) if last.running => Self::Exited(Lifecycle {
                exit_code: 255,
                running: false,
                ..last
            }),
            (_, Some(last)) => Self::Exited(last),
        }
    }
}

impl RunState {
    pub fn path(ctx: &Context, id: &str) -> PathBuf {
        ctx.layout.run_container(id).join("state.json")
    }

    pub fn load(ctx: &Context, id: &str) -> Result<Option<Self>> {
        Ok(record::read(&Self::path(ctx, id))?)
    }

    pub fn save(&self, ctx: &Context, id: &str) -> Result<()> {
        Ok(record::write(
            &Self::path(ctx, id),
            self,
            state::Durability::Volatile,
        )?)
    }
}

impl HealthState {
    pub fn path(ctx: &Context, id: &str) -> PathBuf {
        ctx.layout.run_container(id).join("health.json")
    }

    pub fn load(ctx: &Context, id: &str) -> Result<Option<Self>> {
        Ok(record::read(&Self::path(ctx, id))?)
    }

    pub fn save(&self, ctx: &Context, id: &str) -> Result<()> {
        Ok(record::write(
            &Self::path(ctx, id),
            self,
            state::Durability::Volatile,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn nobody_sees_half_of_a_start_or_of_an_end() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let id = web.id.as_str();
        let ours = ProcessRef::current().unwrap();
        let run = RunState {
            monitor: ours,
            phase: Phase::Running { process: ours },
            started_at: Timestamp::now(),
            restart_count: 0,
            cgroup_parent: "dockless-none".into(),
            network: None,
        };
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let volatile = state::Durability::Volatile;
                for code in 0..100 {
                    // As a monitor does it.
                    std::fs::create_dir(ctx.layout.run_container(id)).unwrap();
                    run.save(&ctx, id).unwrap();
                    let mut lifecycle = Lifecycle {
                        started_at: Some(Timestamp::now()),
                        running: true,
                        ..Default::default()
                    };
                    lifecycle.save(&ctx, id, volatile).unwrap();
                    (lifecycle.running, lifecycle.exit_code) = (false, code);
                    lifecycle.save(&ctx, id, volatile).unwrap();
                    crate::trash::discard(&ctx, &ctx.layout.run_container(id)).unwrap();
                }
                over.store(true, Ordering::Relaxed);
            });
            while !over.load(Ordering::Relaxed) {
                match State::load(&ctx, id).unwrap() {
                    State::Exited(last) => assert!(last.exit_code < 100, "{last:?}"),
                    State::Running { .. } | State::Created => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
}
