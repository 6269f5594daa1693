//! `docker job …`: the jobs of projects that are registered, their schedules and runs.
//!
//! Source: Docker CLI reference, `docker job`; docs.docker.com, "Run jobs in Compose".

use crate::failure::{Failure, Outcome};
use crate::output::listing::{self, Field, Format, ListFlags, field};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::Timestamp;
use engine::container::record::ContainerRecord;
use engine::jobs::{self, JobRecord, RunRecord};
use model::filter::Filters;
use serde_json::{Map, Value};
use std::ffi::OsString;

/// Every verb of the noun.
pub(crate) const VERBS: &[Verb] = &[
    verb::<List>(&["job ls", "job list"], "[OPTIONS]", "List jobs"),
    verb::<Runs>(
        &["job runs"],
        "[OPTIONS] JOB",
        "List the last runs of a job",
    )
    .exactly(1)
    .examples("job runs shop.backup"),
    verb::<Logs>(
        &["job logs"],
        "JOB",
        "Show the output of a job's latest run that has a container",
    )
    .exactly(1),
    verb::<Inspect>(
        &["job inspect"],
        "JOB [JOB...]",
        "Display detailed information on one or more jobs",
    )
    .at_least(1),
    verb::<Pause>(
        &["job pause"],
        "JOB [JOB...]",
        "Stop the schedules of one or more jobs",
    )
    .at_least(1),
    verb::<Resume>(
        &["job resume"],
        "JOB [JOB...]",
        "Let the schedules of one or more jobs go on",
    )
    .at_least(1),
    verb::<Remove>(
        &["job rm", "job remove"],
        "JOB [JOB...]",
        "Remove one or more jobs; `compose up` registers them again",
    )
    .at_least(1),
];

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    flags: ListFlags,
}

const FIELDS: [Field; 7] = [
    field("Name", "NAME"),
    field("Trigger", "TRIGGER"),
    field("State", "STATE"),
    field("Paused", "PAUSED"),
    field("LastRun", "LAST RUN"),
    field("Exit", "EXIT"),
    field("NextFire", "NEXT FIRE"),
];

impl Run for List {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        // Whoever kept time may have been killed.
        jobs::scheduler::ensure(ctx)?;
        let filters = Filters::parse(&self.flags.filter, &["name", "project"])?;
        let format = Format::parse(self.flags.format.as_deref())?;
        let mut all = JobRecord::list(ctx)?;
        all.retain(|job| {
            filters.matches_name("name", &job.name) && filters.matches_name("project", &job.project)
        });
        if self.flags.quiet {
            for job in &all {
                output::line(&job.name)?;
            }
            return Ok(0);
        }
        let columns: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
        let rows: Vec<_> = all.iter().map(row).collect();
        listing::print(&format, &FIELDS, &columns, &rows)?;
        Ok(0)
    }
}

fn row(job: &JobRecord) -> Map<String, Value> {
    let last = job.runs.last();
    let running = job.runs.iter().any(|run| run.finished.is_none());
    let over = job.runs.iter().rev().find(|run| run.finished.is_some());
    let pairs: [(&str, String); 7] = [
        ("Name", job.name.clone()),
        (
            "Trigger",
            job.schedule
                .as_ref()
                .map_or_else(|| "manual".to_owned(), |s| s.cron.as_str().to_owned()),
        ),
        ("State", if running { "running" } else { "idle" }.to_owned()),
        ("Paused", job.paused.to_string()),
        (
            "LastRun",
            last.map_or_else(dash, |run| {
                let when = run.finished.unwrap_or(run.started);
                format!("{} ({})", run.state(), units::ago(when))
            }),
        ),
        ("Exit", over.map_or_else(dash, exit)),
        ("NextFire", job.next_fire().map_or_else(dash, ahead)),
    ];
    to_row(pairs)
}

fn to_row<const N: usize>(pairs: [(&str, String); N]) -> Map<String, Value> {
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

fn dash() -> String {
    "-".to_owned()
}

fn exit(run: &RunRecord) -> String {
    run.exit_code.map_or_else(dash, |code| code.to_string())
}

/// `in 26 seconds`.
fn ahead(moment: Timestamp) -> String {
    let nanos = u64::try_from(moment.0 - Timestamp::now().0).unwrap_or_default();
    let left = std::time::Duration::from_nanos(nanos);
    format!("in {}", units::duration(left).to_lowercase())
}

#[derive(Debug, Args)]
struct Runs {
    /// Format output using a custom template: table, json, or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only display the numbers of the runs
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true)]
    job: String,
}

const RUN_FIELDS: [Field; 8] = [
    field("Iteration", "ITERATION"),
    field("State", "STATE"),
    field("Exit", "EXIT"),
    field("Trigger", "TRIGGER"),
    field("Started", "STARTED"),
    field("Finished", "FINISHED"),
    field("Container", "CONTAINER"),
    field("Error", "ERROR"),
];

impl Run for Runs {
    fn run(self, session: &Session) -> Outcome {
        let job = JobRecord::find(session.engine()?, &self.job)?;
        let format = Format::parse(self.format.as_deref())?;
        if self.quiet {
            for run in &job.runs {
                output::line(run.iteration)?;
            }
            return Ok(0);
        }
        let columns: Vec<&str> = RUN_FIELDS[..7].iter().map(|field| field.name).collect();
        let rows: Vec<_> = job.runs.iter().map(run_row).collect();
        listing::print(&format, &RUN_FIELDS, &columns, &rows)?;
        Ok(0)
    }
}

fn run_row(run: &RunRecord) -> Map<String, Value> {
    let short = |id: &String| id.chars().take(12).collect();
    to_row([
        ("Iteration", run.iteration.to_string()),
        ("State", run.state().to_owned()),
        ("Exit", exit(run)),
        ("Trigger", run.trigger.word().to_owned()),
        ("Started", units::ago(run.started)),
        ("Finished", run.finished.map_or_else(dash, units::ago)),
        ("Container", run.container.as_ref().map_or_else(dash, short)),
        ("Error", run.error.clone().unwrap_or_default()),
    ])
}

#[derive(Debug, Args)]
struct Logs {
    #[arg(required = true)]
    job: String,
}

impl Run for Logs {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let job = JobRecord::find(ctx, &self.job)?;
        for run in job.runs.iter().rev() {
            let Some(id) = &run.container else { continue };
            if ContainerRecord::load(ctx, id)?.is_some()
                && let Some((logs, _)) = crate::catalog::find(&["logs"])
            {
                return logs.execute(session, &[OsString::from(id)]);
            }
        }
        Err(Failure::said("no logs available").hint(
            "the container of a run that succeeded is removed; its exit code is shown by `job runs`",
        ))
    }
}

#[derive(Debug, Args)]
struct Inspect {
    jobs: Vec<String>,
}

impl Run for Inspect {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let found: Result<Vec<JobRecord>, _> = self
            .jobs
            .iter()
            .map(|name| JobRecord::find(ctx, name))
            .collect();
        output::line(serde_json::to_string_pretty(&found?).unwrap_or_default())?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Pause {
    jobs: Vec<String>,
}

impl Run for Pause {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.jobs, |name| {
            jobs::pause(ctx, name, true)?;
            output::line(name)
        })
    }
}

#[derive(Debug, Args)]
struct Resume {
    jobs: Vec<String>,
}

impl Run for Resume {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.jobs, |name| {
            jobs::pause(ctx, name, false)?;
            output::line(name)
        })
    }
}

#[derive(Debug, Args)]
struct Remove {
    jobs: Vec<String>,
}

impl Run for Remove {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.jobs, |name| {
            jobs::remove(ctx, name)?;
            output::line(name)
        })
    }
}
