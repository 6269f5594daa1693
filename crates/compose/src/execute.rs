//! Carries a plan out, step beside step as far as their needs allow. It decides nothing.
//!
//! One thread for each step that is under way, at most [`Run::parallel`] of them at work; waiting for a condition does
//! not count, so that a slow health check holds up nobody else. After the first error no further step is begun;
//! those under way are finished, and every error is returned.

mod hook;
mod init;
mod worker;

pub(crate) use hook::run as run_hook;

use crate::plan::{Action, Plan, Step};
use crate::progress::{Event, Progress, State};
use crate::{condition, files};
use engine::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
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
    #[error("hook {command:?} exited with status {code}")]
    Hook { command: String, code: i32 },
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
