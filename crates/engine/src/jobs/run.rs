//! One run of a job, in a process of its own: the container is made, started, waited for; what came of it is written down.
//!
//! A container that ended with 0 is removed, one that failed stays for its logs, as long as its run is remembered. Who is run by
//! hand holds the turn with others, who is due by the schedule alone: so the two never meet where that is forbidden.

use super::{JobRecord, KEPT_RUNS, ROLE, RunRecord, Trigger, change};
use crate::container::record::ContainerRecord;
use crate::container::remove::RemoveOptions;
use crate::container::start::StartOptions;
use crate::container::state::State;
use crate::container::{create, remove, start, wait};
use crate::context::Context;
use crate::error::{Error, Result, chain};
use crate::timestamp::Timestamp;
use model::schedule::Concurrency;
use std::ffi::OsString;
use std::path::PathBuf;
use sys::lock::FileLock;
use sys::process::Child;

/// The whole life of the role.
pub fn role_main(arguments: &[OsString]) -> u8 {
    sys::signal::started_with_defaults();
    let opened = Context::of_role(arguments);
    let mut words = arguments.iter().skip(3);
    let mut word = || words.next().map(|word| word.to_string_lossy().into_owned());
    let (Ok(ctx), Some(job), container) = (opened, word(), word()) else {
        return 125;
    };
    let outcome = match container {
        Some(container) => see_through(&ctx, &job, &container),
        None => scheduled(&ctx, &job),
    };
    u8::from(outcome.is_err())
}

/// Starts the process of a run that is due.
pub(super) fn fire(ctx: &Context, job: &str) -> Result<Child> {
    spawn(ctx, &[job])
}

/// Has somebody see a container through that was made by hand and is about to start, and write down how it ended.
pub fn attend(ctx: &Context, job: &str, container: &str) -> Result<()> {
    spawn(ctx, &[job, container]).map(drop)
}

fn spawn(ctx: &Context, words: &[&str]) -> Result<Child> {
    let role = sys::role::Role {
        argv: ctx.role_arguments(ROLE, words)?,
        ..sys::role::Role::default()
    };
    sys::role::spawn(&role).map_err(Error::system("start the process of a job's run"))
}

fn turn(ctx: &Context, job: &str) -> PathBuf {
    ctx.layout.lock("job-run", job)
}

/// A run that is due, unless one before it goes on.
fn scheduled(ctx: &Context, name: &str) -> Result<()> {
    let job = JobRecord::find(ctx, name)?;
    let Some(_turn) = take_turn(ctx, &job)? else {
        return Ok(());
    };
    // Whoever waited runs what is registered now, if anything is.
    let job = JobRecord::find(ctx, name)?;
    let iteration = begin(ctx, name, Trigger::Schedule, None)?;
    let made = make(ctx, &job).and_then(|container| {
        let id = container.id.to_string();
        change_run(ctx, name, iteration, |run| run.container = Some(id))?;
        start::start(ctx, &container, StartOptions::default()).map(|_| container)
    });
    match made {
        Ok(container) => wait_and_record(ctx, name, iteration, &container),
        Err(error) => {
            end(ctx, name, iteration, None, Some(chain(&error)))?;
            Err(error)
        }
    }
}

/// `None`: it is forbidden now, or another one waits already.
fn take_turn(ctx: &Context, job: &JobRecord) -> Result<Option<FileLock>> {
    let (turn, queue) = (
        turn(ctx, &job.name),
        ctx.layout.lock("job-queue", &job.name),
    );
    let failed = |path: &PathBuf| Error::file("lock", path.clone());
    let concurrency = job.schedule.as_ref().and_then(|s| s.concurrency);
    match concurrency.unwrap_or_default() {
        Concurrency::Forbid => FileLock::try_exclusive(&turn).map_err(failed(&turn)),
        Concurrency::Queue => {
            let Some(_place) = FileLock::try_exclusive(&queue).map_err(failed(&queue))? else {
                return Ok(None);
            };
            FileLock::exclusive(&turn).map(Some).map_err(failed(&turn))
        }
    }
}

fn make(ctx: &Context, job: &JobRecord) -> Result<ContainerRecord> {
    let platform = job.spec.platform.as_deref();
    let never = image::PullPolicy::Never;
    let image = crate::images::base(ctx, &job.image_id, never, platform, &image::Silent)?;
    let slug: String = crate::random_id().as_str().chars().take(12).collect();
    let name = format!("{}{slug}", job.prefix);
    create::create(ctx, job.spec.clone(), Some(&name), &image)
}

/// A container made by hand: it is there, and starts now or never.
fn see_through(ctx: &Context, name: &str, container: &str) -> Result<()> {
    let path = turn(ctx, name);
    let _turn = FileLock::shared(&path).map_err(Error::file("lock", path))?;
    let Some(container) = ContainerRecord::load(ctx, container)? else {
        return Ok(());
    };
    let iteration = begin(ctx, name, Trigger::Manual, Some(container.id.to_string()))?;
    wait_and_record(ctx, name, iteration, &container)
}

fn wait_and_record(
    ctx: &Context,
    name: &str,
    iteration: u64,
    container: &ContainerRecord,
) -> Result<()> {
    let ended = wait_to_the_end(ctx, container);
    let code = ended.as_ref().ok().copied().flatten();
    let error = ended.as_ref().err().map(|error| chain(error));
    // The record before the removal: what is seen of a run that is over is how it ended.
    end(ctx, name, iteration, code, error)?;
    let options = RemoveOptions {
        force: false,
        volumes: true,
    };
    if code == Some(0)
        && !State::load(ctx, container.id.as_str())?.is_active()
        && ContainerRecord::load(ctx, container.id.as_str())?.is_some()
    {
        remove::remove(ctx, container, options)?;
    }
    Ok(())
}

/// The exit code of a container that starts now.
fn wait_to_the_end(ctx: &Context, container: &ContainerRecord) -> Result<Option<u8>> {
    wait::wait(ctx, container, wait::Condition::Started, None)?;
    if ContainerRecord::load(ctx, container.id.as_str())?.is_none() {
        return Err(Error::Refused("its container did not start".to_owned()));
    }
    wait::wait(ctx, container, wait::Condition::NotRunning, None)
}

fn begin(ctx: &Context, name: &str, trigger: Trigger, container: Option<String>) -> Result<u64> {
    let (mut iteration, mut forgotten) = (0, Vec::new());
    change(ctx, name, |job| {
        job.iterations += 1;
        iteration = job.iterations;
        job.runs.push(RunRecord {
            iteration,
            trigger,
            started: Timestamp::now(),
            finished: None,
            exit_code: None,
            error: None,
            container,
        });
        let surplus = job.runs.len().saturating_sub(KEPT_RUNS);
        forgotten = job.runs.drain(..surplus).collect();
    })?;
    // Runs that nobody remembers leave no containers.
    for run in forgotten {
        let Some(id) = run.container else { continue };
        if let Some(container) = ContainerRecord::load(ctx, &id)?
            && !State::load(ctx, &id)?.is_active()
        {
            let options = RemoveOptions {
                force: false,
                volumes: true,
            };
            remove::remove(ctx, &container, options)?;
        }
    }
    Ok(iteration)
}

fn end(
    ctx: &Context,
    name: &str,
    iteration: u64,
    code: Option<u8>,
    error: Option<String>,
) -> Result<()> {
    change_run(ctx, name, iteration, |run| {
        run.finished = Some(Timestamp::now());
        run.exit_code = code;
        run.error = error;
    })
}

fn change_run(
    ctx: &Context,
    name: &str,
    iteration: u64,
    act: impl FnOnce(&mut RunRecord),
) -> Result<()> {
    change(ctx, name, |job| {
        let found = job.runs.iter_mut().find(|run| run.iteration == iteration);
        if let Some(run) = found {
            act(run);
        }
    })
}
