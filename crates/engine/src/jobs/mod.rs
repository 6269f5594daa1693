//! Jobs: containers that run to their end, by a schedule or when somebody asks, and what came of their last runs.
//!
//! ```text
//! <data>/jobs/<project>.<job>.json    JobRecord
//! ```
//!
//! A record has everything a run is made of, as it was when the job was registered: nobody reads a Compose file when it is time.
//! Who keeps time is [`scheduler`], one process for a data root, there only while there are schedules; each run has a process of
//! its own ([`run`]). Source: Docker's "Manage jobs in Docker Engine", whose words these are.

mod clock;
mod run;
pub mod scheduler;

pub use clock::check_timezone;
pub use run::{attend, role_main};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use model::container::ContainerSpec;
use model::schedule::Schedule;
use serde::{Deserialize, Serialize};
use state::{Durability, record};
use std::path::PathBuf;
use sys::lock::FileLock;

/// The role of one run: `dockless job <data root> <run root> <job> [<container>]`.
pub const ROLE: &str = "job";

/// How many runs are remembered, and the containers of failed ones kept.
const KEPT_RUNS: usize = 5;

/// A job as it was registered, and its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// `<project>.<job>`.
    pub name: String,
    pub project: String,
    /// What a run's container is called, before its last part.
    pub prefix: String,
    pub spec: ContainerSpec,
    pub image_id: String,
    /// Of everything in the file that makes it what it is.
    pub hash: String,
    /// `None`: only by hand.
    pub schedule: Option<Schedule>,
    #[serde(default)]
    pub paused: bool,
    pub registered: Timestamp,
    /// When it last was time: what lies before is done or forgone.
    pub last_fire: Option<Timestamp>,
    #[serde(default)]
    pub iterations: u64,
    /// The last ones, oldest first.
    #[serde(default)]
    pub runs: Vec<RunRecord>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    pub iteration: u64,
    pub trigger: Trigger,
    pub started: Timestamp,
    /// `None`: it has not ended, or nobody saw how.
    pub finished: Option<Timestamp>,
    pub exit_code: Option<u8>,
    /// Why there was no container, or none that started.
    pub error: Option<String>,
    pub container: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    Manual,
    Schedule,
}

impl Trigger {
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
        }
    }
}

impl RunRecord {
    /// In Docker's words.
    pub fn state(&self) -> &'static str {
        match (self.finished, self.exit_code) {
            (None, _) => "running",
            (Some(_), Some(0)) => "succeeded",
            _ => "failed",
        }
    }
}

impl JobRecord {
    /// When it is time next; `None`: never by itself.
    pub fn next_fire(&self) -> Option<Timestamp> {
        let schedule = self.schedule.as_ref().filter(|_| !self.paused)?;
        let last = self.last_fire.unwrap_or(self.registered);
        // After the host's clock was set back, what lies ahead counts for nothing.
        clock::next_after(schedule, last.min(Timestamp::now()))
    }

    pub fn list(ctx: &Context) -> Result<Vec<Self>> {
        let directory = ctx.layout.jobs();
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::file("list", directory)(e)),
        };
        let mut found: Vec<Self> = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                found.extend(record::read::<Self>(&path)?);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    pub fn of_project(ctx: &Context, project: &str) -> Result<Vec<Self>> {
        let mut found = Self::list(ctx)?;
        found.retain(|job| job.project == project);
        Ok(found)
    }

    pub fn find(ctx: &Context, name: &str) -> Result<Self> {
        Self::load(ctx, name)?.ok_or_else(|| Error::NoSuchJob(name.to_owned()))
    }

    fn load(ctx: &Context, name: &str) -> Result<Option<Self>> {
        // What is typed is no path.
        match is_name(name) {
            true => Ok(record::read(&path(ctx, name))?),
            false => Ok(None),
        }
    }

    fn save(&self, ctx: &Context) -> Result<()> {
        Ok(record::write(
            &path(ctx, &self.name),
            self,
            Durability::Durable,
        )?)
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
}

fn path(ctx: &Context, name: &str) -> PathBuf {
    ctx.layout.jobs().join(format!("{name}.json"))
}

fn lock(ctx: &Context, name: &str) -> Result<FileLock> {
    let path = ctx.layout.lock("job", name);
    FileLock::exclusive(&path).map_err(Error::file("lock", path))
}

/// Changes a record under its lock; nothing happens to one that is gone.
fn change(ctx: &Context, name: &str, act: impl FnOnce(&mut JobRecord)) -> Result<()> {
    let _lock = lock(ctx, name)?;
    let Some(mut job) = JobRecord::load(ctx, name)? else {
        return Ok(());
    };
    act(&mut job);
    job.save(ctx)
}

/// Registers a job, or takes the new definition of one that is there: its runs stay, and so does the time it last was due.
pub fn register(ctx: &Context, mut job: JobRecord) -> Result<()> {
    if !is_name(&job.name) {
        return Err(Error::invalid(
            format!("job {:?}", job.name),
            "a name has letters, digits, \".\", \"_\" and \"-\"",
        ));
    }
    if let Some(zone) = job.schedule.as_ref().and_then(|s| s.timezone.as_deref()) {
        check_timezone(zone)?;
    }
    let directory = ctx.layout.jobs();
    std::fs::create_dir_all(&directory).map_err(Error::file("create", directory))?;
    let _lock = lock(ctx, &job.name)?;
    if let Some(before) = JobRecord::load(ctx, &job.name)? {
        job.iterations = before.iterations;
        job.runs = before.runs;
        job.paused = before.paused;
        if before.schedule == job.schedule {
            job.registered = before.registered;
            job.last_fire = before.last_fire;
        }
    }
    job.save(ctx)
}

/// Takes a job out. A run that goes on goes on.
pub fn remove(ctx: &Context, name: &str) -> Result<()> {
    let _lock = lock(ctx, name)?;
    JobRecord::find(ctx, name)?;
    Ok(record::remove(&path(ctx, name))?)
}

/// Stops the schedule, or lets it go on: what was due meanwhile is not made up for.
pub fn pause(ctx: &Context, name: &str, paused: bool) -> Result<()> {
    JobRecord::find(ctx, name)?;
    change(ctx, name, |job| {
        job.paused = paused;
        job.last_fire = Some(Timestamp::now());
    })?;
    scheduler::ensure(ctx)
}

#[cfg(test)]
mod tests;
