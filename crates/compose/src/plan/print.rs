//! A plan as text and as JSON.
//!
//! ```text
//! [] -> #1 network:default, CreateNetwork shop_default, not found
//! [1] -> #2 service:web:1, CreateContainer shop-web-1, no existing container
//! [2] -> #3 service:web:1, StartContainer shop-web-1, no existing container
//! ```

use super::{Action, Plan, Roll, Step};
use compose_file::project::Condition;
use serde_json::{Value, json};
use std::fmt::{self, Write};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With a tilde: it may also have failed.
        let needs = self.needs.iter().map(ToString::to_string);
        let after = self.after.iter().map(|id| format!("~{id}"));
        let needs: Vec<String> = needs.chain(after).collect();
        write!(
            f,
            "[{}] -> #{} {}, {}",
            needs.join(","),
            self.id,
            self.resource,
            self.action.operation()
        )?;
        match &self.action {
            Action::Await { condition, .. } => {
                write!(f, " {}", crate::spec::condition_word(*condition))?;
            }
            Action::Shift(shift) => write!(f, " {}", shift.words())?,
            Action::Change(change) => write!(f, " {}", change.words())?,
            action => write!(f, " {}", action.object())?,
        }
        write!(f, ", {}", self.cause)
    }
}

impl fmt::Display for Plan {
    /// One line for each step, then what needs none. Ends without a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for step in &self.steps {
            let _ = writeln!(text, "{step}");
        }
        for roll in &self.rolls {
            let _ = writeln!(text, "{roll}");
        }
        for pending in &self.pending {
            let _ = writeln!(
                text,
                "Service {}  Pending, {}",
                pending.service, pending.why
            );
        }
        for name in &self.unchanged {
            let _ = writeln!(text, "Container {name}  Running");
        }
        if self.steps.is_empty() {
            text.push_str("Nothing to do: everything is as the file wants it\n");
        }
        f.write_str(text.trim_end())
    }
}

impl Plan {
    /// The plan for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "changes": !self.steps.is_empty(),
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
            "rolls": self.rolls.iter().map(Roll::json).collect::<Vec<_>>(),
            "unchanged": self.unchanged,
            "pending": self.pending.iter().map(|p| json!({"service": p.service, "why": p.why})).collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
    }
}

fn step(step: &Step) -> Value {
    let object = match &step.action {
        Action::CreateNetwork { spec } => json!({"network": spec.name}),
        Action::RemoveNetwork { name } => json!({"network": name}),
        Action::CreateVolume { spec } => json!({"volume": spec.name}),
        Action::RemoveVolume { name } => json!({"volume": name}),
        Action::CreateContainer(new) => json!({"container": new.name, "image": new.spec.image}),
        Action::RunInitContainer(new) => {
            json!({"container": new.name, "image": new.spec.image, "command": new.spec.command})
        }
        Action::RenameContainer { from, to } => json!({"container": from, "to": to}),
        Action::StartContainer { name, .. }
        | Action::StopContainer { name, .. }
        | Action::KillContainer { name, .. }
        | Action::RemoveContainer { name, .. }
        | Action::RestartContainer { name, .. }
        | Action::PauseContainer { name }
        | Action::UnpauseContainer { name } => json!({"container": name}),
        Action::Await {
            containers,
            condition,
            required,
        } => {
            json!({"containers": containers, "condition": crate::spec::condition_word(*condition), "required": required})
        }
        Action::RunHook { container, hook } => {
            json!({ "container": container, "command": hook.command })
        }
        Action::RegisterJob(new) => json!({
            "job": new.record.name,
            "schedule": new.record.schedule.as_ref().map(|s| s.cron.as_str()),
        }),
        Action::RemoveJob { name } => json!({"job": name}),
        Action::RemoveImage { reference } => json!({"image": reference}),
        Action::Shift(shift) => shift.json(),
        Action::Change(change) => change.json(),
    };
    json!({
        "id": step.id,
        "needs": step.needs,
        "after": step.after,
        "roll": step.roll,
        "resource": step.resource,
        "operation": step.action.operation(),
        "object": object,
        "cause": step.cause,
    })
}

/// What a condition is called once it is met.
pub(crate) fn met(condition: Condition) -> &'static str {
    match condition {
        Condition::Started => "Started",
        Condition::Healthy => "Healthy",
        Condition::CompletedSuccessfully => "Exited",
    }
}
