//! Carries a plan out, step beside step as far as their needs allow. It decides nothing.
//!
//! One thread for each step that is under way, at most [`Run::parallel`] of them at work; waiting for a condition does
//! not count, so that a slow health check holds up nobody else. After the first error no further step is begun, but for
//! those of rolling updates ([`graph`]); those under way are finished, and every error is returned.

mod change;
mod graph;
mod hook;
mod init;
mod shift;
mod worker;

pub(crate) use hook::run as run_hook;

use crate::plan::{Plan, RollId};
use crate::progress::{Event, Progress, State};
use crate::{condition, files};
use engine::Context;
use graph::Graph;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use worker::Worker;

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
    /// The roll of the plan that it was part of.
    pub roll: Option<RollId>,
    pub source: Cause,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("cannot {verb} {what}")]
    Engine {
        verb: &'static str,
        what: String,
        source: Box<engine::Error>,
    },
    #[error("dependency failed to start: {0}")]
    Dependency(Box<condition::Error>),
    #[error("its new container does not come up: {error}{last_words}")]
    NotReady {
        error: Box<condition::Error>,
        /// What it wrote last, each line on one of its own.
        last_words: String,
    },
    #[error("interrupted")]
    Interrupted,
    #[error("cannot write the files of container {container}")]
    Files {
        container: String,
        source: files::Error,
    },
    #[error("init container {container} exited with status {code}{}: see `docker logs {container}`", said(.output))]
    Init {
        container: String,
        code: u8,
        /// The last line of its output.
        output: String,
    },
    #[error("{service} hook exited with status {code}: {command}")]
    Hook {
        service: String,
        command: String,
        code: i32,
    },
    #[error("cannot run the hook in container {container}")]
    NoHook {
        container: String,
        source: std::io::Error,
    },
    #[error("image {0} is not there any more")]
    NoImage(String),
}

fn said(output: &str) -> String {
    match output.trim() {
        "" => String::new(),
        line => format!(", after it had said {line:?}"),
    }
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
    /// Rolls of the plan that were given up half-way: what is to be done about it is said there.
    pub halted: BTreeSet<RollId>,
    /// Things that were not touched, since something they needed has failed: `service:web:1`.
    pub kept_back: BTreeSet<String>,
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
    let worker = Worker::new(run, plan);
    let graph = Graph::new(plan);
    std::thread::scope(|scope| {
        while let Some(step) = graph.next(run.parallel, run.interrupted) {
            let (graph, worker) = (&graph, &worker);
            scope.spawn(move || {
                let outcome = worker.carry_out(step);
                graph.finished(step, outcome);
            });
        }
    });
    let outcome = graph.into_outcome();
    if outcome.errors.is_empty() && outcome.left.is_empty() {
        return Ok(());
    }
    let resource = |id: &usize| plan.steps[id - 1].resource.clone();
    Err(Failed {
        errors: outcome.errors,
        halted: outcome.halted,
        kept_back: outcome.kept_back.iter().map(resource).collect(),
    })
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
