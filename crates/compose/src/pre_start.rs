//! `pre_start` of services outside `up`: before what `start` starts, and before the container of a `run`.

use crate::execute::Run;
use crate::images;
use crate::names::Separator;
use crate::observe::Observed;
use crate::placement::Node;
use crate::plan::up::{Input, Options};
use crate::plan::{Action, Plan, init};
use crate::up::{self, Error};
use compose_file::{Project, Service};

/// Puts the `pre_start` steps of the services that a plan starts into it, for `start`.
pub fn insert(
    run: Run<'_>,
    project: &Project,
    plan: &mut Plan,
    separator: Separator,
) -> Result<(), Error> {
    let starts = |service: &&Service| {
        !service.pre_start.is_empty()
            && plan.steps.iter().any(
                |s| matches!(&s.action, Action::StartContainer { service: of, .. } if *of == service.name),
            )
    };
    let services: Vec<&Service> = project.services.iter().filter(starts).collect();
    with_input(run, project, &services, separator, |input| {
        init::insert(plan, input);
    })
}

/// The `pre_start` steps before a container that `run` made.
pub fn before_run(
    run: Run<'_>,
    project: &Project,
    service: &Service,
    container: &str,
    separator: Separator,
) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    if !service.pre_start.is_empty() {
        with_input(run, project, &[service], separator, |input| {
            plan = init::before_run(input, service, container);
        })?;
    }
    Ok(plan)
}

/// Everything that the steps of services are made from; the images they run from are fetched.
fn with_input(
    run: Run<'_>,
    project: &Project,
    services: &[&Service],
    separator: Separator,
    make: impl FnOnce(Input<'_>),
) -> Result<(), Error> {
    if services.is_empty() {
        return Ok(());
    }
    let ctx = run.ctx;
    let options = Options {
        separator,
        ..Options::default()
    };
    let specs = up::specs(ctx, project, services, &options)?;
    let observed = Observed::read(ctx, &project.name)?;
    images::of_init_containers(ctx, project, services, Default::default(), run.progress)?;
    make(Input {
        project,
        observed: &observed,
        specs: &specs,
        images: &images::look(ctx, project, services, Default::default())?,
        node: &Node::of(ctx)?,
        options: &options,
    });
    Ok(())
}
