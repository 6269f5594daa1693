//! Carries a plan out, step beside step as far as their needs allow. It decides nothing.
//!
//! One thread for each step that is under way, at most [`Run::parallel`] of them at work; waiting for a condition does
//! not count, so that a slow health check holds up nobody else. After the first error no further step is begun;
//! those under way are finished, and every error is returned.

use crate::condition::{self, Goal};
use crate::files;
use crate::plan::{Action, NewContainer, Plan, Step, print};
use crate::progress::{Event, Progress, State};
use compose_file::project::Condition;
use engine::container::create::BaseImage;
use engine::container::record::ContainerRecord;
use engine::container::remove::RemoveOptions;
use engine::container::start::StartOptions;
use engine::container::stop::StopOptions;
use engine::container::{create, kill, names, pause, remove, rename, start, stop};
use engine::{Context, networks, volume};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// How many steps work at once unless said otherwise.
pub const PARALLEL: usize = 8;

/// What carrying out needs.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    pub ctx: &'a Context,
    pub progress: &'a dyn Progress,
    /// At least 1.
    pub parallel: usize,
    /// Set from outside: no further step is begun.
    pub interrupted: &'a AtomicBool,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("ctx", self.ctx)
            .field("parallel", &self.parallel)
            .finish_non_exhaustive()
    }
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{resource}: {}", .source.phrase())]
pub struct StepError {
    /// `service web`, `network default`.
    pub resource: String,
    pub source: Cause,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("cannot {verb} {what}")]
    Engine {
        verb: &'static str,
        what: String,
        source: engine::Error,
    },
    #[error("dependency failed to start: {0}")]
    Dependency(condition::Error),
    #[error("cannot write the files of container {container}")]
    Files {
        container: String,
        source: files::Error,
    },
    #[error("image {0} is not there any more")]
    NoImage(String),
}

impl Cause {
    /// The text without its own sources: those are told by the chain.
    fn phrase(&self) -> String {
        self.to_string()
    }
}

/// Every step that failed; those that needed them were not begun.
#[derive(Debug, thiserror::Error)]
#[error("{}", .errors.first().map(ToString::to_string).unwrap_or_else(|| "interrupted".into()))]
pub struct Failed {
    /// Empty: interrupted.
    pub errors: Vec<StepError>,
}

/// Carries the plan out.
pub fn execute(run: Run<'_>, plan: &Plan) -> Result<(), Failed> {
    for name in &plan.unchanged {
        run.progress.event(Event {
            id: &format!("Container {name}"),
            text: "Running",
            state: State::Done,
        });
    }
    let worker = Worker {
        run,
        images: Mutex::default(),
        replacing: replaced(plan),
    };
    let graph = Graph {
        state: Mutex::new(Pending::new(plan)),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        while let Some(step) = graph.next(plan, run) {
            let (graph, worker) = (&graph, &worker);
            scope.spawn(move || {
                let outcome = worker.carry_out(step);
                graph.finished(step, outcome);
            });
        }
    });
    let pending = graph
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match pending.errors.is_empty() && pending.left.is_empty() {
        true => Ok(()),
        false => Err(Failed {
            errors: pending.errors,
        }),
    }
}

/// The names that successors take over: their creation is told as a replacement.
fn replaced(plan: &Plan) -> BTreeSet<String> {
    let names = plan.steps.iter().filter_map(|step| match &step.action {
        Action::CreateContainer(new) if new.name != new.final_name => Some(new.final_name.clone()),
        _ => None,
    });
    names.collect()
}

struct Graph {
    state: Mutex<Pending>,
    changed: Condvar,
}

struct Pending {
    /// Steps not begun, with what they still need.
    left: BTreeMap<usize, BTreeSet<usize>>,
    working: usize,
    waiting: usize,
    errors: Vec<StepError>,
}

impl Pending {
    fn new(plan: &Plan) -> Self {
        let left = plan
            .steps
            .iter()
            .map(|step| (step.id, step.needs.iter().copied().collect()))
            .collect();
        Self {
            left,
            working: 0,
            waiting: 0,
            errors: Vec::new(),
        }
    }
}

fn is_waiting(step: &Step) -> bool {
    matches!(step.action, Action::Await { .. })
}

impl Graph {
    /// The next step that may begin; `None` when all is done or nothing more is to be begun.
    fn next<'p>(&self, plan: &'p Plan, run: Run<'_>) -> Option<&'p Step> {
        let mut pending = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let over = !pending.errors.is_empty() || run.interrupted.load(Ordering::Relaxed);
            let full = pending.working >= run.parallel.max(1);
            let ready = |(id, needs): (&usize, &BTreeSet<usize>)| {
                let step = &plan.steps[id - 1];
                (needs.is_empty() && (is_waiting(step) || !full)).then_some(step)
            };
            if let Some(step) = pending.left.iter().find_map(ready).filter(|_| !over) {
                pending.left.remove(&step.id);
                if is_waiting(step) {
                    pending.waiting += 1;
                } else {
                    pending.working += 1;
                }
                return Some(step);
            }
            if pending.working + pending.waiting == 0 {
                return None;
            }
            pending = self
                .changed
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finished(&self, step: &Step, outcome: Result<(), Cause>) {
        let mut pending = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if is_waiting(step) {
            pending.waiting -= 1;
        } else {
            pending.working -= 1;
        }
        match outcome {
            Ok(()) => pending
                .left
                .values_mut()
                .for_each(|needs| _ = needs.remove(&step.id)),
            Err(source) => pending.errors.push(StepError {
                resource: subject(&step.resource),
                source,
            }),
        }
        self.changed.notify_all();
    }
}

/// `service:web:1` as a person says it: `service web`.
fn subject(resource: &str) -> String {
    let mut parts = resource.splitn(3, ':');
    let (kind, name) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    match kind {
        "service" => format!("service {name}"),
        _ => resource.replacen(':', " ", 1),
    }
}

struct Worker<'a> {
    run: Run<'a>,
    images: Mutex<BTreeMap<String, Arc<BaseImage>>>,
    replacing: BTreeSet<String>,
}

impl Worker<'_> {
    fn carry_out(&self, step: &Step) -> Result<(), Cause> {
        let (id, working, done) = self.words(step);
        let tell = |text: &str, state| {
            self.run.progress.event(Event {
                id: &id,
                text,
                state,
            });
        };
        tell(working, State::Working);
        let outcome = self.act(&step.action);
        match &outcome {
            // One of several steps to the same end: that is told by the last.
            Ok(()) if done == working => {}
            Ok(()) => tell(done, State::Done),
            Err(Cause::Dependency(condition::Error::Interrupted)) => {
                tell("Interrupted", State::Warning);
            }
            Err(_) => tell("Error", State::Failed),
        }
        outcome
    }

    /// What a step is called, while it goes on and after.
    fn words(&self, step: &Step) -> (String, &'static str, &'static str) {
        let container = |name: &str| format!("Container {name}");
        match &step.action {
            Action::CreateNetwork { spec } => {
                (format!("Network {}", spec.name), "Creating", "Created")
            }
            Action::RemoveNetwork { name } => (format!("Network {name}"), "Removing", "Removed"),
            Action::CreateVolume { spec } => (
                format!("Volume {}", spec.name.as_deref().unwrap_or_default()),
                "Creating",
                "Created",
            ),
            Action::RemoveVolume { name } => (format!("Volume {name}"), "Removing", "Removed"),
            Action::CreateContainer(new) if self.replacing.contains(&new.final_name) => {
                (container(&new.final_name), "Recreate", "Recreate")
            }
            Action::CreateContainer(new) => (container(&new.final_name), "Creating", "Created"),
            Action::RenameContainer { to, .. } => (container(to), "Recreate", "Recreated"),
            Action::StartContainer { name, .. } => (container(name), "Starting", "Started"),
            Action::StopContainer { name, .. } if self.replacing.contains(name) => {
                (container(name), "Recreate", "Recreate")
            }
            Action::RemoveContainer { name, .. } if self.replacing.contains(name) => {
                (container(name), "Recreate", "Recreate")
            }
            Action::StopContainer { name, .. } => (container(name), "Stopping", "Stopped"),
            Action::KillContainer { name, .. } => (container(name), "Killing", "Killed"),
            Action::RemoveContainer { name, .. } => (container(name), "Removing", "Removed"),
            Action::RestartContainer { name, .. } => (container(name), "Restarting", "Started"),
            Action::PauseContainer { name } => (container(name), "Pausing", "Paused"),
            Action::UnpauseContainer { name } => (container(name), "Unpausing", "Unpaused"),
            Action::Await {
                containers,
                condition,
                ..
            } => {
                let first = containers.first().map_or("", String::as_str);
                (container(first), "Waiting", print::met(*condition))
            }
            Action::RemoveImage { reference } => {
                (format!("Image {reference}"), "Removing", "Removed")
            }
        }
    }

    fn act(&self, action: &Action) -> Result<(), Cause> {
        let ctx = self.run.ctx;
        match action {
            Action::CreateNetwork { spec } => networks::create(ctx, spec)
                .map(drop)
                .map_err(cause("create", "network", &spec.name)),
            Action::RemoveNetwork { name } => remove_network(ctx, name),
            Action::CreateVolume { spec } => {
                let name = spec.name.clone().unwrap_or_default();
                volume::create(ctx, spec)
                    .map(drop)
                    .map_err(cause("create", "volume", &name))
            }
            Action::RemoveVolume { name } => {
                volume::remove(ctx, name, true).map_err(cause("remove", "volume", name))
            }
            Action::CreateContainer(new) => self.create(new),
            Action::RenameContainer { from, to } => {
                self.with(from, "rename", |c| rename::rename(ctx, c, to))
            }
            Action::StartContainer { name, .. } => self.with(name, "start", |c| {
                start::start(ctx, c, StartOptions::default()).map(drop)
            }),
            Action::StopContainer { name, timeout } => {
                let options = StopOptions {
                    signal: None,
                    timeout: *timeout,
                };
                self.if_there(name, "stop", |c| stop::stop(ctx, c, &options))
            }
            Action::KillContainer { name, signal } => {
                self.with(name, "kill", |c| kill::kill(ctx, c, signal))
            }
            Action::RemoveContainer {
                name,
                force,
                volumes,
            } => {
                let options = RemoveOptions {
                    force: *force,
                    volumes: *volumes,
                };
                self.if_there(name, "remove", |c| remove::remove(ctx, c, options))
            }
            Action::RestartContainer { name, timeout } => {
                let options = StopOptions {
                    signal: None,
                    timeout: *timeout,
                };
                self.with(name, "restart", |c| stop::restart(ctx, c, &options))
            }
            Action::PauseContainer { name } => self.with(name, "pause", |c| pause::pause(ctx, c)),
            Action::UnpauseContainer { name } => {
                self.with(name, "unpause", |c| pause::unpause(ctx, c))
            }
            Action::Await {
                containers,
                condition,
                required,
            } => self.wait(containers, *condition, *required),
            Action::RemoveImage { reference } => {
                crate::images::remove(ctx, reference).map_err(cause("remove", "image", reference))
            }
        }
    }

    fn with(
        &self,
        name: &str,
        verb: &'static str,
        act: impl FnOnce(&ContainerRecord) -> engine::Result<()>,
    ) -> Result<(), Cause> {
        names::resolve(self.run.ctx, name)
            .and_then(|c| act(&c))
            .map_err(cause(verb, "container", name))
    }

    /// As [`Worker::with`], for what is done already when the container is gone.
    fn if_there(
        &self,
        name: &str,
        verb: &'static str,
        act: impl FnOnce(&ContainerRecord) -> engine::Result<()>,
    ) -> Result<(), Cause> {
        match self.with(name, verb, act) {
            Err(Cause::Engine {
                source: engine::Error::NoSuchContainer(_),
                ..
            }) => Ok(()),
            other => other,
        }
    }

    fn create(&self, new: &NewContainer) -> Result<(), Cause> {
        let image = self.image(new)?;
        for file in &new.files {
            files::write(file).map_err(|source| Cause::Files {
                container: new.final_name.clone(),
                source,
            })?;
        }
        create::create(self.run.ctx, new.spec.clone(), Some(&new.name), &image)
            .map(drop)
            .map_err(cause("create", "container", &new.final_name))
    }

    /// The image of a container, read once for all its replicas.
    fn image(&self, new: &NewContainer) -> Result<Arc<BaseImage>, Cause> {
        let id = new
            .image_id
            .as_ref()
            .ok_or_else(|| Cause::NoImage(new.spec.image.clone()))?;
        let mut known = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = known.get(id) {
            return Ok(Arc::clone(image));
        }
        let platform = new.spec.platform.as_deref();
        let image = engine::images::base(
            self.run.ctx,
            id,
            image::PullPolicy::Never,
            platform,
            &image::Silent,
        )
        .map_err(cause("use", "image", &new.spec.image))?;
        let image = Arc::new(image);
        known.insert(id.clone(), Arc::clone(&image));
        Ok(image)
    }

    fn wait(
        &self,
        containers: &[String],
        condition: Condition,
        required: bool,
    ) -> Result<(), Cause> {
        let goal = match condition {
            Condition::CompletedSuccessfully => Goal::CompletedSuccessfully,
            Condition::Healthy => Goal::Healthy,
            Condition::Started => Goal::Up,
        };
        for container in containers {
            match condition::wait(self.run.ctx, container, goal, None, self.run.interrupted) {
                Ok(()) => {}
                Err(condition::Error::Interrupted) => {
                    return Err(Cause::Dependency(condition::Error::Interrupted));
                }
                Err(error) if !required => {
                    self.run
                        .progress
                        .warning(&format!("optional dependency failed to start: {error}"));
                    return Ok(());
                }
                Err(error) => return Err(Cause::Dependency(error)),
            }
        }
        Ok(())
    }
}

fn remove_network(ctx: &Context, name: &str) -> Result<(), Cause> {
    match networks::remove(ctx, name) {
        Ok(_) | Err(engine::Error::Network(network::Error::NotFound { .. })) => Ok(()),
        Err(source) => Err(cause("remove", "network", name)(source)),
    }
}

fn cause(verb: &'static str, kind: &str, name: &str) -> impl FnOnce(engine::Error) -> Cause {
    let what = format!("{kind} {name}");
    move |source| Cause::Engine { verb, what, source }
}
