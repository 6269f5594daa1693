//! Staying with a project: the output of all its containers, those that come later and those that start again too,
//! until they have ended or the user has had enough.
//!
//! One thread reads each container's log, one the events, one the signals; they all report here.

use super::menu::Key;
use super::printer::{Printer, short_name};
use crate::failure::Failure;
use compose::labels;
use compose::observe::{self, Container};
use engine::container::names;
use engine::container::state::State;
use engine::logs::{Query, Reader};
use engine::{Context, Timestamp, events};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;
use std::time::Duration;
use sys::signal::Signals;

/// How often threads look whether they are to end.
const TURN: Duration = Duration::from_millis(200);

/// What is heard of.
#[derive(Debug)]
pub(crate) enum News {
    /// Ctrl-C, or SIGTERM.
    Signal,
    /// Something was typed that is in the menu.
    Key(Key),
    /// A container of the project was started.
    Started(String),
    /// A container's output is over: its name, service and exit code (`None`: it was removed).
    Ended {
        container: String,
        service: String,
        code: Option<u8>,
        seen: Seen,
    },
    /// A container has ended, and is started again by its policy.
    Restarted { container: String, code: String },
    /// Output cannot be shown any more.
    Broken(Failure),
    /// What was done beside is over.
    Done(Result<(), Failure>),
}

/// How far a reader came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// When the last run began that it saw.
    run: Option<Timestamp>,
    /// The time of the last line that it showed.
    line: Option<Timestamp>,
}

/// Which containers are listened to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// Empty: all.
    pub(crate) services: Vec<String>,
    /// Of each service only the container of this number.
    pub(crate) index: Option<u32>,
    pub(crate) except: Vec<String>,
}

impl Choice {
    pub(crate) fn takes(&self, container: &Container) -> bool {
        !container.oneoff
            && self.takes_service(&container.service)
            && self.index.is_none_or(|index| index == container.number)
    }

    pub(crate) fn takes_service(&self, service: &String) -> bool {
        (self.services.is_empty() || self.services.contains(service))
            && !self.except.contains(service)
    }
}

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) ctx: &'a Context,
    pub(crate) project: &'a str,
    pub(crate) printer: &'a Printer<'a>,
    pub(crate) over: &'a AtomicBool,
}

/// Listens to containers and hears of new ones.
#[derive(Debug)]
pub(crate) struct Listener<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    shared: &'env Shared<'env>,
    choice: Choice,
    /// Name of each container that is listened to.
    known: BTreeMap<String, Known>,
    sender: Sender<News>,
    pub(crate) news: Receiver<News>,
}

/// A container that is listened to.
#[derive(Debug)]
struct Known {
    service: String,
    /// Whether its reader is at work.
    active: bool,
}

impl<'scope, 'env> Listener<'scope, 'env> {
    pub(crate) fn new(
        scope: &'scope Scope<'scope, 'env>,
        shared: &'env Shared<'env>,
        choice: Choice,
    ) -> Self {
        let (sender, news) = channel();
        Self {
            scope,
            shared,
            choice,
            known: BTreeMap::new(),
            sender,
            news,
        }
    }

    /// Reports signals.
    pub(crate) fn hear_signals(&self, signals: &'env Signals) {
        let (sender, over) = (self.sender.clone(), self.shared.over);
        self.scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let readable = sys::poll::readable(signals.as_fd(), TURN);
                if readable.is_ok_and(|ready| ready)
                    && signals.read().is_ok_and(|signal| signal.is_some())
                {
                    let _ = sender.send(News::Signal);
                }
            }
        });
    }

    /// Reports keys of the menu.
    pub(crate) fn hear_keys(&self) {
        let (sender, over) = (self.sender.clone(), self.shared.over);
        self.scope.spawn(move || {
            let stdin = std::io::stdin();
            while !over.load(Ordering::Relaxed) {
                let mut typed = [0u8; 16];
                let got = match sys::poll::readable(stdin.as_fd(), TURN) {
                    Ok(true) => rustix::io::read(&stdin, &mut typed).unwrap_or(0),
                    Ok(false) => continue,
                    Err(_) => 0,
                };
                if got == 0 {
                    return;
                }
                for key in typed[..got].iter().copied().filter_map(Key::of) {
                    let _ = sender.send(News::Key(key));
                }
            }
        });
    }

    /// Reports containers of the project that start from now on.
    pub(crate) fn hear_events(&self, mut reader: events::Reader) {
        let (sender, shared) = (self.sender.clone(), self.shared);
        let (over, project) = (shared.over, shared.project);
        let choice = self.choice.clone();
        self.scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                while let Ok(Some(event)) = reader.next_ready() {
                    let ours = event
                        .actor
                        .attributes
                        .get(labels::PROJECT)
                        .is_some_and(|p| p == project);
                    if ours && event.kind == "container" && event.action == "start" {
                        let _ = sender.send(News::Started(event.actor.id));
                    } else if ours
                        && event.kind == "container"
                        && event.action == "die"
                        && let Some(news) = restarted(shared.ctx, &choice, &event)
                    {
                        let _ = sender.send(news);
                    }
                }
                if reader.wait(Some(TURN)).is_err() {
                    return;
                }
            }
        });
    }

    /// Does something beside; how it went is reported.
    pub(crate) fn beside(&self, work: impl FnOnce() -> Result<(), Failure> + Send + 'scope) {
        let sender = self.sender.clone();
        self.scope.spawn(move || {
            // Nobody listens any more only when all is over.
            let _ = sender.send(News::Done(work()));
        });
    }

    /// How many containers of the services are being listened to; of all, where none are named.
    pub(crate) fn active(&self, services: &[String]) -> usize {
        let counts =
            |k: &&Known| k.active && (services.is_empty() || services.contains(&k.service));
        self.known.values().filter(counts).count()
    }

    /// Listens to the containers that run now.
    pub(crate) fn join_all(&mut self, query: Query) -> Result<Vec<String>, Failure> {
        let containers = observe::containers(self.shared.ctx, self.shared.project)?;
        let mut names = Vec::new();
        for container in containers.iter().filter(|c| self.choice.takes(c)) {
            self.shared
                .printer
                .introduce(&short_name(container, self.shared.project));
        }
        for container in &containers {
            if self.choice.takes(container) {
                names.push(short_name(container, self.shared.project));
                if !self.known.contains_key(&container.name) {
                    self.join(container, query);
                }
            }
        }
        Ok(names)
    }

    /// A container that was started is listened to, unless it is already.
    pub(crate) fn started(&mut self, id: &str) -> Result<(), Failure> {
        let containers = observe::containers(self.shared.ctx, self.shared.project)?;
        let Some(container) = containers.into_iter().find(|c| c.id == id) else {
            return Ok(());
        };
        if !self.choice.takes(&container)
            || self.known.get(&container.name).is_some_and(|k| k.active)
        {
            return Ok(());
        }
        self.shared
            .printer
            .introduce(&short_name(&container, self.shared.project));
        let begun = self.begun(id)?;
        self.join_run(&container, begun, Seen::default());
        Ok(())
    }

    /// Its reader is over. One that was started again in the meantime is listened to again: of its start was told while the reader
    /// was still at work.
    pub(crate) fn ended(&mut self, container: &str, seen: Seen) -> Result<(), Failure> {
        if let Some(known) = self.known.get_mut(container) {
            known.active = false;
        }
        if self.shared.over.load(Ordering::Relaxed) {
            return Ok(());
        }
        let containers = observe::containers(self.shared.ctx, self.shared.project)?;
        let Some(found) = containers.into_iter().find(|c| c.name == container) else {
            return Ok(());
        };
        let begun = self.begun(&found.id)?;
        if begun > seen.run {
            self.join_run(&found, begun, seen);
        }
        Ok(())
    }

    /// When the run began that goes on now.
    fn begun(&self, id: &str) -> Result<Option<Timestamp>, Failure> {
        Ok(begun(&State::load(self.shared.ctx, id)?))
    }

    /// From the run that has begun, without lines that were seen.
    fn join_run(&mut self, container: &Container, begun: Option<Timestamp>, seen: Seen) {
        let query = Query {
            since: begun.map(before).max(seen.line.map(after)),
            follow: true,
            ..Query::default()
        };
        self.join(container, query);
    }

    fn join(&mut self, container: &Container, query: Query) {
        let known = Known {
            service: container.service.clone(),
            active: true,
        };
        self.known.insert(container.name.clone(), known);
        let (shared, sender, container) = (self.shared, self.sender.clone(), container.clone());
        self.scope.spawn(move || {
            let shown = show(shared, &container, query);
            let code = match State::load(shared.ctx, &container.id) {
                Ok(State::Exited(last)) => Some(last.exit_code),
                _ => None,
            };
            let _ = match shown {
                Ok(seen) => sender.send(News::Ended {
                    container: container.name,
                    service: container.service,
                    code,
                    seen,
                }),
                Err(failure) => sender.send(News::Broken(failure)),
            };
        });
    }
}

/// The end of a run that is not the container's end: of that its reader tells.
fn restarted(ctx: &Context, choice: &Choice, event: &events::Event) -> Option<News> {
    let attributes = &event.actor.attributes;
    let oneoff = attributes.get(labels::ONEOFF).map(String::as_str) == Some("True");
    if oneoff || !choice.takes_service(attributes.get(labels::SERVICE)?) {
        return None;
    }
    let restarts = matches!(
        State::load(ctx, &event.actor.id).ok()?,
        State::Restarting { .. } | State::Running { .. }
    );
    restarts.then_some(News::Restarted {
        container: attributes.get("name")?.clone(),
        code: attributes.get("exitCode")?.clone(),
    })
}

fn begun(state: &State) -> Option<Timestamp> {
    state.run().map(|run| run.started_at)
}

/// A moment earlier: the first bytes may carry the very time of the start.
fn before(time: Timestamp) -> Timestamp {
    Timestamp(time.0.saturating_sub(1_000_000))
}

/// And a moment later.
fn after(time: Timestamp) -> Timestamp {
    Timestamp(time.0.saturating_add(1))
}

/// Shows the output until the container ends.
fn show(shared: &Shared<'_>, container: &Container, query: Query) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let record = match names::resolve(shared.ctx, &container.id) {
        Ok(record) => record,
        Err(engine::Error::NoSuchContainer(_)) => return Ok(seen),
        Err(error) => return Err(error.into()),
    };
    if record.spec.log.driver == model::log::LogDriver::None {
        seen.run = begun(&State::load(shared.ctx, &container.id)?);
        return Ok(seen);
    }
    let name = short_name(container, shared.project);
    let mut reader = Reader::open(shared.ctx, &record, query)?;
    loop {
        while let Some(line) = reader.try_next()? {
            shared.printer.line(&name, &line)?;
            seen.line = Some(line.time);
        }
        if let Some(note) = crate::container::logs::missed(&mut reader, &record.name) {
            crate::output::note(format_args!("{note}"));
        }
        if shared.over.load(Ordering::Relaxed) {
            return Ok(seen);
        }
        let state = State::load(shared.ctx, record.id.as_str())?;
        seen.run = begun(&state).or(seen.run);
        if !state.is_active() {
            break;
        }
        if let Some(watch) = reader.watch_fd() {
            wait_for_change(watch)?;
        }
    }
    // It has ended: what is left is there, an unfinished line too, and nothing is waited for.
    while let Some(line) = reader.next_line()? {
        shared.printer.line(&name, &line)?;
        seen.line = Some(line.time);
    }
    Ok(seen)
}

/// Waits for a turn at most, and takes note of all changes so far.
fn wait_for_change(watch: &OwnedFd) -> Result<(), Failure> {
    sys::poll::readable(watch.as_fd(), TURN).map_err(Failure::system("wait for output"))?;
    let mut changes = [0u8; 4096];
    while rustix::io::read(watch, &mut changes).is_ok_and(|read| read > 0) {}
    Ok(())
}
