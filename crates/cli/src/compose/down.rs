//! `down`.

use super::Call;
use super::display::Display;
use super::project::{Target, steps_failure, up_failure};
use super::verb::{Run, Verb, usage, verb};
use crate::failure::Outcome;
use crate::output;
use clap::Args;
use compose::execute;
use compose::observe::Observed;
use compose::plan::down::{self, Images, Options};
use compose::swarm::changes::Changes;
use std::sync::atomic::AtomicBool;

pub(crate) const VERBS: &[Verb] = &[verb::<Down>(
    &["down"],
    "[OPTIONS] [SERVICES]",
    "Stop and remove containers, networks",
)
.examples("down\ndown -v --rmi local")];

#[derive(Debug, Args)]
struct Down {
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Remove images used by services. "local" remove only images that don't have a custom tag ("local"|"all")
    #[arg(long, value_name = "string")]
    rmi: Option<String>,
    /// Specify a shutdown timeout in seconds
    #[arg(short, long, value_name = "int")]
    timeout: Option<u64>,
    /// Remove named volumes declared in the "volumes" section of the Compose file and anonymous volumes attached to containers
    #[arg(short, long)]
    volumes: bool,
    service: Vec<String>,
}

impl Run for Down {
    fn run(self, call: &Call<'_>) -> Outcome {
        let images = match self.rmi.as_deref() {
            None => Images::Keep,
            Some("local") => Images::Local,
            Some("all") => Images::All,
            Some(other) => {
                return Err(usage(format!(
                    "invalid value for --rmi: {other:?}: use local or all"
                )));
            }
        };
        let variable = "COMPOSE_REMOVE_ORPHANS";
        let target = call.target(&self.service)?;
        let orphans = self.remove_orphans
            || std::env::var(variable).is_ok_and(|v| super::globals::is_true(&v))
            || target
                .project
                .as_ref()
                .is_some_and(|project| super::make::said_of(project, variable));
        let options = Options {
            volumes: self.volumes,
            remove_orphans: orphans,
            images,
            timeout: self.timeout,
            services: self.service,
        };
        take_down(call, &target, &options)
    }
}

/// Takes the project down.
pub(super) fn take_down(call: &Call<'_>, target: &Target, options: &Options) -> Outcome {
    let ctx = call.ctx()?;
    let _lock = compose::up::lock(ctx, &target.name).map_err(up_failure)?;
    let observed = Observed::read(ctx, &target.name)?;
    let mut plan = down::plan(&target.name, target.project.as_ref(), &observed, options);
    if let Some(project) = &target.project {
        compose::plan::hooks::insert(&mut plan, project);
    }
    for warning in &plan.warnings {
        call.warn(warning);
    }
    if call.globals.dry_run {
        output::line(&plan)?;
        return Ok(0);
    }
    let provided = target
        .project
        .iter()
        .flat_map(|project| &project.services)
        .any(|service| service.provider.is_some());
    if plan.is_empty() && !provided {
        call.warn(&format!(
            "No resource found to remove for project {:?}.",
            target.name
        ));
        return Ok(0);
    }
    let display = Display::new(&call.globals, false);
    let interrupted = AtomicBool::new(false);
    let run = call.running(&display, &interrupted)?;
    execute::execute(run, &plan).map_err(steps_failure)?;
    if let Some(project) = target
        .project
        .as_ref()
        .filter(|_| options.services.is_empty())
    {
        compose::provider::down(call.ctx()?, project, &display).map_err(super::failed)?;
    }
    compose::up::sweep(ctx, &target.name).map_err(up_failure)?;
    Changes::forget(ctx, &target.name, &options.services)?;
    Ok(0)
}
