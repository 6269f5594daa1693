//! What comes of a rolling update that failed, as its plan says: it stays where it is, or the service becomes again what it was.
//!
//! The way back is planned anew from what then exists, with the service as its containers were before; so it is right however
//! far the update had come, and a command killed on the way back leaves what the next `up` understands.

use crate::execute::{self, Failed, Run};
use crate::observe::Observed;
use crate::plan::roll::Earlier;
use crate::plan::up::{ImageState, Options, Recreate};
use crate::plan::{Plan, Reaction};
use crate::up::{self, Request};
use compose_file::Project;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// A rolling update that failed, and what was done about it.
#[derive(Debug, thiserror::Error)]
#[error("update of {} {outcome}", named(.services))]
pub struct Error {
    pub services: Vec<String>,
    pub failed: Failed,
    #[source]
    pub outcome: Outcome,
}

#[derive(Debug, thiserror::Error)]
pub enum Outcome {
    #[error("paused: what is replaced stays, what is not is as it was")]
    Paused,
    #[error("failed; rolled back to what it was before")]
    RolledBack,
    #[error("failed, and could not be rolled back")]
    NotRolledBack(#[source] Box<up::Error>),
}

fn named(services: &[String]) -> String {
    let word = if services.len() == 1 {
        "service"
    } else {
        "services"
    };
    format!("{word} {}", services.join(", "))
}

/// Does what the plan says about the rolls that were given up; gives what is to be told.
pub(crate) fn react(
    run: Run<'_>,
    project: &Project,
    request: &Request,
    plan: &Plan,
    failed: Failed,
) -> up::Error {
    let halted = failed.halted.iter().map(|id| &plan.rolls[*id]);
    let mut back: BTreeMap<&str, &Earlier> = BTreeMap::new();
    let mut paused = Vec::new();
    for roll in halted {
        match &roll.reaction {
            Reaction::Rollback(earlier) => _ = back.insert(&roll.service, earlier),
            Reaction::Pause | Reaction::Continue => paused.push(roll.service.clone()),
        }
    }
    if run.interrupted.load(Ordering::Relaxed) || (back.is_empty() && paused.is_empty()) {
        return up::Error::Failed(failed);
    }
    if back.is_empty() {
        let outcome = Outcome::Paused;
        return told(paused, failed, outcome);
    }
    let services = back.keys().map(ToString::to_string).collect();
    let outcome = match go_back(run, project, request, &back) {
        Ok(()) => Outcome::RolledBack,
        Err(error) => Outcome::NotRolledBack(Box::new(error)),
    };
    told(services, failed, outcome)
}

fn told(services: Vec<String>, failed: Failed, outcome: Outcome) -> up::Error {
    up::Error::Roll(Box::new(Error {
        services,
        failed,
        outcome,
    }))
}

fn go_back(
    run: Run<'_>,
    project: &Project,
    request: &Request,
    back: &BTreeMap<&str, &Earlier>,
) -> Result<(), up::Error> {
    let (mut specs, mut images) = (BTreeMap::new(), BTreeMap::new());
    for (service, earlier) in back {
        specs.insert((*service).to_owned(), earlier.spec.clone());
        let image = ImageState::Present {
            id: earlier.image_id.clone(),
            volumes: Vec::new(),
        };
        images.insert((*service).to_owned(), image);
    }
    let options = Options {
        services: specs.keys().cloned().collect(),
        recreate: Recreate::Diverged,
        recreate_dependencies: Recreate::Never,
        no_dependencies: true,
        remove_orphans: false,
        ignore_orphans: true,
        going_back: true,
        ..request.options.clone()
    };
    let observed = Observed::read(run.ctx, &project.name)?;
    let plan = up::make(run.ctx, project, &observed, &specs, &images, &options)?;
    execute::execute(run, &plan)?;
    Ok(())
}
