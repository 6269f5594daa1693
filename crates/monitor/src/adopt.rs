//! Adoption: the monitor was killed, its container runs on, and a new monitor takes its place.
//!
//! The container is found by its recorded pid and start time, its output by the FIFOs' names. A terminal cannot be
//! taken over: its master died with the last monitor and the container got a hangup.

use crate::api::ApiSocket;
use crate::health::Checker;
use crate::monitor::{Itself, Monitor, Stage};
use crate::output::Output;
use crate::run::{self, Adopted, Run};
use engine::container::external::External;
use engine::container::hooks::Hooked;
use engine::container::record::ContainerRecord;
use engine::container::state::{Phase, ProcessRef, RunState};
use engine::{Context, Error, Result};
use rustix::fs::{Mode, OFlags};
use std::os::fd::OwnedFd;
use sys::process::PidfdNamespace;

pub(crate) fn adopt(ctx: &Context, id: &str) -> Result<Monitor> {
    let _lock = ContainerRecord::lock(ctx, id)?;
    let state = RunState::load(ctx, id)?;
    let not_running = || Error::NotRunning(id.to_owned());
    let state = state.ok_or_else(not_running)?;
    if state.monitor.is_acting() {
        return Err(Error::Refused("its monitor is alive".into()));
    }
    let (process, paused) = match state.phase {
        Phase::Running { process } => (process, false),
        Phase::Paused { process } => (process, true),
        Phase::Starting | Phase::Restarting => return Err(not_running()),
    };
    let mut monitor = Monitor::prepare(ctx, id, Itself::know()?)?;
    let _ = monitor.log.repair();
    let pidfd = sys::process::pidfd_open_verified(process.pid, process.start_time)
        .map_err(|_| not_running())?;
    let netns = match &state.network {
        Some(_) => network_namespace(&pidfd, process),
        None => None,
    };
    let mut run = Run::adopted(Adopted {
        process,
        pidfd,
        output: Output::reopen(&ctx.layout.run_container(id)),
        cgroup: runtime::Cgroup::open(&state.cgroup_parent, id)?,
        external: External::of(ctx, &monitor.container),
        hooked: Hooked::taken_over(ctx, &monitor.container),
        health: Checker::taken_over(
            ctx,
            &monitor.container,
            run::before(state.started_at.elapsed()),
        ),
        network: state.network,
        netns,
        started_at: state.started_at,
        paused,
    });
    let container = monitor.container.clone();
    // Without it the container still runs.
    monitor.api = ApiSocket::taken_over(ctx, &container, process.pid)
        .ok()
        .flatten();
    run.open_dns(ctx, &container);
    monitor.restart_count = state.restart_count;
    monitor.addresses = run.addresses();
    monitor.phase = Stage::Running(Box::new(run));
    monitor.save_state()?;
    Ok(monitor)
}

fn network_namespace(pidfd: &OwnedFd, process: ProcessRef) -> Option<OwnedFd> {
    if let Ok(netns) = sys::process::pidfd_namespace(pidfd, PidfdNamespace::Net) {
        return Some(netns);
    }
    // Before Linux 6.11: by number, and then made sure that it was still that process.
    let path = format!("/proc/{}/ns/net", process.pid);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let netns = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    process.is_alive().then_some(netns)
}
