//! How a run ends, and what comes after it: the next run, or the end for good.
//!
//! What the first process left in its pipes is read whole before its end is told. That is bounded, so a client
//! that does not read holds back a living container (as a terminal would) but never its end or its restart: it
//! keeps what it still has to read, and its streams end with the run, as in Docker.

use crate::launch::chain;
use crate::monitor::{Asked, Monitor, Stage};
use crate::output::CHATTY;
use crate::restart::{self, Ended};
use engine::container::record::{ContainerRecord, Lifecycle};
use engine::protocol::{After, Reply};
use engine::timestamp::Timestamp;
use engine::{Result, events};
use std::time::{Duration, Instant};

/// More than two pipes hold; only processes that outlived the first one could write more.
const LEFT_OVER_MAX: usize = 3 * CHATTY;

/// What goes with a run.
struct Removal {
    /// The anonymous volumes too.
    volumes: bool,
}

impl Monitor {
    /// The first process has ended.
    pub(crate) fn run_over(&mut self) {
        self.take_left_over();
        let Stage::Running(run) = std::mem::replace(&mut self.phase, Stage::Ended) else {
            return;
        };
        let lasted = run.lasted();
        self.addresses = run.addresses();
        let leftovers = self.removal().map(|_| &mut self.leftovers);
        let over = run.end(&self.ctx, leftovers);
        let _ = self.log.finish();
        self.clients.run_over(over.exit_code);
        let lifecycle = Lifecycle {
            started_at: Some(over.started_at),
            exit_code: over.exit_code,
            oom_killed: over.oom_killed,
            ..self.ended_now()
        };
        if over.oom_killed {
            events::emit_container(&self.ctx, "oom", &self.container, &[]);
        }
        let ended = Ended {
            exit_code: over.exit_code,
            lasted,
            stopped_by_user: self.asked != Asked::Nothing,
            now: Instant::now(),
        };
        match restart::decide(&self.container.spec.restart, &mut self.attempts, ended) {
            Some(delay) => self.wait_for_restart(delay, &lifecycle),
            None => self.put_down(&lifecycle),
        }
        let code = over.exit_code.to_string();
        events::emit_container(&self.ctx, "die", &self.container, &[("exitCode", code)]);
        // As Docker: what is killed or removed by force was not stopped.
        if self.asked == Asked::Stop && !matches!(self.then, After::Remove { .. }) {
            events::emit_container(&self.ctx, "stop", &self.container, &[]);
        }
        self.remove_if_last();
        self.tell_waiting();
    }

    /// All output first: the exit is told after the last byte.
    fn take_left_over(&mut self) {
        let mut taken = 0;
        while taken < LEFT_OVER_MAX {
            let length = self.copy_once(0) + self.copy_once(1);
            if length == 0 {
                return;
            }
            taken += length;
        }
    }

    fn ended_now(&self) -> Lifecycle {
        Lifecycle {
            finished_at: Some(Timestamp::now()),
            restart_count: self.restart_count,
            stopped_by_user: self.asked != Asked::Nothing,
            addresses: self.addresses.clone(),
            ..Default::default()
        }
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

    /// The next run, by the restart policy.
    pub(crate) fn restart(&mut self) {
        self.restart_count += 1;
        // The record may have changed meanwhile (update, rename, networks).
        if let Ok(Some(fresh)) = ContainerRecord::load(&self.ctx, self.id()) {
            self.container = fresh;
        }
        let Err(error) = self.begin(None) else { return };
        let ended = Ended {
            exit_code: 125,
            lasted: Duration::ZERO,
            stopped_by_user: false,
            now: Instant::now(),
        };
        let failed = Lifecycle {
            exit_code: 125,
            error: chain(&error),
            ..self.ended_now()
        };
        // A start that fails (a device or mount that is not there yet) is tried again like a run that failed.
        match restart::decide(&self.container.spec.restart, &mut self.attempts, ended) {
            Some(delay) => self.wait_for_restart(delay, &failed),
            None => self.put_down(&failed),
        }
    }

    /// Stopped while it waited for its next run.
    pub(crate) fn give_up_restart(&mut self) -> Result<()> {
        let last = Lifecycle::load(&self.ctx, self.id())?.unwrap_or_default();
        self.put_down(&Lifecycle {
            stopped_by_user: true,
            running: false,
            ..last
        });
        self.remove_if_last();
        Ok(())
    }

    /// The end: the exit record, then nothing of the run is left.
    fn put_down(&mut self, lifecycle: &Lifecycle) {
        self.phase = Stage::Ended;
        self.listener = None;
        self.api = None;
        if self.removal().is_some() {
            return;
        }
        let _ = lifecycle.save(&self.ctx, self.id(), self.lifecycle_durability());
        // In one step: from here on another monitor may make it anew.
        let dir = self.ctx.layout.run_container(self.id());
        let _ = self.leftovers.add(&self.ctx, &dir);
    }

    /// The container goes with its run when that was asked for, or with `--rm`, unless a command is about to start it again.
    fn removal(&self) -> Option<Removal> {
        let itself = self.container.spec.auto_remove;
        let volumes = match self.then {
            After::Start => return None,
            After::Remove { volumes } => volumes || itself,
            After::AsMade if itself => true,
            After::AsMade => return None,
        };
        Some(Removal { volumes })
    }

    fn remove_if_last(&mut self) {
        let Some(removal) = self
            .removal()
            .filter(|_| matches!(self.phase, Stage::Ended))
        else {
            return;
        };
        let Ok(_lock) = ContainerRecord::lock(&self.ctx, self.id()) else {
            return;
        };
        // As it is by now: its name may have changed.
        if let Ok(Some(container)) = ContainerRecord::load(&self.ctx, self.id()) {
            let left = &mut self.leftovers;
            let _ =
                engine::container::remove::take_apart(&self.ctx, &container, removal.volumes, left);
        }
    }

    fn tell_waiting(&mut self) {
        for client in std::mem::take(&mut self.waiting) {
            self.answer(client, &Reply::Done);
            self.clients.remove(client);
        }
    }
}
