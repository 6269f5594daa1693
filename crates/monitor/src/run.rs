//! One run of the container, from its first process to that one's end.

use crate::health::Checker;
use crate::interest::{Interest, Who};
use crate::output::Output;
use engine::container::birth::{self, Born, Host, Streams};
use engine::container::external::External;
use engine::container::hooks::Hooked;
use engine::container::record::ContainerRecord;
use engine::container::state::{HealthStatus, Phase, ProcessRef};
use engine::timestamp::Timestamp;
use engine::trash::Leftovers;
use engine::{Context, Error, Result};
use model::container::NamespaceMode;
use network::dns::Responder;
use runtime::Cgroup;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

pub(crate) struct Run {
    pub(crate) process: ProcessRef,
    pub(crate) pidfd: OwnedFd,
    pub(crate) output: Output,
    pub(crate) cgroup: Cgroup,
    pub(crate) external: Option<External>,
    hooked: Option<Hooked>,
    pub(crate) network: Option<network::Attached>,
    pub(crate) netns: Option<OwnedFd>,
    /// The container's mounts: while they are held its end does not wait for the kernel to take them apart.
    mounts: Option<OwnedFd>,
    /// Held for others that start on the same layers.
    _layers: Vec<OwnedFd>,
    pub(crate) health: Option<Checker>,
    pub(crate) started_at: Timestamp,
    began: Instant,
    dns: Option<Responder>,
    paused: bool,
    /// Its processes may outlive the first one.
    shares_pids: bool,
    kill_at: Option<Instant>,
    ooms_before: u64,
    /// Its end is not ours to reap: another monitor was its parent.
    adopted: bool,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) exit_code: u8,
    pub(crate) oom_killed: bool,
    pub(crate) started_at: Timestamp,
}

impl Run {
    pub(crate) fn start(
        ctx: &Context,
        container: &ContainerRecord,
        size: Option<(u16, u16)>,
        host: &Host,
    ) -> Result<Self> {
        let dir = ctx.layout.run_container(container.id.as_str());
        let (output, born) = if container.spec.tty {
            let (rows, columns) = size.unwrap_or((24, 80));
            let mut born = birth::start(ctx, container, Streams::Terminal { rows, columns }, host)?;
            let master = born
                .started
                .terminal
                .take()
                .ok_or_else(|| Error::Refused("init gave no terminal".into()))?;
            (
                Output::terminal(master).map_err(Error::system("use the container's terminal"))?,
                born,
            )
        } else {
            let (output, ends) = Output::fifos(&dir, container.spec.open_stdin)
                .map_err(Error::file("make the streams in", &dir))?;
            let streams = Streams::Fds {
                stdin: ends.stdin.as_fd(),
                stdout: ends.stdout.as_fd(),
                stderr: ends.stderr.as_fd(),
            };
            let born = birth::start(ctx, container, streams, host)?;
            // Ours go here: from now on only the container keeps its streams open.
            (output, born)
        };
        Ok(Self::from_born(ctx, container, born, output))
    }

    fn from_born(ctx: &Context, container: &ContainerRecord, born: Born, output: Output) -> Self {
        let process = ProcessRef {
            pid: born.started.pid,
            start_time: born.started.start_time,
        };
        Self {
            process,
            pidfd: born.started.pidfd,
            output,
            // The group is as new as the run.
            ooms_before: 0,
            cgroup: born.cgroup,
            external: born.external,
            hooked: born.hooked,
            network: born.network,
            netns: born.netns,
            mounts: born.mounts,
            _layers: born.layers,
            shares_pids: container.spec.pid_mode != NamespaceMode::Default,
            health: Checker::new(ctx, container),
            started_at: Timestamp::now(),
            began: Instant::now(),
            dns: born.dns,
            paused: false,
            kill_at: None,
            adopted: false,
        }
    }

    /// A run that another monitor began.
    pub(crate) fn adopted(parts: Adopted) -> Self {
        Self {
            process: parts.process,
            pidfd: parts.pidfd,
            output: parts.output,
            ooms_before: parts.cgroup.oom_count(),
            cgroup: parts.cgroup,
            external: parts.external,
            hooked: parts.hooked,
            network: parts.network,
            netns: parts.netns,
            mounts: None,
            _layers: Vec::new(),
            shares_pids: true,
            health: parts.health,
            started_at: parts.started_at,
            began: before(parts.started_at.elapsed()),
            dns: None,
            paused: parts.paused,
            kill_at: None,
            adopted: true,
        }
    }

    /// (Re)opens the DNS responder for the networks the container is in now.
    pub(crate) fn open_dns(&mut self, ctx: &Context, container: &ContainerRecord) {
        self.dns = None;
        if let (Some(netns), Some(network)) = (&self.netns, &self.network) {
            // Without names a container still runs; nothing else can be done about it here.
            self.dns = engine::name_service::responder(ctx, container, netns.as_fd(), network)
                .ok()
                .flatten();
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        let process = self.process;
        if self.paused {
            Phase::Paused { process }
        } else {
            Phase::Running { process }
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn lasted(&self) -> Duration {
        self.began.elapsed()
    }

    /// Network name and address, for the next run to ask for.
    pub(crate) fn addresses(&self) -> Vec<(String, IpAddr)> {
        let endpoints = self.network.iter().flat_map(|n| &n.endpoints);
        let each = endpoints.flat_map(|e| {
            let both = [e.ipv4, e.ipv6].into_iter().flatten();
            both.map(|assigned| (e.network.clone(), assigned.address))
        });
        each.collect()
    }

    pub(crate) fn interest<'a>(&'a self, interest: &mut Interest<'a>, read: bool) {
        self.output.interest(interest, read);
        interest.readable(self.pidfd.as_fd(), Who::Process);
        if let Some(dns) = &self.dns {
            for (fd, writes) in dns.fds() {
                let who = Who::Dns(fd.as_raw_fd());
                interest.readable(fd, who);
                if writes {
                    interest.writable(fd, who);
                }
            }
            interest.deadline(dns.deadline());
        }
        if let Some(health) = self.health.as_ref().filter(|_| !self.paused) {
            health.interest(interest);
        }
        interest.deadline(self.kill_at);
    }

    pub(crate) fn answer_dns(&mut self, key: i32) {
        if let Some(dns) = &mut self.dns {
            dns.ready(key);
        }
    }

    /// What is due by the clock; gives the new health when it changed.
    pub(crate) fn tick(
        &mut self,
        ctx: &Context,
        container: &ContainerRecord,
    ) -> Option<HealthStatus> {
        if self.kill_at.is_some_and(|at| Instant::now() >= at) {
            self.kill_at = None;
            self.signal(9);
        }
        let now = Instant::now();
        if let Some(dns) = self
            .dns
            .as_mut()
            .filter(|d| d.deadline().is_some_and(|at| at <= now))
        {
            dns.tick();
        }
        if self.paused {
            return None;
        }
        let target = engine::container::exec::Target {
            ctx,
            pidfd: self.pidfd.as_fd(),
            cgroup: Some(&self.cgroup),
            external: self.external.as_ref(),
        };
        self.health.as_mut()?.tick(ctx, container, &target)
    }

    pub(crate) fn signal(&mut self, signal: i32) {
        // Another runtime knows best where the container's first process is; one that fails does not protect it.
        let told = self
            .external
            .as_ref()
            .is_some_and(|e| e.kill(signal).is_ok());
        if !told {
            let _ = sys::process::pidfd_send_signal(&self.pidfd, signal);
        }
    }

    /// Sends the signal, and `SIGKILL` when the grace time is over.
    pub(crate) fn stop(&mut self, signal: i32, grace: Duration) {
        if self.paused {
            // A frozen process takes no signal.
            let _ = self.thaw();
        }
        if signal == 9 {
            return self.signal(signal);
        }
        // A signal the kernel drops, because the first process has no handler for it, is not worth waiting for.
        let lost = self.external.is_none() && sys::disposition::is_lost(self.process.pid, signal);
        let grace = if lost { Duration::ZERO } else { grace };
        self.signal(signal);
        self.kill_at = Some(Instant::now() + grace);
    }

    pub(crate) fn freeze(&mut self) -> Result<()> {
        self.cgroup.freeze()?;
        self.paused = true;
        Ok(())
    }

    pub(crate) fn thaw(&mut self) -> Result<()> {
        self.cgroup.thaw()?;
        self.paused = false;
        Ok(())
    }

    /// Reaps the process and gives back what the run used. The control group goes to `leftovers`, when there are any: its
    /// removal takes longer than all else, and a container that is removed too never needs its name again.
    pub(crate) fn end(self, ctx: &Context, leftovers: Option<&mut Leftovers>) -> Over {
        let status = if self.adopted {
            sys::process::zombie_exit_status(self.process.pid, self.process.start_time)
                .or_else(|| sys::process::pidfd_exit_status(&self.pidfd).ok().flatten())
        } else {
            sys::process::wait(&self.pidfd).ok()
        };
        let oom_killed = self.cgroup.oom_count() > self.ooms_before;
        drop(self.dns);
        drop(self.netns);
        // Processes that outlived init (with the host's pid namespace) go with it.
        if self.shares_pids || self.external.is_some() {
            let _ = self.cgroup.kill_all();
        }
        if let Some(external) = &self.external {
            external.delete();
        }
        // What cannot be given back now is swept by the next command.
        if let Some(attached) = &self.network {
            let _ = birth::give_back_network(ctx, attached);
        }
        match leftovers {
            Some(leftovers) => {
                leftovers.add_group(self.cgroup);
                self.mounts
                    .into_iter()
                    .for_each(|m| leftovers.add_mounts(m));
            }
            None => drop(self.cgroup.remove()),
        }
        if let Some(hooked) = self.hooked {
            hooked.ended();
        }
        // An adopted process on a kernel before 6.15 takes its exit code with it.
        let exit_code = status.map_or(255, |s| u8::try_from(s.code()).unwrap_or(255));
        Over {
            exit_code,
            oom_killed,
            started_at: self.started_at,
        }
    }
}

/// So long ago; now, where the clock does not reach back that far.
pub(crate) fn before(elapsed: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(elapsed).unwrap_or(now)
}

/// What an adopted run is put together from.
pub(crate) struct Adopted {
    pub(crate) process: ProcessRef,
    pub(crate) pidfd: OwnedFd,
    pub(crate) output: Output,
    pub(crate) cgroup: Cgroup,
    pub(crate) external: Option<External>,
    pub(crate) hooked: Option<Hooked>,
    pub(crate) network: Option<network::Attached>,
    pub(crate) netns: Option<OwnedFd>,
    pub(crate) health: Option<Checker>,
    pub(crate) started_at: Timestamp,
    pub(crate) paused: bool,
}
