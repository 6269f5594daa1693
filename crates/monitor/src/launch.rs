//! How a run begins: on behalf of the command that executed us, or taken over from a monitor that was killed.

use crate::api::ApiSocket;
use crate::monitor::{Itself, Monitor, Stage};
use crate::run::Run;
use engine::channel::Channel;
use engine::container::record::{ContainerRecord, Lifecycle};
use engine::container::state::{Phase, RunState, State};
use engine::protocol::{Reply, Request, Streams};
use engine::timestamp::Timestamp;
use engine::{Context, Error, Result, events};
use std::os::fd::OwnedFd;
use sys::lock::FileLock;

#[inline(never)]
pub(crate) fn adopted(ctx: &Context, id: &str, command: &Channel) -> Option<Box<Monitor>> {
    match crate::adopt::adopt(ctx, id) {
        Ok(monitor) => {
            let _ = command.send(&Reply::Done, &[]);
            Some(Box::new(monitor))
        }
        Err(e) => {
            let _ = command.send(&failure(&e), &[]);
            None
        }
    }
}

/// `None`: there is nothing to watch over, and the command knows why.
#[inline(never)]
pub(crate) fn launched(ctx: &Context, id: &str, command: Channel) -> Option<Box<Monitor>> {
    let itself = Itself::know();
    if let Ok(itself) = &itself {
        itself.host.make_groups(ctx, id);
    }
    engine::container::birth::rehearse(ctx);
    // Said when the container is made; until then the command may give it up.
    let request = receive(&command).ok()?;
    match itself.and_then(|itself| prepare_launch(ctx, id, itself)) {
        // Held until it runs: of two commands that start it at once, the second finds it running.
        Ok((monitor, _lock)) => {
            let mut monitor = Box::new(monitor);
            monitor.launch(command, request).ok().map(|()| monitor)
        }
        Err(e) => {
            let _ = command.send(&failure(&e), &[]);
            None
        }
    }
}

/// What the command wants its part in the container's streams to be.
struct LaunchRequest {
    streams: Streams,
    size: Option<(u16, u16)>,
    fds: Vec<OwnedFd>,
}

fn receive(command: &Channel) -> Result<LaunchRequest> {
    let received = command
        .receive::<Request>()
        .map_err(Error::system("hear from the command"))?;
    match received {
        Some((Request::Launch { streams, size }, fds)) => Ok(LaunchRequest { streams, size, fds }),
        _ => Err(Error::Refused(
            "the command went away before the start".into(),
        )),
    }
}

fn prepare_launch(ctx: &Context, id: &str, itself: Itself) -> Result<(Monitor, FileLock)> {
    let lock = ContainerRecord::lock(ctx, id)?;
    if State::load(ctx, id)?.is_active() {
        return Err(Error::Refused("the container was started meanwhile".into()));
    }
    engine::sweep::sweep_held_run(ctx, id, &lock)?;
    let mut monitor = Monitor::prepare(ctx, id, itself)?;
    monitor.api = ApiSocket::open(ctx, &monitor.container)?;
    if Lifecycle::load(ctx, id)?.is_some_and(|last| last.running) {
        // Its last monitor did not end by itself: a power cut, or killed.
        let _ = monitor.log.repair();
    }
    Ok((monitor, lock))
}

/// An error as the command tells it: the whole chain, and Docker's exit code.
pub(crate) fn failure(error: &Error) -> Reply {
    let code = match error {
        Error::Runtime(e) => u8::try_from(e.exit_code()).unwrap_or(125),
        other => other.exit_code(),
    };
    Reply::Failed {
        message: chain(error),
        code,
    }
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

impl Monitor {
    /// The first start, on behalf of the command that executed us.
    fn launch(&mut self, command: Channel, request: LaunchRequest) -> Result<()> {
        let LaunchRequest { streams, size, fds } = request;
        let client = self.clients.add(command);
        self.clients.attach(client, streams, fds);
        match self.begin(size) {
            Ok(pid) => {
                self.answer(client, &Reply::Started { pid });
                if !streams.any() {
                    self.clients.remove(client);
                }
                Ok(())
            }
            Err(e) => {
                self.record_failed_start(&e);
                self.answer(client, &failure(&e));
                Err(e)
            }
        }
    }

    /// One run: makes it and writes down that it runs.
    pub(crate) fn begin(&mut self, size: Option<(u16, u16)>) -> Result<i32> {
        let run = Run::start(&self.ctx, &self.container, size, &self.host)?;
        let pid = run.process.pid;
        self.addresses = run.addresses();
        let lifecycle = Lifecycle {
            started_at: Some(run.started_at),
            running: true,
            restart_count: self.restart_count,
            addresses: self.addresses.clone(),
            ..Default::default()
        };
        self.phase = Stage::Running(Box::new(run));
        // In this order: see `State::load`.
        let written = self
            .save_state()
            .and_then(|()| lifecycle.save(&self.ctx, self.id(), self.lifecycle_durability()));
        if let Err(error) = written {
            // Nobody would find it again: better no process than one without a record.
            if let Stage::Running(mut run) = std::mem::replace(&mut self.phase, Stage::Ended) {
                run.signal(9);
                run.end(&self.ctx, None);
            }
            return Err(error);
        }
        events::emit_container(&self.ctx, "start", &self.container, &[]);
        Ok(pid)
    }

    /// What must survive a power cut: only what boot goes by.
    pub(crate) fn lifecycle_durability(&self) -> state::Durability {
        match self.container.spec.restart.condition {
            model::restart::RestartCondition::No => state::Durability::Volatile,
            _ => self.container.durability(),
        }
    }

    pub(crate) fn save_state(&self) -> Result<()> {
        let (phase, started_at, network) = match &self.phase {
            Stage::Running(run) => (run.phase(), run.started_at, run.network.clone()),
            _ => (Phase::Restarting, Timestamp::now(), None),
        };
        let state = RunState {
            monitor: self.own,
            phase,
            started_at,
            restart_count: self.restart_count,
            cgroup_parent: engine::container::birth::cgroup_parent(&self.ctx, &self.container),
            network,
        };
        state.save(&self.ctx, self.id())
    }

    fn record_failed_start(&self, error: &Error) {
        let code = match failure(error) {
            Reply::Failed { code, .. } => code,
            _ => 125,
        };
        let now = Timestamp::now();
        let failed = Lifecycle {
            finished_at: Some(now),
            exit_code: code,
            error: chain(error),
            ..Default::default()
        };
        let _ = engine::trash::discard(&self.ctx, &self.ctx.layout.run_container(self.id()));
        // As Docker: a container that never ran stays "created", with its error told by inspect.
        let never_ran = Lifecycle::load(&self.ctx, self.id())
            .is_ok_and(|l| l.is_none_or(|l| l.started_at.is_none()));
        if !never_ran {
            let _ = failed.save(&self.ctx, self.id(), state::Durability::Volatile);
        }
    }
}
