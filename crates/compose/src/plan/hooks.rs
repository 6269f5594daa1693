//! The hooks of services, put into a plan: `post_start` after each start, `pre_stop` before each stop.
//!
//! Hooks of one service run one after the other; what waited for the start waits for them too.
//! Source: Compose Specification `05-services.md`, `post_start`, `pre_stop`.

use super::{Action, Plan, StepId};
use compose_file::Project;
use compose_file::project::Hook;

/// Adds the hooks to a plan.
pub fn insert(plan: &mut Plan, project: &Project) {
    for id in 1..=plan.steps.len() {
        let step = &plan.steps[id - 1];
        let Some(service) = service_of(&step.resource).and_then(|name| project.service(name))
        else {
            continue;
        };
        match &step.action {
            Action::StartContainer { name, .. } => {
                let name = name.clone();
                after(plan, id, &name, &service.post_start);
            }
            Action::StopContainer { name, .. } => {
                let name = name.clone();
                before(plan, id, &name, &service.pre_stop);
            }
            Action::RestartContainer { name, .. } => {
                let name = name.clone();
                before(plan, id, &name, &service.pre_stop);
                after(plan, id, &name, &service.post_start);
            }
            _ => {}
        }
    }
}

fn service_of(resource: &str) -> Option<&str> {
    resource.strip_prefix("service:")?.split(':').next()
}

fn after(plan: &mut Plan, start: StepId, container: &str, hooks: &[Hook]) {
    let Some(last) = chain(plan, vec![start], start, container, hooks, "post_start") else {
        return;
    };
    for step in &mut plan.steps[..] {
        let is_hook =
            matches!(&step.action, Action::RunHook { container: of, .. } if of == container);
        if step.needs.contains(&start) && !is_hook {
            step.needs.push(last);
        }
    }
}

fn before(plan: &mut Plan, stop: StepId, container: &str, hooks: &[Hook]) {
    let needs = plan.steps[stop - 1].needs.clone();
    if let Some(last) = chain(plan, needs, stop, container, hooks, "pre_stop") {
        plan.also_needs(stop, last);
    }
}

/// One step for each hook, each after the one before; gives the last.
fn chain(
    plan: &mut Plan,
    mut needs: Vec<StepId>,
    of: StepId,
    container: &str,
    hooks: &[Hook],
    cause: &str,
) -> Option<StepId> {
    let mut last = None;
    for hook in hooks {
        let action = Action::RunHook {
            container: container.to_owned(),
            hook: hook.clone(),
        };
        let resource = plan.steps[of - 1].resource.clone();
        let roll = plan.steps[of - 1].roll;
        let step = plan.add(needs, resource, action, cause);
        plan.steps[step - 1].roll = roll;
        needs = vec![step];
        last = Some(step);
    }
    last
}
