//! What will be done, as data: steps with what they need and why they are there.
//!
//! A plan is made by pure functions from the project and what exists ([`up`], [`down`], [`lifecycle`]), printed by
//! [`print`] and carried out by [`crate::execute`], which decides nothing: what is not in the plan does not happen.
//! Source: docker/compose v5 `pkg/compose/reconcile.go`.

pub mod down;
pub mod hooks;
pub(crate) mod init;
pub mod lifecycle;
pub mod live;
pub mod print;
pub mod roll;
pub mod shift;
pub mod up;

#[cfg(test)]
mod tests;

use crate::spec::Material;
use compose_file::project::{Condition, Hook};
use engine::jobs::JobRecord;
use engine::volume::VolumeSpec;
pub use live::LiveChange;
use model::container::ContainerSpec;
use model::network::NetworkSpec;
pub use roll::{Reaction, Roll, RollId};
pub use shift::Shift;

/// A number by which steps name each other; steps are numbered from 1 in the order of the plan.
pub type StepId = usize;

/// Steps, and what was found to need none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Services that are replaced some containers at a time: what their steps have in common.
    pub rolls: Vec<Roll>,
    /// Containers that are as the file wants them.
    pub unchanged: Vec<String>,
    /// Services that cannot run here.
    pub pending: Vec<Pending>,
    pub warnings: Vec<String>,
}

/// A service that is not started, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub service: String,
    pub why: String,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub id: StepId,
    /// Steps that must have succeeded before.
    pub needs: Vec<StepId>,
    /// Steps that must be over before, however they ended.
    pub after: Vec<StepId>,
    /// The roll it is part of: what comes of its failure is said there.
    pub roll: Option<RollId>,
    /// `service:web:1`, `network:default`, `volume:data`.
    pub resource: String,
    pub action: Action,
    pub cause: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    CreateNetwork {
        spec: NetworkSpec,
    },
    RemoveNetwork {
        name: String,
    },
    CreateVolume {
        spec: VolumeSpec,
    },
    RemoveVolume {
        name: String,
    },
    CreateContainer(Box<NewContainer>),
    RenameContainer {
        from: String,
        to: String,
    },
    StartContainer {
        name: String,
        service: String,
    },
    /// `timeout`: seconds before the kill, instead of the container's own.
    StopContainer {
        name: String,
        timeout: Option<u64>,
    },
    KillContainer {
        name: String,
        signal: String,
    },
    RemoveContainer {
        name: String,
        /// Even if it has come to life since the plan was made (started by a command that was killed).
        force: bool,
        volumes: bool,
    },
    RestartContainer {
        name: String,
        timeout: Option<u64>,
    },
    PauseContainer {
        name: String,
    },
    UnpauseContainer {
        name: String,
    },
    /// Wait until every one of the containers meets the condition.
    Await {
        containers: Vec<String>,
        condition: Condition,
        required: bool,
    },
    RemoveImage {
        reference: String,
    },
    /// Takes a job with its schedule in, or what is new about it.
    RegisterJob(Box<NewJob>),
    RemoveJob {
        name: String,
    },
    /// Of a rolling update.
    Shift(Shift),
    /// Without a new container.
    Change(LiveChange),
    /// A step of `pre_start`: made, run to its end, and removed when that was good.
    RunInitContainer(Box<NewContainer>),
    /// A command of `post_start` or `pre_stop`, in the container.
    RunHook {
        container: String,
        hook: Hook,
    },
}

/// A container to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewContainer {
    pub service: String,
    pub number: u32,
    /// The name it is made under.
    pub name: String,
    /// The name it will have in the end; another one while it replaces a container.
    pub final_name: String,
    pub spec: ContainerSpec,
    pub files: Vec<Material>,
    /// The image to make it from; `None` (in a plan that is only shown): not there yet.
    pub image_id: Option<String>,
}

/// A job to be registered.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    pub record: JobRecord,
    pub files: Vec<Material>,
    /// The image of its runs; `None` (in a plan that is only shown): not there yet.
    pub image_id: Option<String>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(crate) fn add(
        &mut self,
        needs: Vec<StepId>,
        resource: String,
        action: Action,
        cause: impl Into<String>,
    ) -> StepId {
        let id = self.steps.len() + 1;
        let mut needs = needs;
        needs.sort_unstable();
        needs.dedup();
        self.steps.push(Step {
            id,
            needs,
            after: Vec::new(),
            roll: None,
            resource,
            action,
            cause: cause.into(),
        });
        id
    }

    pub(crate) fn also_needs(&mut self, step: StepId, needed: StepId) {
        let needs = &mut self.steps[step - 1].needs;
        if step != needed && !needs.contains(&needed) {
            needs.push(needed);
            needs.sort_unstable();
        }
    }

    /// The containers that the plan starts, by name.
    pub fn started(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::StartContainer { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }
}

impl Action {
    /// The name of what is acted upon, as it will be once the plan is carried out.
    pub fn object(&self) -> &str {
        match self {
            Self::CreateNetwork { spec } => &spec.name,
            Self::CreateVolume { spec } => spec.name.as_deref().unwrap_or_default(),
            Self::CreateContainer(new) | Self::RunInitContainer(new) => &new.final_name,
            Self::RenameContainer { to, .. } => to,
            Self::RegisterJob(new) => &new.record.name,
            Self::RemoveNetwork { name }
            | Self::RemoveVolume { name }
            | Self::RemoveJob { name }
            | Self::StartContainer { name, .. }
            | Self::StopContainer { name, .. }
            | Self::KillContainer { name, .. }
            | Self::RemoveContainer { name, .. }
            | Self::RestartContainer { name, .. }
            | Self::PauseContainer { name }
            | Self::UnpauseContainer { name } => name,
            Self::Await { containers, .. } => containers.first().map_or("", String::as_str),
            Self::RemoveImage { reference } => reference,
            Self::Shift(shift) => shift.container(),
            Self::Change(change) => change.container(),
            Self::RunHook { container, .. } => container,
        }
    }

    /// The operation's name in a printed plan.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::CreateNetwork { .. } => "CreateNetwork",
            Self::RemoveNetwork { .. } => "RemoveNetwork",
            Self::CreateVolume { .. } => "CreateVolume",
            Self::RemoveVolume { .. } => "RemoveVolume",
            Self::CreateContainer(_) => "CreateContainer",
            Self::RenameContainer { .. } => "RenameContainer",
            Self::StartContainer { .. } => "StartContainer",
            Self::StopContainer { .. } => "StopContainer",
            Self::KillContainer { .. } => "KillContainer",
            Self::RemoveContainer { .. } => "RemoveContainer",
            Self::RestartContainer { .. } => "RestartContainer",
            Self::PauseContainer { .. } => "PauseContainer",
            Self::UnpauseContainer { .. } => "UnpauseContainer",
            Self::Await { .. } => "WaitForDependency",
            Self::RemoveImage { .. } => "RemoveImage",
            Self::RegisterJob(_) => "RegisterJob",
            Self::RemoveJob { .. } => "RemoveJob",
            Self::RunInitContainer(_) => "RunInitContainer",
            Self::RunHook { .. } => "RunHook",
            Self::Shift(shift) => shift.operation(),
            Self::Change(change) => change.operation(),
        }
    }
}
