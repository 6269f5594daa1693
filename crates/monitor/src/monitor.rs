//! The loop: waits, and hands each thing that happened to whom it concerns.

use crate::clients::Clients;
use crate::interest::{Interest, Who};
use crate::output::{BUFFER, Output, Taken};
use crate::restart::{self, Attempts, Ended};
use crate::run::Run;
use engine::Context;
use engine::channel::{self, Channel};
use engine::container::record::{ContainerRecord, Lifecycle};
use engine::container::state::{HealthStatus, Phase, ProcessRef, RunState, State};
use engine::logs::{Settings, Writer};
use engine::protocol::{Reply, Request};
use engine::timestamp::Timestamp;
use engine::{Error, Result, events};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use sys::lock::FileLock;

/// One container's monitor.
pub(crate) struct Monitor {
    pub(crate) ctx: Context,
    pub(crate) container: ContainerRecord,
    pub(crate) own: ProcessRef,
    pub(crate) listener: OwnedFd,
    pub(crate) clients: Clients,
    pub(crate) log: Writer,
    pub(crate) phase: Stage,
    pub(crate) attempts: Attempts,
    pub(crate) restart_count: u32,
    /// Somebody asked for the end: the restart policy keeps still.
    pub(crate) stopped_by_user: bool,
    pub(crate) last_code: u8,
    /// Clients (by id) that wait for the end of the run.
    pub(crate) waiting: Vec<u64>,
    buffer: Vec<u8>,
}

/// What the monitor is doing.
pub(crate) enum Stage {
    Running(Box<Run>),
    /// By the restart policy, at this time.
    Waiting {
        until: Instant,
    },
    /// For good; only clients that have not read all keep the monitor.
    Ended,
}

/// The monitor from its first to its last step.
pub(crate) fn main(ctx: &Context, id: &str, command: Channel, adopting: bool) -> ExitCode {
    let monitor = if adopting {
        adopted(ctx, id, &command)
    } else {
        launched(ctx, id, command)
    };
    let Some(mut monitor) = monitor else {
        return ExitCode::from(125);
    };
    match monitor.run_loop() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(125),
    }
}

fn adopted(ctx: &Context, id: &str, command: &Channel) -> Option<Monitor> {
    match crate::adopt::adopt(ctx, id) {
        Ok(monitor) => {
            let _ = command.send(&Reply::Done, &[]);
            Some(monitor)
        }
        Err(e) => {
            let _ = command.send(&failure(&e), &[]);
            None
        }
    }
}

/// `None`: there is nothing to watch over, and the command knows why.
fn launched(ctx: &Context, id: &str, command: Channel) -> Option<Monitor> {
    match prepare_launch(ctx, id) {
        // Held until it runs: of two commands that start it at once, the second finds it running.
        Ok((mut monitor, _lock)) => monitor.launch(command).ok().map(|()| monitor),
        Err(e) => {
            let _ = command.send(&failure(&e), &[]);
            None
        }
    }
}

fn prepare_launch(ctx: &Context, id: &str) -> Result<(Monitor, FileLock)> {
    let lock = ContainerRecord::lock(ctx, id)?;
    if State::load(ctx, id)?.is_active() {
        return Err(Error::Refused("the container was started meanwhile".into()));
    }
    engine::sweep::sweep_run(ctx, id)?;
    Ok((Monitor::prepare(ctx, id)?, lock))
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
    /// Everything a monitor needs before its first run.
    pub(crate) fn prepare(ctx: &Context, id: &str) -> Result<Self> {
        let container =
            ContainerRecord::load(ctx, id)?.ok_or_else(|| Error::NoSuchContainer(id.to_owned()))?;
        let dir = ctx.layout.run_container(id);
        std::fs::DirBuilder::new()
            .recursive(true)
            .create(&dir)
            .map_err(Error::file("create", &dir))?;
        let settings = Settings::parse(&container.spec.log)?;
        let log = Writer::open(&engine::logs::directory(ctx, &container), settings)?;
        let listener = channel::listen(&dir).map_err(Error::file("listen in", &dir))?;
        Ok(Self {
            ctx: ctx.clone(),
            own: ProcessRef::current().map_err(Error::system("read own start time"))?,
            container,
            listener,
            clients: Clients::default(),
            log,
            phase: Stage::Ended,
            attempts: Attempts::default(),
            restart_count: 0,
            stopped_by_user: false,
            last_code: 0,
            waiting: Vec::new(),
            buffer: vec![0; BUFFER],
        })
    }

    pub(crate) fn id(&self) -> &str {
        self.container.id.as_str()
    }

    /// The first start, on behalf of the command that executed us.
    fn launch(&mut self, command: Channel) -> Result<()> {
        let received = command
            .receive::<Request>()
            .map_err(Error::system("hear from the command"))?;
        let Some((Request::Launch { streams, size }, fds)) = received else {
            return Err(Error::Refused(
                "the command went away before the start".into(),
            ));
        };
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
        let run = Run::start(&self.ctx, &self.container, size)?;
        let pid = run.process.pid;
        let lifecycle = Lifecycle {
            started_at: Some(run.started_at),
            running: true,
            restart_count: self.restart_count,
            ..Default::default()
        };
        lifecycle.save(&self.ctx, self.id(), self.lifecycle_durability())?;
        self.phase = Stage::Running(Box::new(run));
        self.save_state()?;
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
        let _ = std::fs::remove_dir_all(self.ctx.layout.run_container(self.id()));
        // As Docker: a container that never ran stays "created", with its error told by inspect.
        let never_ran = Lifecycle::load(&self.ctx, self.id())
            .is_ok_and(|l| l.is_none_or(|l| l.started_at.is_none()));
        if !never_ran {
            let _ = failed.save(&self.ctx, self.id(), state::Durability::Volatile);
        }
    }

    pub(crate) fn answer(&mut self, client: u64, reply: &Reply) {
        if let Some(client) = self.clients.get(client) {
            let _ = client.channel.send(reply, &[]);
        }
    }

    fn run_loop(&mut self) -> Result<()> {
        while !self.is_done() {
            for who in self
                .interest()
                .wait()
                .map_err(Error::system("wait for the container"))?
            {
                self.handle(who);
            }
            self.tick();
        }
        Ok(())
    }

    fn is_done(&mut self) -> bool {
        if !matches!(self.phase, Stage::Ended) {
            return false;
        }
        self.clients.dismiss_drained(self.last_code);
        self.clients.is_empty()
    }

    fn interest(&self) -> Interest<'_> {
        let mut interest = Interest::default();
        if !matches!(self.phase, Stage::Ended) {
            interest.readable(self.listener.as_fd(), Who::Listener);
        }
        let mut takes_input = false;
        match &self.phase {
            Stage::Running(run) => {
                takes_input = run.output.takes_input();
                run.interest(&mut interest, !self.clients.are_behind());
            }
            Stage::Waiting { until } => interest.deadline(Some(*until)),
            Stage::Ended => {}
        }
        self.clients.interest(&mut interest, takes_input);
        interest
    }

    fn handle(&mut self, who: Who) {
        match who {
            Who::Output(slot) => {
                self.copy_output(slot);
            }
            Who::Input => self.with_output(Output::push_input),
            Who::Process => self.process_ended(),
            Who::Listener => self.accept(),
            Who::Channel(id) => self.hear(id),
            Who::ClientInput(id) => self.copy_input(id),
            Who::ClientOutput(id) => self.clients.flush(id),
            Who::Dns(key) => {
                if let Stage::Running(run) = &mut self.phase {
                    run.answer_dns(key);
                }
            }
            Who::Probe => self.probe_ended(),
            Who::ProbeOutput => {
                if let Stage::Running(run) = &mut self.phase
                    && let Some(health) = &mut run.health
                {
                    health.read_output(&mut self.buffer);
                }
            }
        }
    }

    fn with_output(&mut self, act: impl FnOnce(&mut Output)) {
        if let Stage::Running(run) = &mut self.phase {
            act(&mut run.output);
        }
    }

    /// One read from the container: to the log, and to whoever is attached.
    fn copy_output(&mut self, slot: usize) -> bool {
        let Stage::Running(run) = &mut self.phase else {
            return false;
        };
        match run.output.take(slot, &mut self.buffer) {
            Taken::Bytes(stream, length) => {
                let bytes = &self.buffer[..length];
                // A full disk loses the log, never the container.
                let _ = self.log.write(stream, bytes);
                self.clients.output(stream, bytes);
                true
            }
            Taken::Nothing | Taken::End => false,
        }
    }

    fn copy_input(&mut self, id: u64) {
        let Stage::Running(run) = &mut self.phase else {
            return;
        };
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let Some(input) = &client.input else { return };
        match rustix::io::read(input, &mut self.buffer) {
            Ok(n) if n > 0 => run.output.feed(&self.buffer[..n]),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            _ => {
                client.input = None;
                if self.container.spec.stdin_once {
                    run.output.end_input();
                }
            }
        }
    }

    fn probe_ended(&mut self) {
        let Stage::Running(run) = &mut self.phase else {
            return;
        };
        let Some(health) = &mut run.health else {
            return;
        };
        let Some(status) = health.finish(&self.ctx, &self.container) else {
            return;
        };
        // Of replicas that share a port, the unhealthy one gets no new connections.
        let serves = status != HealthStatus::Unhealthy;
        let _ = network::set_serving(&self.ctx.layout, self.container.id.as_str(), serves);
        let action = format!("health_status: {}", status.as_str());
        events::emit_container(&self.ctx, &action, &self.container, &[]);
        if status == HealthStatus::Unhealthy
            && self
                .container
                .labels
                .get("autoheal")
                .is_some_and(|v| v == "true")
        {
            run.stop(9, Duration::ZERO);
        }
    }

    /// What is due by the clock.
    fn tick(&mut self) {
        match &mut self.phase {
            Stage::Running(run) => run.tick(&self.container),
            Stage::Waiting { until } if Instant::now() >= *until => self.restart(),
            _ => {}
        }
    }

    fn process_ended(&mut self) {
        // All output first: the exit is told after the last byte.
        while !self.clients.are_behind() && (self.copy_output(0) || self.copy_output(1)) {}
        let Stage::Running(run) = &mut self.phase else {
            return;
        };
        if self.clients.are_behind() && run.still_has_output() {
            return;
        }
        let Stage::Running(run) = std::mem::replace(&mut self.phase, Stage::Ended) else {
            return;
        };
        let lasted = run.lasted();
        let over = run.end(&self.ctx);
        let _ = self.log.finish();
        self.last_code = over.exit_code;
        let lifecycle = Lifecycle {
            started_at: Some(over.started_at),
            finished_at: Some(Timestamp::now()),
            exit_code: over.exit_code,
            oom_killed: over.oom_killed,
            restart_count: self.restart_count,
            stopped_by_user: self.stopped_by_user,
            ..Default::default()
        };
        if over.oom_killed {
            events::emit_container(&self.ctx, "oom", &self.container, &[]);
        }
        let ended = Ended {
            exit_code: over.exit_code,
            lasted,
            stopped_by_user: self.stopped_by_user,
        };
        let next = restart::decide(&self.container.spec.restart, &mut self.attempts, ended);
        let code = over.exit_code.to_string();
        match next {
            Some(delay) => self.wait_for_restart(delay, &lifecycle),
            None => self.end_for_good(&lifecycle),
        }
        events::emit_container(&self.ctx, "die", &self.container, &[("exitCode", code)]);
        if self.stopped_by_user {
            events::emit_container(&self.ctx, "stop", &self.container, &[]);
        }
        self.tell_waiting();
    }

    fn wait_for_restart(&mut self, delay: Duration, lifecycle: &Lifecycle) {
        let running = Lifecycle {
            running: true,
            ..lifecycle.clone()
        };
        let _ = running.save(&self.ctx, self.id(), state::Durability::Volatile);
        self.phase = Stage::Waiting {
            until: Instant::now() + delay,
        };
        let _ = self.save_state();
    }

    fn restart(&mut self) {
        self.restart_count += 1;
        // The record may have changed meanwhile (update, rename, networks).
        if let Ok(Some(fresh)) = ContainerRecord::load(&self.ctx, self.id()) {
            self.container = fresh;
        }
        if let Err(e) = self.begin(None) {
            let ended = Ended {
                exit_code: 125,
                lasted: Duration::ZERO,
                stopped_by_user: false,
            };
            let now = Some(Timestamp::now());
            let failed = Lifecycle {
                finished_at: now,
                exit_code: 125,
                error: chain(&e),
                ..Default::default()
            };
            // A start that fails (a device or mount that is not there yet) is tried again like a run that failed.
            match restart::decide(&self.container.spec.restart, &mut self.attempts, ended) {
                Some(delay) => self.wait_for_restart(delay, &failed),
                None => self.end_for_good(&failed),
            }
        }
    }

    /// The end: the exit record, then nothing of the run is left, and with `--rm` nothing of the container.
    pub(crate) fn end_for_good(&mut self, lifecycle: &Lifecycle) {
        self.phase = Stage::Ended;
        if self.container.spec.auto_remove {
            self.remove_container();
            return;
        }
        let _ = lifecycle.save(&self.ctx, self.id(), self.lifecycle_durability());
        let _ = std::fs::remove_dir_all(self.ctx.layout.run_container(self.id()));
    }

    fn remove_container(&self) {
        let Ok(_lock) = ContainerRecord::lock(&self.ctx, self.id()) else {
            return;
        };
        if matches!(ContainerRecord::load(&self.ctx, self.id()), Ok(Some(_))) {
            let _ = engine::container::remove::take_apart(&self.ctx, &self.container, true);
        }
    }

    fn accept(&mut self) {
        while let Ok(Some(socket)) = sys::socket::accept(&self.listener) {
            self.clients.add(Channel::from(socket));
        }
    }

    fn tell_waiting(&mut self) {
        for client in std::mem::take(&mut self.waiting) {
            self.answer(client, &Reply::Done);
            self.clients.remove(client);
        }
    }
}
