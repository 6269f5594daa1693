//! One step: its words for the progress, and the deed.

use super::{Cause, Run};
use crate::condition::{self, Goal};
use crate::files;
use crate::plan::{Action, NewContainer, NewJob, Plan, Step, print};
use crate::progress::{Event, State};
use crate::spec::Material;
use compose_file::project::{Condition, Hook};
use engine::container::create::BaseImage;
use engine::container::record::ContainerRecord;
use engine::container::remove::RemoveOptions;
use engine::container::start::StartOptions;
use engine::container::stop::StopOptions;
use engine::container::{create, kill, names, pause, remove, rename, start, stop};
use engine::{Context, jobs, networks, volume};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) struct Worker<'a> {
    pub(super) run: Run<'a>,
    images: Mutex<BTreeMap<String, Arc<BaseImage>>>,
    replacing: BTreeSet<String>,
    /// Temporary names and those that follow.
    renamed: BTreeMap<String, String>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(run: Run<'a>, plan: &Plan) -> Self {
        Self {
            run,
            images: Mutex::default(),
            replacing: replaced(plan),
            renamed: renamed(plan),
        }
    }

    pub(super) fn carry_out(&self, step: &Step) -> Result<(), Cause> {
        let (id, working, done) = self.words(step);
        let tell = |text: &str, state| {
            self.run.progress.event(Event {
                id: &id,
                text,
                state,
            });
        };
        tell(working, State::Working);
        let outcome = self.act(step);
        match &outcome {
            // One of several steps to the same end: that is told by the last.
            Ok(()) if done == working => {}
            Ok(()) => tell(done, State::Done),
            Err(Cause::Interrupted) => {
                tell("Interrupted", State::Warning);
            }
            Err(_) => tell("Error", State::Failed),
        }
        outcome
    }

    /// What a step is called, while it goes on and after.
    fn words(&self, step: &Step) -> (String, &'static str, &'static str) {
        let container = |name: &str| {
            let name = self.renamed.get(name).map_or(name, String::as_str);
            format!("Container {name}")
        };
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
            Action::RunInitContainer(new) => (container(&new.name), "Running", "Exited"),
            Action::RunHook {
                container: name, ..
            } => (container(name), "Running hook", "Hook finished"),
            Action::Change(change) => (container(change.container()), "Updating", "Updated"),
            Action::Shift(shift) => {
                let (working, done) = super::shift::words(shift);
                let of = match shift.container() {
                    "" => of_service(&step.resource),
                    name => container(name),
                };
                (of, working, done)
            }
            Action::RegisterJob(new) => (job(&new.record.name), "Registering", "Registered"),
            Action::RemoveJob { name } => (job(name), "Removing", "Removed"),
            Action::RemoveImage { reference } => {
                (format!("Image {reference}"), "Removing", "Removed")
            }
        }
    }

    fn act(&self, step: &Step) -> Result<(), Cause> {
        let ctx = self.run.ctx;
        match &step.action {
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
            Action::RegisterJob(new) => self.register(new),
            Action::RemoveJob { name } => match jobs::remove(ctx, name) {
                Err(engine::Error::NoSuchJob(_)) => Ok(()),
                other => other.map_err(cause("remove", "job", name)),
            },
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
            } => {
                let optional = (!required).then(|| service(&step.resource));
                self.wait(containers, *condition, optional)
            }
            Action::RunInitContainer(new) => self.run_init(new),
            Action::RunHook { container, hook } => {
                self.run_hook(service(&step.resource), container, hook)
            }
            Action::Shift(shift) => super::shift::carry_out(self.run, shift),
            Action::Change(change) => super::change::carry_out(self.run, change),
            Action::RemoveImage { reference } => {
                crate::images::remove(ctx, reference).map_err(cause("remove", "image", reference))
            }
        }
    }

    pub(super) fn with(
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
    pub(super) fn if_there(
        &self,
        name: &str,
        verb: &'static str,
        act: impl FnOnce(&ContainerRecord) -> engine::Result<()>,
    ) -> Result<(), Cause> {
        match self.with(name, verb, act) {
            Err(Cause::Engine { source, .. })
                if matches!(*source, engine::Error::NoSuchContainer(_)) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn run_hook(&self, service: &str, container: &str, hook: &Hook) -> Result<(), Cause> {
        let status =
            super::hook::run(self.run.ctx, container, hook).map_err(|source| Cause::NoHook {
                container: container.to_owned(),
                source,
            })?;
        match status {
            0 => Ok(()),
            code => Err(Cause::Hook {
                service: service.to_owned(),
                command: hook.command.join(" "),
                code,
            }),
        }
    }

    fn register(&self, new: &NewJob) -> Result<(), Cause> {
        let mut record = new.record.clone();
        let image_id = new.image_id.clone();
        record.image_id = image_id.ok_or_else(|| Cause::NoImage(record.spec.image.clone()))?;
        write_files(&new.files, &record.name)?;
        let name = record.name.clone();
        jobs::register(self.run.ctx, record)
            .and_then(|()| jobs::scheduler::ensure(self.run.ctx))
            .map_err(cause("register", "job", &name))
    }

    pub(super) fn create(&self, new: &NewContainer) -> Result<(), Cause> {
        let image = self.image(new)?;
        write_files(&new.files, &new.final_name)?;
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

    /// `optional`: the name of a service that others can do without.
    fn wait(
        &self,
        containers: &[String],
        condition: Condition,
        optional: Option<&str>,
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
                    return Err(Cause::Interrupted);
                }
                Err(error) => match optional {
                    Some(service) => {
                        self.run.progress.warning(&format!(
                            "optional dependency {service:?} failed to start: {error}"
                        ));
                        return Ok(());
                    }
                    None => return Err(Cause::Dependency(Box::new(error))),
                },
            }
        }
        Ok(())
    }
}

/// `service:web:` as the progress names it.
fn of_service(resource: &str) -> String {
    format!("Service {}", service(resource))
}

/// The service of `service:web:1`.
fn service(resource: &str) -> &str {
    resource.split(':').nth(1).unwrap_or_default()
}

fn job(name: &str) -> String {
    format!("Job {name}")
}

fn write_files(files: &[Material], container: &str) -> Result<(), Cause> {
    files.iter().try_for_each(|file| {
        files::write(file).map_err(|source| Cause::Files {
            container: container.to_owned(),
            source,
        })
    })
}

fn renamed(plan: &Plan) -> BTreeMap<String, String> {
    let names = plan.steps.iter().filter_map(|step| match &step.action {
        Action::CreateContainer(new) if new.name != new.final_name => {
            Some((new.name.clone(), new.final_name.clone()))
        }
        _ => None,
    });
    names.collect()
}

/// The names that successors take over: their creation is told as a replacement.
fn replaced(plan: &Plan) -> BTreeSet<String> {
    let names = plan.steps.iter().filter_map(|step| match &step.action {
        Action::CreateContainer(new) if new.name != new.final_name => Some(new.final_name.clone()),
        _ => None,
    });
    names.collect()
}

fn remove_network(ctx: &Context, name: &str) -> Result<(), Cause> {
    match networks::remove(ctx, name) {
        Ok(_) | Err(engine::Error::Network(network::Error::NotFound { .. })) => Ok(()),
        Err(source) => Err(cause("remove", "network", name)(source)),
    }
}

pub(super) fn cause(
    verb: &'static str,
    kind: &str,
    name: &str,
) -> impl FnOnce(engine::Error) -> Cause {
    let what = format!("{kind} {name}");
    move |source| Cause::Engine {
        verb,
        what,
        source: Box::new(source),
    }
}
