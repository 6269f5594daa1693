//! The `pre_start` steps of services, put into the plan of `up`: containers that run to their end, one after the other, before
//! a service's own containers start.
//!
//! They run once for the service, when none of its containers is up yet; those with `per_replica` before every start of every
//! container. Each has the service's networks, variables and secrets, and the mounts of the container it runs for, which is made
//! but not started. One that ends with another status than 0 keeps the service, and what needs it, from starting.
//! Source: Compose Specification `05-services.md`, `pre_start`; docker/compose pull request 13862.

use super::up::Input;
use super::{Action, NewContainer, Plan, StepId};
use crate::labels;
use compose_file::Service;
use compose_file::project::InitHook;
use model::restart::RestartPolicy;

/// Adds the steps to a plan.
pub(crate) fn insert(plan: &mut Plan, input: Input<'_>) {
    for service in &input.project.services {
        if service.pre_start.is_empty() {
            continue;
        }
        let starts = starts(plan, service);
        let (each, once): (Vec<_>, Vec<_>) = service
            .pre_start
            .iter()
            .enumerate()
            .partition(|(_, hook)| hook.per_replica);
        let mut shared = None;
        if let Some((first, name)) = starts.first()
            && !is_up(plan, input, service)
        {
            let needs = plan.steps[first - 1].needs.clone();
            let resource = plan.steps[first - 1].resource.clone();
            shared = chain(plan, input, service, (needs, &resource), name, &once);
        }
        for (start, name) in starts {
            if let Some(last) = shared {
                plan.also_needs(start, last);
            }
            let needs = plan.steps[start - 1].needs.clone();
            let resource = plan.steps[start - 1].resource.clone();
            if let Some(last) = chain(plan, input, service, (needs, &resource), &name, &each) {
                plan.also_needs(start, last);
            }
        }
    }
}

/// The steps before a container that `run` made starts. Those for the service as a whole have been run where it is up.
pub(crate) fn before_run(input: Input<'_>, service: &Service, container: &str) -> Plan {
    let up = input
        .observed
        .of_service(&service.name)
        .any(|c| c.status.is_active());
    let hooks = service.pre_start.iter().enumerate();
    let hooks: Vec<_> = hooks.filter(|(_, hook)| hook.per_replica || !up).collect();
    let mut plan = Plan::default();
    let resource = super::up::resource(&service.name, 1);
    chain(
        &mut plan,
        input,
        service,
        (Vec::new(), &resource),
        container,
        &hooks,
    );
    plan
}

/// The steps that start a container of the service, with its name.
fn starts(plan: &Plan, service: &Service) -> Vec<(StepId, String)> {
    let of = |step: &super::Step| match &step.action {
        Action::StartContainer { name, service: of } if *of == service.name => {
            Some((step.id, name.clone()))
        }
        _ => None,
    };
    plan.steps.iter().filter_map(of).collect()
}

/// Whether a container of the service runs and stays.
fn is_up(plan: &Plan, input: Input<'_>, service: &Service) -> bool {
    input
        .observed
        .of_service(&service.name)
        .any(|container| plan.unchanged.contains(&container.name))
}

/// One step for each hook, each after the one before and all after what the start itself waits for; gives the last.
fn chain(
    plan: &mut Plan,
    input: Input<'_>,
    service: &Service,
    (mut needs, resource): (Vec<StepId>, &str),
    container: &str,
    hooks: &[(usize, &InitHook)],
) -> Option<StepId> {
    let mut last = None;
    for (index, hook) in hooks {
        let new = init_container(input, service, container, *index, hook)?;
        let action = Action::RunInitContainer(Box::new(new));
        let cause = format!("pre_start[{index}] of {}", service.name);
        let step = plan.add(needs, resource.to_owned(), action, cause);
        needs = vec![step];
        last = Some(step);
    }
    last
}

/// The service's container with the hook's words in it, without what only a service has.
fn init_container(
    input: Input<'_>,
    service: &Service,
    container: &str,
    index: usize,
    hook: &InitHook,
) -> Option<NewContainer> {
    let base = input.specs.get(&service.name)?;
    let mut spec = base.spec.clone();
    // The loader names the service's image where the step names none.
    let own_image = hook.image.as_ref().filter(|image| **image != spec.image);
    if let Some(image) = own_image {
        spec.image.clone_from(image);
        spec.entrypoint = None;
        spec.command = None;
    }
    let step = &hook.hook;
    if !step.command.is_empty() {
        spec.command = Some(step.command.clone());
    }
    spec.user = step.user.clone().or(spec.user);
    spec.working_dir = step.working_dir.clone().or(spec.working_dir);
    spec.privileged |= step.privileged;
    let added = crate::spec::environment(&step.environment);
    spec.env
        .retain(|entry| !step.environment.contains_key(key(entry)));
    spec.env.extend(added);
    // It shares the mounts of the container it runs for, also those that nobody named.
    spec.mounts.retain(|mount| {
        matches!(
            mount.kind,
            model::mount::MountKind::Tmpfs { .. } | model::mount::MountKind::Image { .. }
        )
    });
    spec.volumes_from = vec![container.to_owned()];
    spec.ports.clear();
    spec.healthcheck = None;
    spec.restart = RestartPolicy::default();
    spec.hostname = None;
    for endpoint in &mut spec.networks {
        endpoint.aliases.clear();
        // Its fixed addresses belong to the service's own containers.
        endpoint.ipv4_address = None;
        endpoint.ipv6_address = None;
        endpoint.mac_address = None;
    }
    spec.labels.remove(labels::DEPENDS_ON);
    spec.labels.remove(labels::CONFIG_HASH);
    for (key, value) in [
        (labels::ONEOFF, "True"),
        (labels::HOOK, "pre_start"),
        (labels::NUMBER, "1"),
    ] {
        spec.labels.insert(key.to_owned(), value.to_owned());
    }
    let by = input.options.separator.as_str();
    let name = format!("{container}{by}pre_start{by}{index}");
    Some(NewContainer {
        service: service.name.clone(),
        number: 1,
        final_name: name.clone(),
        name,
        spec,
        files: base.files.clone(),
        image_id: own_image.cloned().or_else(|| image_of(input, service)),
    })
}

fn image_of(input: Input<'_>, service: &Service) -> Option<String> {
    match input.images.get(&service.name)? {
        super::up::ImageState::Present { id, .. } => Some(id.clone()),
        super::up::ImageState::Missing(_) => None,
    }
}

fn key(entry: &str) -> &str {
    entry.split('=').next().unwrap_or(entry)
}

/// The images of the steps of services that are to be there before anything is made: reference and platform.
pub(crate) fn images<'a>(
    services: &'a [&'a Service],
) -> impl Iterator<Item = (&'a Service, &'a str)> {
    services.iter().flat_map(|service| {
        let hooks = service.pre_start.iter();
        hooks.filter_map(|hook| Some((*service, hook.image.as_deref()?)))
    })
}
