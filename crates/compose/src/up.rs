//! `up` and `create` from the project to running containers: specifications, images, observation, plan, execution.
//!
//! All under the project's lock, so that two commands never plan against each other.

use crate::condition::{self, Goal};
use crate::execute::{self, Failed, Run};
use crate::files::HostFiles;
use crate::generation::{self, Occasion, Restored};
use crate::images;
use crate::observe::{self, Observed};
use crate::placement::Node;
use crate::plan::Plan;
use crate::plan::up::{self as planner, ImageState, Input, Options, Start};
use crate::spec::{self, ServiceSpec, Surroundings};
use crate::{build, files, labels, models, preflight, provider, rollback, stored, templated};
use compose_file::{Diagnostic, Project, Service};
use engine::Context;
use engine::jobs::JobRecord;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use sys::lock::FileLock;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was done.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Diagnostic>),
    #[error("no such service: {0}")]
    NoSuchService(String),
    #[error("{0} is a job: it is started by `compose run {0}`")]
    IsJob(String),
    #[error(transparent)]
    Images(#[from] images::Error),
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Failed(#[from] Failed),
    #[error(transparent)]
    Roll(Box<rollback::Error>),
    #[error(transparent)]
    Generation(#[from] generation::Error),
    #[error(transparent)]
    Provider(#[from] provider::Error),
    #[error(transparent)]
    Wait(#[from] condition::Error),
    #[error("application not healthy after {}s", after.as_secs())]
    NotHealthy {
        after: Duration,
        source: condition::Error,
    },
    #[error("cannot read the accounts at registries that a service is to get")]
    Accounts(#[source] Box<image::registry::credentials::Error>),
    #[error("cannot lock project {project}")]
    Lock {
        project: String,
        source: std::io::Error,
    },
}

/// Everything `up` is told.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub options: Options,
    pub images: images::Options,
    /// What is said of the generation that comes of it; `None`: `up`.
    pub origin: Option<String>,
}

/// Waits until no other command works on the project.
pub fn lock(ctx: &Context, project: &str) -> Result<FileLock, Error> {
    let failed = |source| Error::Lock {
        project: project.to_owned(),
        source,
    };
    FileLock::exclusive(&ctx.layout.lock("project", project)).map_err(failed)
}

/// The caller's accounts at registries, where a service is to get them.
fn accounts(ctx: &Context, services: &[&Service]) -> Result<String, Error> {
    if !services.iter().any(|service| service.use_api_socket) {
        return Ok(String::new());
    }
    image::registry::credentials::portable(&ctx.registries())
        .map_err(|source| Error::Accounts(Box::new(source)))
}

/// The specification of every service named, or all that is wrong with them.
pub fn specs(
    ctx: &Context,
    project: &Project,
    services: &[&Service],
    options: &Options,
) -> Result<BTreeMap<String, ServiceSpec>, Error> {
    let project = &*models::resolve(&ctx.config, stored::resolve(ctx, project)?);
    let root = files::root(&ctx.layout);
    let accounts = accounts(ctx, services)?;
    let around = Surroundings {
        files_root: &root,
        separator: options.separator,
        accounts: &accounts,
    };
    let mut specs = BTreeMap::new();
    let mut errors = Vec::new();
    let named = services.iter().filter_map(|s| project.service(&s.name));
    // What a provider brings up is no container of ours.
    let named = named.filter(|service| service.provider.is_none());
    let node = Node::of(ctx)?;
    for service in named {
        let project = match templated::resolve(project, service, &node) {
            Ok(project) => project,
            Err(wrong) => {
                errors.extend(wrong);
                continue;
            }
        };
        let project = &*project;
        let hash = compose_file::hash(project, service, &HostFiles);
        match spec::convert(project, service, hash, around) {
            Ok(mut spec) => {
                let fixed = compose_file::fixed_hash(project, service, &HostFiles);
                let labels = &mut spec.spec.labels;
                labels.insert(labels::FIXED_HASH.to_owned(), fixed);
                specs.insert(service.name.clone(), spec);
            }
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() {
        Ok(specs)
    } else {
        Err(Error::Invalid(errors))
    }
}

/// Services named on the command line that the project does not have.
pub fn check_names<'a>(
    project: &Project,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<(), Error> {
    match names
        .into_iter()
        .find(|name| project.service(name).is_none())
    {
        Some(job) if project.has_job(job) => Err(Error::IsJob(job.clone())),
        Some(unknown) => Err(Error::NoSuchService(unknown.clone())),
        None => Ok(()),
    }
}

/// What a command looks after: of the whole project its scheduled jobs too.
fn with_jobs<'p>(project: &'p Project, options: &Options) -> Cow<'p, Project> {
    let scheduled = project.jobs.iter().any(|job| job.schedule().is_some());
    match scheduled && options.services.is_empty() {
        true => Cow::Owned(project.with_scheduled_jobs()),
        false => Cow::Borrowed(project),
    }
}

/// What would be done, with nothing done. Images that are not here are taken as changed.
pub fn preview(ctx: &Context, project: &Project, request: &Request) -> Result<Plan, Error> {
    check_names(
        project,
        request
            .options
            .services
            .iter()
            .chain(request.options.scale.keys()),
    )?;
    let project = &*with_jobs(project, &request.options);
    let services = planner::selected(project, &request.options);
    let project = &*provider::as_last(ctx, project, &services)?;
    let specs = specs(ctx, project, &services, &request.options)?;
    let observed = Observed::read(ctx, &project.name)?;
    refuse(preflight::before(project, &services, &observed))?;
    let images = images::look(ctx, project, &services, request.images)?;
    let plan = make(ctx, project, &observed, &specs, &images, &request.options)?;
    refuse(preflight::obstacles(ctx, project, &observed, &specs, &plan))?;
    Ok(plan)
}

pub(crate) fn make(
    ctx: &Context,
    project: &Project,
    observed: &Observed,
    specs: &BTreeMap<String, ServiceSpec>,
    images: &BTreeMap<String, ImageState>,
    options: &Options,
) -> Result<Plan, Error> {
    Ok(planner::plan(Input {
        project,
        observed,
        specs,
        images,
        node: &Node::of(ctx)?,
        options,
    }))
}

/// The networks and volumes that a service's containers need and that are not there, for `run`.
pub fn resources(ctx: &Context, project: &Project, request: &Request) -> Result<Plan, Error> {
    let services = planner::selected(project, &request.options);
    let specs = specs(ctx, project, &services, &request.options)?;
    let observed = Observed::read(ctx, &project.name)?;
    refuse(preflight::before(project, &services, &observed))?;
    let (images, node) = (BTreeMap::new(), Node::of(ctx)?);
    let input = Input {
        project,
        observed: &observed,
        specs: &specs,
        images: &images,
        node: &node,
        options: &request.options,
    };
    Ok(planner::resources(input))
}

fn refuse(errors: Vec<Diagnostic>) -> Result<(), Error> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(errors))
    }
}

/// Brings the project to what the file says. `tell` gets the plan before it is carried out.
pub fn up(
    run: Run<'_>,
    project: &Project,
    request: &Request,
    build: &build::Settings<'_>,
    tell: &mut dyn FnMut(&Plan),
) -> Result<Plan, Error> {
    let ctx = run.ctx;
    check_names(
        project,
        request
            .options
            .services
            .iter()
            .chain(request.options.scale.keys()),
    )?;
    let project = &*with_jobs(project, &request.options);
    let services = planner::selected(project, &request.options);
    let specs = specs(ctx, project, &services, &request.options)?;
    let _lock = lock(ctx, &project.name)?;
    let observed = Observed::read(ctx, &project.name)?;
    // What is already wrong is told before anything is fetched.
    refuse(preflight::before(project, &services, &observed))?;
    let looked = images::look(ctx, project, &services, request.images)?;
    let draft = make(ctx, project, &observed, &specs, &looked, &request.options)?;
    refuse(preflight::obstacles(
        ctx, project, &observed, &specs, &draft,
    ))?;
    let images = images::ensure(ctx, project, &services, request.images, build, run.progress)?;
    images::of_init_containers(ctx, project, &services, request.images, run.progress)?;
    let provided = provider::up(ctx, project, &services, run.progress)?;
    let (project, specs) = match &provided {
        Cow::Borrowed(project) => (*project, specs),
        Cow::Owned(project) => {
            let specs = self::specs(ctx, project, &services, &request.options)?;
            (project, specs)
        }
    };
    let plan = make(ctx, project, &observed, &specs, &images, &request.options)?;
    tell(&plan);
    finish(run, project, request, plan)
}

/// Brings the project back to a generation, on the images it had.
pub fn restore(
    run: Run<'_>,
    restored: &Restored,
    request: &Request,
    tell: &mut dyn FnMut(&Plan),
) -> Result<Plan, Error> {
    let _lock = lock(run.ctx, &restored.project.name)?;
    let images = images::kept(run.ctx, restored, Some(run.progress))?;
    let plan = restoring(run.ctx, restored, request, &images)?;
    tell(&plan);
    let project = &*with_jobs(&restored.project, &request.options);
    finish(run, project, request, plan)
}

/// What [`restore`] would do, with nothing done.
pub fn preview_restore(
    ctx: &Context,
    restored: &Restored,
    request: &Request,
) -> Result<Plan, Error> {
    let images = images::kept(ctx, restored, None)?;
    restoring(ctx, restored, request, &images)
}

fn restoring(
    ctx: &Context,
    restored: &Restored,
    request: &Request,
    images: &BTreeMap<String, ImageState>,
) -> Result<Plan, Error> {
    let project = &*with_jobs(&restored.project, &request.options);
    let services = planner::selected(project, &request.options);
    let specs = specs(ctx, project, &services, &request.options)?;
    let observed = Observed::read(ctx, &project.name)?;
    refuse(preflight::before(project, &services, &observed))?;
    let plan = make(ctx, project, &observed, &specs, images, &request.options)?;
    refuse(preflight::obstacles(ctx, project, &observed, &specs, &plan))?;
    Ok(plan)
}

/// Carries the plan out; what then runs is kept as a generation.
fn finish(run: Run<'_>, project: &Project, request: &Request, plan: Plan) -> Result<Plan, Error> {
    let ctx = run.ctx;
    let _hold = ctx.images()?.hold().map_err(engine::Error::from)?;
    if let Err(failed) = execute::execute(run, &plan) {
        return Err(rollback::react(run, project, request, &plan, failed));
    }
    sweep(ctx, &project.name)?;
    if request.options.start == Start::Yes {
        let services = planner::selected(project, &request.options);
        let occasion = Occasion {
            origin: request.origin.as_deref().unwrap_or("up"),
            services: services.iter().map(|s| s.name.as_str()).collect(),
        };
        // Everything runs: that it cannot be gone back to is no failure of this command.
        if let Err(error) = generation::keep(ctx, project, &occasion) {
            let why = crate::chain(&error);
            run.progress
                .warning(&format!("this version is not kept for `rollback`: {why}"));
        }
    }
    Ok(plan)
}

/// Removes files of configs and secrets that no container of the project mounts.
pub fn sweep(ctx: &Context, project: &str) -> Result<(), Error> {
    let root = files::root(&ctx.layout).join(project);
    if !root.exists() {
        return Ok(());
    }
    let mut used: BTreeSet<PathBuf> = BTreeSet::new();
    for container in observe::containers(ctx, project)? {
        let files = container.spec.files.iter();
        used.extend(files.map(|file| PathBuf::from(&file.source)));
        // Containers of earlier versions mount them as they are.
        let mounts = container.spec.mounts.iter();
        used.extend(mounts.filter_map(|mount| match &mount.kind {
            model::mount::MountKind::Bind { source, .. } => Some(PathBuf::from(source)),
            _ => None,
        }));
    }
    for job in JobRecord::of_project(ctx, project)? {
        used.extend(
            job.spec
                .files
                .iter()
                .map(|file| PathBuf::from(&file.source)),
        );
    }
    files::sweep(&ctx.layout, project, &used);
    Ok(())
}

/// `--wait`: until every container of the services is healthy, or runs where nothing checks its health.
pub fn wait_until_up(
    run: Run<'_>,
    project: &Project,
    services: &[String],
    timeout: Option<Duration>,
) -> Result<(), Error> {
    let begin = std::time::Instant::now();
    for container in observe::containers(run.ctx, &project.name)? {
        if container.oneoff || (!services.is_empty() && !services.contains(&container.service)) {
            continue;
        }
        if project.service(&container.service).is_none() {
            continue;
        }
        let id = format!("Container {}", container.name);
        let tell = |text, state| {
            run.progress.event(crate::progress::Event {
                id: &id,
                text,
                state,
            })
        };
        tell("Waiting", crate::progress::State::Working);
        let left = timeout.map(|t| t.saturating_sub(begin.elapsed()));
        match condition::wait(run.ctx, &container.name, Goal::Up, left, run.interrupted) {
            Ok(()) => tell("Healthy", crate::progress::State::Done),
            Err(error) => {
                tell("Error", crate::progress::State::Failed);
                return Err(match (error, timeout) {
                    (source @ condition::Error::TimedOut { .. }, Some(after)) => {
                        Error::NotHealthy { after, source }
                    }
                    (error, _) => error.into(),
                });
            }
        }
    }
    Ok(())
}
