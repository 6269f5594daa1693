//! What all verbs that make containers share: their flags, and bringing a project up with its progress shown.

use super::display::Display;
use super::globals::is_true;
use super::project::{steps_failure, up_failure};
use super::verb::usage;
use super::{Call, images};
use crate::failure::Failure;
use clap::Args;
use compose::execute::{self, PARALLEL};
use compose::plan::up::{Options, Recreate};
use compose::plan::{Plan, lifecycle};
use compose::progress::Progress;
use compose::spec;
use compose::swarm::changes::Changes;
use compose::up::Request;
use compose_file::Project;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

/// The flags of everything that makes containers.
#[derive(Debug, Default, Args)]
pub(crate) struct MakeFlags {
    /// Build images before starting containers
    #[arg(long)]
    pub(super) build: bool,
    /// Don't build an image, even if it's policy
    #[arg(long)]
    pub(super) no_build: bool,
    /// Pull image before running ("always"|"missing"|"never")
    #[arg(long, value_name = "string")]
    pub(super) pull: Option<String>,
    /// Pull without printing progress information
    #[arg(long)]
    pub(super) quiet_pull: bool,
    /// Suppress the build output
    #[arg(long)]
    pub(super) quiet_build: bool,
    /// Recreate containers even if their configuration and image haven't changed
    #[arg(long)]
    pub(super) force_recreate: bool,
    /// If containers already exist, don't recreate them
    #[arg(long)]
    pub(super) no_recreate: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    pub(super) remove_orphans: bool,
    /// Scale SERVICE to NUM instances
    #[arg(long, value_name = "scale")]
    pub(super) scale: Vec<String>,
    /// Assume "yes" as answer to all prompts
    #[arg(short = 'y', long)]
    pub(super) yes: bool,
}

/// `web=3`, and how version 1 was also typed: `web = 3`.
pub(crate) fn parse_scale(words: &[String]) -> Result<BTreeMap<String, u32>, Failure> {
    let mut scale = BTreeMap::new();
    let joined = words.join(" ").replace(" =", "=").replace("= ", "=");
    for entry in joined.split_whitespace() {
        let (service, count) = entry.split_once('=').ok_or_else(|| {
            usage(format!(
                "invalid scale specifier: {entry}: write SERVICE=NUM, as in web=3"
            ))
        })?;
        let count: u32 = count.parse().map_err(|_| {
            usage(format!(
                "invalid scale specifier: {entry}: {count:?} is no number"
            ))
        })?;
        scale.insert(service.to_owned(), count);
    }
    Ok(scale)
}

impl MakeFlags {
    pub(crate) fn request(&self, call: &Call<'_>, services: &[String]) -> Result<Request, Failure> {
        let said = |name: &str| std::env::var(name).is_ok_and(|value| is_true(&value));
        if self.force_recreate && self.no_recreate {
            return Err(usage("--force-recreate and --no-recreate are incompatible"));
        }
        if self.build && self.no_build {
            return Err(usage("--build and --no-build are incompatible"));
        }
        let recreate = match (self.force_recreate, self.no_recreate) {
            (true, _) => Recreate::Always,
            (_, true) => Recreate::Never,
            _ => Recreate::Diverged,
        };
        let options = Options {
            services: services.to_vec(),
            all_resources: call.globals.all_resources,
            scale: parse_scale(&self.scale)?,
            recreate,
            recreate_dependencies: if self.no_recreate {
                Recreate::Never
            } else {
                Recreate::Diverged
            },
            remove_orphans: self.remove_orphans || said("COMPOSE_REMOVE_ORPHANS"),
            ignore_orphans: said("COMPOSE_IGNORE_ORPHANS"),
            separator: call.globals.separator,
            ..Options::default()
        };
        let images = compose::images::Options {
            build: match (self.build, self.no_build) {
                (true, _) => compose::images::Build::Always,
                (_, true) => compose::images::Build::Never,
                _ => compose::images::Build::Missing,
            },
            pull: self.pull.as_deref().map(images::pull_policy).transpose()?,
            quiet: self.quiet_pull,
        };
        Ok(Request {
            options,
            images,
            origin: None,
        })
    }
}

/// What the project's own environment says about orphans: `COMPOSE_REMOVE_ORPHANS`, `COMPOSE_IGNORE_ORPHANS` in `.env`.
pub(super) fn heed_environment(options: &mut Options, project: &Project) {
    options.remove_orphans |= said_of(project, "COMPOSE_REMOVE_ORPHANS");
    options.ignore_orphans |= said_of(project, "COMPOSE_IGNORE_ORPHANS");
}

pub(super) fn said_of(project: &Project, variable: &str) -> bool {
    project
        .environment
        .get(variable)
        .is_some_and(|value| is_true(value))
}

impl Call<'_> {
    /// Tells which keys of the services nothing acts upon.
    pub(crate) fn tell_ignored(&self, project: &Project) {
        self.tell(&spec::warnings(project, &project.services));
        self.tell(&compose::build::ignored(project, &project.services));
    }

    pub(crate) fn parallel(&self) -> usize {
        self.globals.parallel.unwrap_or(PARALLEL)
    }

    /// What a plan is carried out with.
    pub(crate) fn running<'r>(
        &'r self,
        display: &'r Display,
        interrupted: &'r AtomicBool,
    ) -> Result<execute::Run<'r>, Failure> {
        Ok(execute::Run {
            ctx: self.ctx()?,
            progress: display,
            parallel: self.parallel(),
            interrupted,
        })
    }

    /// Stops and removes the containers of services that the file does not have.
    pub(crate) fn remove_orphans(&self, project: &Project) -> Result<(), Failure> {
        let _lock =
            compose::up::lock(self.ctx()?, &project.name).map_err(super::project::up_failure)?;
        let all = compose::observe::containers(self.ctx()?, &project.name)?;
        let known = |name: &str| {
            project.service(name).is_some()
                || project.disabled_services.iter().any(|s| s.name == name)
                || project.has_job(name)
        };
        let orphans: Vec<_> = all.iter().filter(|c| !known(&c.service)).collect();
        self.carry_out(&lifecycle::stop(&orphans, None))?;
        self.carry_out(&lifecycle::remove(&orphans, false))
    }

    /// Carries a plan out with its progress shown.
    pub(crate) fn carry_out(&self, plan: &Plan) -> Result<(), Failure> {
        for warning in &plan.warnings {
            self.warn(warning);
        }
        let display = Display::new(&self.globals, false);
        let interrupted = AtomicBool::new(false);
        let run = self.running(&display, &interrupted)?;
        display
            .during(|| execute::execute(run, plan))
            .map_err(steps_failure)
    }

    /// Brings the project to what the file says and shows it.
    pub(crate) fn make(
        &self,
        project: &Project,
        make: &MakeFlags,
        request: &Request,
    ) -> Result<(), Failure> {
        let display = Display::new(&self.globals, false);
        let interrupted = AtomicBool::new(false);
        let run = self.running(&display, &interrupted)?;
        bring_up(run, &display, project, make, request)
    }
}

/// What a plan has to say before it is carried out.
pub(super) fn announce(display: &Display, plan: &Plan) {
    for warning in &plan.warnings {
        display.warning(warning);
    }
    for pending in &plan.pending {
        display.warning(&format!(
            "service {} is pending: {}",
            pending.service, pending.why
        ));
    }
}

/// Brings the project to what the file says.
pub(super) fn bring_up(
    run: execute::Run<'_>,
    display: &Display,
    project: &Project,
    make: &MakeFlags,
    request: &Request,
) -> Result<(), Failure> {
    let output = images::build_output(make.quiet_build);
    let settings = images::settings(&output);
    let mut tell = |plan: &Plan| announce(display, plan);
    display
        .during(|| compose::up::up(run, project, request, &settings, &mut tell))
        .map_err(up_failure)?;
    // Said anew, the files count: what `service update` changed is over.
    Changes::forget(run.ctx, &project.name, &request.options.services)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_is_read_as_it_was_ever_typed() {
        let of = |words: &[&str]| {
            parse_scale(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
        };
        let web = BTreeMap::from([("web".to_owned(), 5)]);
        assert_eq!(of(&["web=5"]).unwrap(), web);
        assert_eq!(of(&["web", "=", "5"]).unwrap(), web);
        assert_eq!(of(&["web=", "5"]).unwrap(), web);
        assert_eq!(of(&["web", "=5"]).unwrap(), web);
        assert_eq!(of(&["a=1", "b=2"]).unwrap().len(), 2);
        assert!(of(&["web"]).unwrap_err().chain().contains("SERVICE=NUM"));
        assert!(of(&["web=many"]).unwrap_err().chain().contains("no number"));
    }
}
