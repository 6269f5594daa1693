//! The loop: waits, and hands each thing that happened to whom it concerns.

use crate::api::ApiSocket;
use crate::clients::Clients;
use crate::interest::{Interest, Who};
use crate::launch;
use crate::output::{Buffer, Output, Taken};
use crate::rest::Rest;
use crate::restart::Attempts;
use crate::run::Run;
use engine::Context;
use engine::channel::{self, Channel};
use engine::container::birth::Host;
use engine::container::record::ContainerRecord;
use engine::container::state::{HealthStatus, ProcessRef};
use engine::logs::{Settings, Writer};
use engine::protocol::{After, Reply};
use engine::trash::Leftovers;
use engine::{Error, Result, events};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// One container's monitor.
pub(crate) struct Monitor {
    pub(crate) ctx: Context,
    pub(crate) container: ContainerRecord,
    pub(crate) own: ProcessRef,
    pub(crate) host: Host,
    /// Gone at the end: whoever connects then hears at once that nobody is here.
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) clients: Clients,
    pub(crate) log: Writer,
    pub(crate) phase: Stage,
    pub(crate) attempts: Attempts,
    pub(crate) restart_count: u32,
    pub(crate) asked: Asked,
    /// What whoever stops the run wants to come after it.
    pub(crate) then: After,
    /// The addresses of the last run, which the next one asks for again.
    pub(crate) addresses: Vec<(String, IpAddr)>,
    /// Clients (by id) that wait for the end of the run.
    pub(crate) waiting: Vec<u64>,
    /// Of a container on networks: whether the packet filter still lets it be reached. Its socket is closed with the process,
    /// since that may wait for a grace period of the kernel.
    firewall: Option<network::Watch>,
    /// Of a container that mounts the API's socket.
    pub(crate) api: Option<ApiSocket>,
    buffer: Buffer,
    /// What is deleted when everybody has been answered.
    pub(crate) leftovers: Leftovers,
}

/// Whether somebody asked for the end: then the restart policy keeps still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Nothing,
    /// `kill` with a signal that ends it.
    Kill,
    Stop,
}

/// Of one stream, before the others are looked at again.
const TURN: usize = 1 << 20;

/// What a monitor knows before it hears of its container.
pub(crate) struct Itself {
    own: ProcessRef,
    pub(crate) host: Host,
}

impl Itself {
    pub(crate) fn know() -> Result<Self> {
        Ok(Self {
            own: ProcessRef::current().map_err(Error::system("read own start time"))?,
            host: Host::look()?,
        })
    }
}

/// What the monitor is doing.
pub(crate) enum Stage {
    Running(Box<Run>),
    /// By the restart policy, at this time.
    Waiting {
        until: Instant,
    },
    /// For good; only clients that have not read all keep the process.
    Ended,
}

/// The monitor from its first to its last step.
pub(crate) fn main(ctx: &Context, id: &str, command: Channel, adopting: bool) -> u8 {
    let monitor = if adopting {
        launch::adopted(ctx, id, &command)
    } else {
        launch::launched(ctx, id, command)
    };
    // On the heap: what was on the stack until here is given back when the monitor rests.
    let Some(mut monitor) = monitor else {
        return 125;
    };
    let looped = monitor.run_loop();
    // What is left is deletion, after everybody has been answered: the next start comes first.
    sys::sched::step_back();
    match looped {
        Ok(()) => 0,
        Err(_) => 125,
    }
}

impl Monitor {
    /// Everything a monitor needs before its first run.
    pub(crate) fn prepare(ctx: &Context, id: &str, itself: Itself) -> Result<Self> {
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
            own: itself.own,
            host: itself.host,
            container,
            listener: Some(listener),
            clients: Clients::default(),
            log,
            phase: Stage::Ended,
            attempts: Attempts::default(),
            restart_count: 0,
            asked: Asked::Nothing,
            then: After::default(),
            addresses: Vec::new(),
            waiting: Vec::new(),
            firewall: None,
            api: None,
            buffer: Buffer::default(),
            leftovers: Leftovers::default(),
        })
    }

    pub(crate) fn id(&self) -> &str {
        self.container.id.as_str()
    }

    pub(crate) fn answer(&mut self, client: u64, reply: &Reply) {
        if let Some(client) = self.clients.get(client) {
            let _ = client.channel.send(reply, &[]);
        }
    }

    fn run_loop(&mut self) -> Result<()> {
        let mut rest = Rest::new(Instant::now());
        while !self.is_done() {
            self.watch_firewall();
            let resting = rest.is_due(Instant::now());
            if resting {
                self.buffer.let_go();
            }
            let mut interest = self.interest();
            interest.deadline(rest.due());
            let happened = if resting {
                interest.rest()
            } else {
                interest.wait()
            };
            let happened = happened.map_err(Error::system("wait for the container"))?;
            rest.woken(Instant::now(), &happened);
            for who in happened {
                self.handle(who);
            }
            self.tick();
        }
        Ok(())
    }

    fn is_done(&mut self) -> bool {
        self.clients.dismiss_drained();
        matches!(self.phase, Stage::Ended) && !self.clients.are_leaving()
    }

    /// Begins with the first run that is on a network.
    fn watch_firewall(&mut self) {
        let Stage::Running(run) = &self.phase else {
            return;
        };
        let networks = run.network.as_ref().map_or(0, |n| n.endpoints.len());
        if networks > 0 && self.firewall.is_none() {
            self.firewall = network::Watch::open().ok();
        }
    }

    fn interest(&self) -> Interest<'_> {
        let mut interest = Interest::default();
        if let Some(listener) = &self.listener {
            interest.readable(listener.as_fd(), Who::Listener);
        }
        if let Some(firewall) = &self.firewall {
            interest.readable(firewall.as_fd(), Who::Firewall);
        }
        if let Some(api) = &self.api {
            api.interest(&mut interest);
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
            Who::Output(slot) => self.copy_output(slot),
            Who::Input => self.with_output(Output::push_input),
            Who::Process => self.run_over(),
            Who::Listener => self.accept(),
            Who::Channel(id) => self.hear(id),
            Who::ClientInput(id) => self.copy_input(id),
            Who::ClientOutput(id) => self.clients.flush(id),
            Who::Dns(key) => {
                if let Stage::Running(run) = &mut self.phase {
                    run.answer_dns(key);
                }
            }
            Who::Firewall => {
                if let Some(firewall) = &self.firewall {
                    // What cannot be made again now is made by the next command that needs it.
                    let _ = firewall.heal(&self.ctx.layout);
                }
            }
            Who::ApiClient => self.api.iter_mut().for_each(ApiSocket::called),
            Who::ApiServer => self.api.iter_mut().for_each(ApiSocket::server_ended),
            Who::Probe => self.probe_ended(),
            Who::ProbeOutput => {
                if let Stage::Running(run) = &mut self.phase
                    && let Some(health) = &mut run.health
                {
                    health.read_output(self.buffer.get());
                }
            }
        }
    }

    fn with_output(&mut self, act: impl FnOnce(&mut Output)) {
        if let Stage::Running(run) = &mut self.phase {
            act(&mut run.output);
        }
    }

    /// While the container writes on nobody asks the kernel whether it does, but everybody else has a turn now and then.
    fn copy_output(&mut self, slot: usize) {
        let mut taken = 0;
        while taken < TURN && !self.clients.are_behind() {
            match self.copy_once(slot) {
                0 => return,
                length => taken += length,
            }
        }
    }

    /// One read from the container: to the log, and to whoever is attached.
    pub(crate) fn copy_once(&mut self, slot: usize) -> usize {
        let Stage::Running(run) = &mut self.phase else {
            return 0;
        };
        match run.output.take(slot, self.buffer.get()) {
            Taken::Bytes(stream, length) => {
                let bytes = &self.buffer.get()[..length];
                // A full disk loses the log, never the container.
                let _ = self.log.write(stream, bytes);
                self.clients.output(stream, bytes);
                length
            }
            Taken::Nothing | Taken::End => 0,
        }
    }

    fn copy_input(&mut self, id: u64) {
        let Stage::Running(run) = &mut self.phase else {
            return;
        };
        let Some(client) = self.clients.get(id) else {
            return;
        };
        if !run.output.has_input() {
            // The container reads no more: the client hears it from its pipe, as it would without us.
            client.input = None;
        }
        let Some(input) = &client.input else { return };
        match rustix::io::read(input, self.buffer.get()) {
            Ok(n) if n > 0 => run.output.feed(&self.buffer.get()[..n]),
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
        if let Some(status) = health.finish(&self.ctx, &self.container, self.buffer.get()) {
            self.health_changed(status);
        }
    }

    fn health_changed(&mut self, status: HealthStatus) {
        // Of replicas that share a port, the unhealthy one gets no new connections.
        let serves = status != HealthStatus::Unhealthy;
        let _ = network::set_serving(&self.ctx.layout, self.container.id.as_str(), serves);
        let action = format!("health_status: {}", status.as_str());
        events::emit_container(&self.ctx, &action, &self.container, &[]);
        let heals = self.container.labels.get("autoheal");
        if let (Stage::Running(run), false) = (&mut self.phase, serves)
            && heals.is_some_and(|v| v == "true")
        {
            run.stop(9, Duration::ZERO);
        }
    }

    /// What is due by the clock.
    fn tick(&mut self) {
        match &mut self.phase {
            Stage::Running(run) => {
                if let Some(status) = run.tick(&self.ctx, &self.container) {
                    self.health_changed(status);
                }
            }
            Stage::Waiting { until } if Instant::now() >= *until => self.restart(),
            _ => {}
        }
    }

    fn accept(&mut self) {
        // Mode 0600 keeps others out already, as long as nobody has bound the run root into a container of other users.
        let own = rustix::process::geteuid().as_raw();
        let Some(listener) = &self.listener else {
            return;
        };
        while let Ok(Some(socket)) = sys::socket::accept(listener) {
            if sys::socket::peer_uid(&socket).is_ok_and(|uid| uid == own) {
                self.clients.add(Channel::from(socket));
            }
        }
    }
}
