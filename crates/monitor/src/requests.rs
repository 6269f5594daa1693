//! What commands ask of the monitor while the container runs.

use crate::launch::chain;
use crate::monitor::{Monitor, Stage};
use engine::container::record::ContainerRecord;
use engine::protocol::{After, Reply, Request};
use engine::{Error, Result, events};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Docker's grace time before `SIGKILL`.
const GRACE: u64 = 10;

impl Monitor {
    /// A client said something, or has gone.
    pub(crate) fn hear(&mut self, id: u64) {
        loop {
            let Some(client) = self.clients.get(id) else {
                return;
            };
            match client.channel.try_receive::<Request>() {
                Ok(Some((request, fds))) => self.obey(id, request, fds),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                // Gone, or not speaking our language.
                Ok(None) | Err(_) => {
                    self.waiting.retain(|w| *w != id);
                    self.client_gone(id);
                    return;
                }
            }
        }
    }

    fn client_gone(&mut self, id: u64) {
        let had_input = self.clients.get(id).is_some_and(|c| c.input.is_some());
        self.clients.remove(id);
        if let (true, true, Stage::Running(run)) =
            (had_input, self.container.spec.stdin_once, &mut self.phase)
        {
            run.output.end_input();
        }
    }

    fn obey(&mut self, id: u64, request: Request, fds: Vec<OwnedFd>) {
        if self.clients.get(id).is_some_and(|c| c.is_leaving()) {
            // Said to a run that is over; the next one is none of its business.
            return;
        }
        let answer = match request {
            Request::Resize { rows, columns } => {
                if let Stage::Running(run) = &mut self.phase {
                    run.output.resize(rows, columns);
                }
                return;
            }
            Request::Detach => {
                // Its input is left open: the container goes on as if the client were away from the keyboard.
                self.clients.remove(id);
                return;
            }
            Request::Attach { streams } => {
                self.clients.attach(id, streams, fds);
                self.answer(id, &Reply::Done);
                return;
            }
            Request::Stop {
                signal,
                timeout,
                then,
            } => match self.stop(signal.as_deref(), timeout, then) {
                Ok(true) => {
                    self.waiting.push(id);
                    return;
                }
                other => other.map(drop),
            },
            Request::Kill { signal } => match self.kill(&signal) {
                // Nothing survives this one: the answer is that it is over.
                Ok(9) => {
                    self.waiting.push(id);
                    return;
                }
                other => other.map(drop),
            },
            Request::Pause => self.pause(),
            Request::Unpause => self.unpause(),
            Request::Reload => self.reload(),
            Request::Connect { network } => self.connect(&network),
            Request::Disconnect { network } => self.disconnect(&network),
            Request::Launch { .. } => Err(Error::Refused("it runs already".into())),
        };
        let reply = match answer {
            Ok(()) => Reply::Done,
            Err(e) => Reply::Refused { message: chain(&e) },
        };
        self.answer(id, &reply);
    }

    /// `true`: the answer comes when the run is over.
    fn stop(&mut self, signal: Option<&str>, timeout: Option<u64>, then: After) -> Result<bool> {
        let name = signal.unwrap_or(&self.container.stop_signal).to_owned();
        let signal = engine::container::kill::parse(&name)?;
        self.stopped_by_user = true;
        // What is to be removed is removed, whoever else stops it.
        if !matches!(self.then, After::Remove { .. }) {
            self.then = then;
        }
        let grace = timeout
            .or(self.container.spec.stop_timeout)
            .unwrap_or(GRACE);
        match &mut self.phase {
            Stage::Running(run) => {
                run.stop(signal, Duration::from_secs(grace));
                events::emit_container(
                    &self.ctx,
                    "kill",
                    &self.container,
                    &[("signal", signal.to_string())],
                );
                Ok(true)
            }
            Stage::Waiting { .. } => self.give_up_restart().map(|()| false),
            Stage::Ended => Ok(false),
        }
    }

    /// The number of the signal that was sent to a running container, or 0 when none ran.
    fn kill(&mut self, name: &str) -> Result<i32> {
        let signal = engine::container::kill::parse(name)?;
        let ends = signal == 9
            || Some(signal) == engine::container::kill::parse(&self.container.stop_signal).ok();
        match &mut self.phase {
            Stage::Running(run) => {
                // As Docker: a kill by hand keeps the restart policy from acting.
                self.stopped_by_user |= ends;
                run.signal(signal);
                events::emit_container(
                    &self.ctx,
                    "kill",
                    &self.container,
                    &[("signal", signal.to_string())],
                );
                Ok(signal)
            }
            Stage::Waiting { .. } if ends => self.stop(None, None, After::AsMade).map(|_| 0),
            _ => Err(Error::NotRunning(self.container.name.clone())),
        }
    }

    fn pause(&mut self) -> Result<()> {
        match &mut self.phase {
            Stage::Running(run) if !run.is_paused() => run.freeze()?,
            Stage::Running(_) => return Err(Error::Paused(self.container.name.clone())),
            _ => return Err(Error::NotRunning(self.container.name.clone())),
        }
        self.save_state()?;
        events::emit_container(&self.ctx, "pause", &self.container, &[]);
        Ok(())
    }

    fn unpause(&mut self) -> Result<()> {
        match &mut self.phase {
            Stage::Running(run) if run.is_paused() => run.thaw()?,
            _ => return Err(Error::NotPaused(self.container.name.clone())),
        }
        self.save_state()?;
        events::emit_container(&self.ctx, "unpause", &self.container, &[]);
        Ok(())
    }

    /// Takes the record as it is now, with the limits and ports it names. Where that fails all is as before.
    fn reload(&mut self) -> Result<()> {
        let missing = || Error::NoSuchContainer(self.container.name.clone());
        let fresh = ContainerRecord::load(&self.ctx, self.id())?.ok_or_else(missing)?;
        let ports = |c: &ContainerRecord| (c.spec.ports.clone(), c.spec.port_access.clone());
        let ports_changed = ports(&fresh) != ports(&self.container);
        let limits = engine::spec::linux_resources(&fresh.spec, &[])?;
        if let Stage::Running(run) = &mut self.phase {
            run.cgroup.update(&limits)?;
            if let Some(attached) = run.network.as_mut().filter(|_| ports_changed)
                && let Err(refused) = engine::networks::republish(&self.ctx, &fresh, attached)
            {
                let before = engine::spec::linux_resources(&self.container.spec, &[])?;
                run.cgroup.update(&before)?;
                return Err(refused);
            }
        }
        self.container = fresh;
        if ports_changed && matches!(self.phase, Stage::Running(_)) {
            self.save_state()?;
        }
        Ok(())
    }

    fn connect(&mut self, name: &str) -> Result<()> {
        self.refresh()?;
        let Stage::Running(run) = &mut self.phase else {
            return Ok(());
        };
        if let (Some(netns), Some(attached)) = (&run.netns, &mut run.network) {
            engine::networks::join(&self.ctx, &self.container, netns.as_fd(), attached, name)?;
        }
        self.networks_changed()
    }

    fn disconnect(&mut self, name: &str) -> Result<()> {
        self.refresh()?;
        let Stage::Running(run) = &mut self.phase else {
            return Ok(());
        };
        if let (Some(netns), Some(attached)) = (&run.netns, &mut run.network) {
            engine::networks::leave(&self.ctx, netns.as_fd(), attached, name)?;
        }
        self.networks_changed()
    }

    fn refresh(&mut self) -> Result<()> {
        if let Some(fresh) = ContainerRecord::load(&self.ctx, self.id())? {
            self.container = fresh;
        }
        Ok(())
    }

    fn networks_changed(&mut self) -> Result<()> {
        let container = self.container.clone();
        if let Stage::Running(run) = &mut self.phase {
            run.open_dns(&self.ctx, &container);
            engine::container::files::write(&self.ctx, &container, run.network.as_ref())?;
        }
        self.save_state()
    }
}
