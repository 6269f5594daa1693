//! What begins after what, and what a failure keeps from beginning.

use super::*;
use crate::plan::roll::{Roll, Rules};
use crate::plan::{Plan, Shift};
use compose_file::project::UpdateConfig;
use std::sync::atomic::AtomicBool;

fn step(plan: &mut Plan, needs: Vec<StepId>, slot: u32, roll: Option<RollId>) -> StepId {
    let action = Action::Shift(Shift::Withdraw {
        container: format!("web-{slot}"),
    });
    let id = plan.add(needs, format!("service:web:{slot}"), action, "test");
    plan.steps[id - 1].roll = roll;
    id
}

/// Two batches of one slot, each of two steps, and a service that needs the whole.
fn rolling(tolerated: usize, reaction: Reaction) -> Plan {
    let mut plan = Plan::default();
    plan.rolls.push(Roll {
        service: "web".into(),
        slots: 2,
        rules: Rules::of(&UpdateConfig::default()),
        tolerated,
        reaction,
    });
    let first = step(&mut plan, vec![], 1, Some(0));
    let ready = step(&mut plan, vec![first], 1, Some(0));
    let second = step(&mut plan, vec![], 2, Some(0));
    plan.steps[second - 1].after = vec![ready];
    let last = step(&mut plan, vec![second], 2, Some(0));
    step(&mut plan, vec![ready, last], 9, None);
    plan
}

/// Carries a plan out in which the steps of `failing` fail; gives the steps begun.
fn played(plan: &Plan, failing: &[StepId]) -> (Vec<StepId>, Pending) {
    let graph = Graph::new(plan);
    let mut begun = Vec::new();
    let interrupted = AtomicBool::new(false);
    while let Some(step) = graph.next(1, &interrupted) {
        begun.push(step.id);
        let outcome = match failing.contains(&step.id) {
            true => Err(Cause::NoImage("x".into())),
            false => Ok(()),
        };
        graph.finished(step, outcome);
    }
    (begun, graph.into_outcome())
}

#[test]
fn a_batch_comes_after_the_one_before_and_dependents_last() {
    let (begun, outcome) = played(&rolling(0, Reaction::Pause), &[]);
    assert_eq!(begun, [1, 2, 3, 4, 5]);
    assert!(outcome.errors.is_empty() && outcome.left.is_empty());
}

#[test]
fn a_failure_that_is_not_tolerated_halts_the_roll_and_nothing_else() {
    let mut plan = rolling(0, Reaction::Pause);
    let other = step(&mut plan, vec![], 7, None);
    let (begun, outcome) = played(&plan, &[1]);
    assert_eq!(begun, [1, other]);
    assert_eq!(outcome.halted, BTreeSet::from([0]));
    assert_eq!(outcome.kept_back, BTreeSet::from([2, 3, 4, 5]));
    assert!(outcome.left.is_empty());
}

#[test]
fn what_is_tolerated_lets_the_next_batch_begin_but_nobody_who_needs_all() {
    let (begun, outcome) = played(&rolling(1, Reaction::Pause), &[2]);
    assert_eq!(begun, [1, 2, 3, 4]);
    assert!(outcome.halted.is_empty());
    assert_eq!(outcome.kept_back, BTreeSet::from([5]));
    let (begun, outcome) = played(&rolling(1, Reaction::Pause), &[1, 3]);
    assert_eq!(begun, [1, 3], "the second one is too many");
    assert_eq!(outcome.halted, BTreeSet::from([0]));
}

#[test]
fn continue_is_never_halted() {
    let (begun, outcome) = played(&rolling(0, Reaction::Continue), &[1, 3]);
    assert_eq!(begun, [1, 3]);
    assert!(outcome.halted.is_empty());
    assert_eq!(outcome.errors.len(), 2);
}

#[test]
fn a_failure_outside_of_rolls_ends_all() {
    let mut plan = Plan::default();
    step(&mut plan, vec![], 1, None);
    step(&mut plan, vec![], 2, None);
    let (begun, outcome) = played(&plan, &[1]);
    assert_eq!(begun, [1]);
    assert_eq!(outcome.left.len(), 1);
}
