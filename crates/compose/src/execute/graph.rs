//! Which step may begin, and what a failure keeps from beginning. What a failure means stands in the plan.
//!
//! A failure outside of a roll ends all: nothing further is begun. One within a roll keeps back what needs the failed step;
//! when more slots have failed than the roll tolerates, and its reaction is not to continue, no further step of it is begun.
//! All else goes on.

use super::{Cause, StepError};
use crate::plan::{Action, Plan, Reaction, RollId, Step, StepId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(super) struct Graph<'p> {
    plan: &'p Plan,
    state: Mutex<Pending>,
    changed: Condvar,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Steps not begun, with what they still wait for.
    pub(super) left: BTreeMap<StepId, Waits>,
    working: usize,
    waiting: usize,
    pub(super) errors: Vec<StepError>,
    /// The slots of each roll that failed, by their resources.
    failed: BTreeMap<RollId, BTreeSet<String>>,
    pub(super) halted: BTreeSet<RollId>,
    /// Steps that will not be begun, since something they need has failed.
    pub(super) kept_back: BTreeSet<StepId>,
    over: bool,
}

#[derive(Debug)]
pub(super) struct Waits {
    needs: BTreeSet<StepId>,
    after: BTreeSet<StepId>,
}

impl<'p> Graph<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        let waits = |step: &Step| Waits {
            needs: step.needs.iter().copied().collect(),
            after: step.after.iter().copied().collect(),
        };
        let left = plan.steps.iter().map(|step| (step.id, waits(step)));
        let state = Pending {
            left: left.collect(),
            ..Pending::default()
        };
        Self {
            plan,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn into_outcome(self) -> Pending {
        self.state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The next step that may begin; `None` when all is done or nothing more is to be begun.
    pub(super) fn next(&self, parallel: usize, interrupted: &AtomicBool) -> Option<&'p Step> {
        let mut pending = self.lock();
        loop {
            let over = pending.over || interrupted.load(Ordering::Relaxed);
            let full = pending.working >= parallel.max(1);
            let ready = |(id, waits): (&StepId, &Waits)| {
                let step = &self.plan.steps[id - 1];
                let free = waits.needs.is_empty() && waits.after.is_empty();
                (free && (is_waiting(step) || !full)).then_some(step)
            };
            if let Some(step) = pending.left.iter().find_map(ready).filter(|_| !over) {
                pending.left.remove(&step.id);
                match is_waiting(step) {
                    true => pending.waiting += 1,
                    false => pending.working += 1,
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

    pub(super) fn finished(&self, step: &Step, outcome: Result<(), Cause>) {
        let mut pending = self.lock();
        match is_waiting(step) {
            true => pending.waiting -= 1,
            false => pending.working -= 1,
        }
        match outcome {
            Ok(()) => pending.settle(step.id, true),
            Err(source) => pending.fail(self.plan, step, source),
        }
        self.changed.notify_all();
    }
}

impl Pending {
    /// Nobody waits for the step any more.
    fn settle(&mut self, id: StepId, succeeded: bool) {
        for waits in self.left.values_mut() {
            waits.after.remove(&id);
            if succeeded {
                waits.needs.remove(&id);
            }
        }
    }

    fn fail(&mut self, plan: &Plan, step: &Step, source: Cause) {
        let interrupted = matches!(source, Cause::Interrupted);
        self.errors.push(StepError {
            resource: super::subject(&step.resource),
            roll: step.roll,
            source,
        });
        let Some(id) = step.roll.filter(|_| !interrupted) else {
            self.over = true;
            return;
        };
        let failed = self.failed.entry(id).or_default();
        failed.insert(step.resource.clone());
        let too_many = failed.len() > plan.rolls[id].tolerated;
        self.keep_back(plan, step.id);
        if too_many && plan.rolls[id].reaction != Reaction::Continue && self.halted.insert(id) {
            for other in plan.steps.iter().filter(|other| other.roll == Some(id)) {
                if self.left.remove(&other.id).is_some() {
                    self.kept_back.insert(other.id);
                    self.keep_back(plan, other.id);
                }
            }
        }
    }

    /// What needs a step that did not succeed is not begun, nor what needs that.
    fn keep_back(&mut self, plan: &Plan, id: StepId) {
        self.settle(id, false);
        for step in plan.steps.iter().filter(|step| step.needs.contains(&id)) {
            if self.left.remove(&step.id).is_some() {
                self.kept_back.insert(step.id);
                self.keep_back(plan, step.id);
            }
        }
    }
}

/// It takes no work: however many there are, they keep nobody from working.
fn is_waiting(step: &Step) -> bool {
    match &step.action {
        Action::Await { .. } => true,
        Action::Shift(shift) => shift.waits(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
