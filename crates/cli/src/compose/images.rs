//! `build`, `pull`, `push`.

use super::delegated::delegate;
use super::display::Display;
use super::verb::{Run, Verb, usage, verb};
use super::{Call, failed};
use crate::build::{Style, Teller};
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use compose::build::Settings;
use compose::plan::up::{ImageState, Options, selected};
use compose::progress::{Event, Progress as _, State};
use compose_file::project::PullPolicy as FilePolicy;
use compose_file::{Project, Service};
use image::PullPolicy;
use std::collections::BTreeMap;

pub(crate) const VERBS: &[Verb] = &[
    verb::<Build>(
        &["build"],
        "[OPTIONS] [SERVICE...]",
        "Build or rebuild services",
    ),
    verb::<Pull>(&["pull"], "[OPTIONS] [SERVICE...]", "Pull service images"),
    verb::<Push>(&["push"], "[OPTIONS] [SERVICE...]", "Push service images"),
];

/// `always`, `missing`, `never`.
pub(super) fn pull_policy(text: &str) -> Result<PullPolicy, Failure> {
    match text {
        "always" => Ok(PullPolicy::Always),
        "missing" | "if_not_present" => Ok(PullPolicy::Missing),
        "never" => Ok(PullPolicy::Never),
        _ => Err(usage(format!(
            "invalid --pull value {text:?}: use always, missing or never"
        ))),
    }
}

/// As in `linux/arm64`.
pub(super) fn platform_of(text: &str) -> Result<oci::Platform, Failure> {
    text.parse()
        .map_err(|error| usage(format!("platform {text:?}: {error}")))
}

type Output = dyn Fn(&str) -> Box<dyn build::Progress> + Sync;

/// Where a service's build is told.
pub(super) fn build_output(quiet: bool) -> Box<Output> {
    Box::new(move |_service: &str| -> Box<dyn build::Progress> {
        match quiet {
            true => Box::new(build::Silent),
            false => Box::new(Teller::new(Style::auto())),
        }
    })
}

pub(super) fn settings(output: &Output) -> Settings<'_> {
    Settings {
        args: BTreeMap::new(),
        no_cache: false,
        pull: false,
        ssh: Vec::new(),
        output,
    }
}

#[derive(Debug, Args)]
struct Build {
    /// Set build-time variables for services
    #[arg(long, value_name = "stringArray")]
    build_arg: Vec<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Always attempt to pull a newer version of the image
    #[arg(long)]
    pull: bool,
    /// Push service images
    #[arg(long)]
    push: bool,
    /// Suppress the build output
    #[arg(short, long)]
    quiet: bool,
    /// Set SSH authentications used when building service images (use 'default' for your default SSH agent)
    #[arg(long, value_name = "string")]
    ssh: Vec<String>,
    /// Also build dependencies (transitively)
    #[arg(long)]
    with_dependencies: bool,
    /// Accepted as Docker's; every build goes the same way here
    #[arg(long, value_name = "string", hide = true)]
    builder: Option<String>,
    #[arg(short, long, value_name = "bytes", hide = true)]
    memory: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    provenance: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    sbom: Option<String>,
    #[arg(long, hide = true)]
    check: bool,
    #[arg(long, hide = true)]
    print: bool,
    #[arg(long, hide = true)]
    force_rm: bool,
    #[arg(long, hide = true)]
    no_rm: bool,
    #[arg(long, hide = true)]
    compress: bool,
    #[arg(long, hide = true)]
    parallel: bool,
    #[arg(long, value_name = "string", hide = true)]
    progress: Option<String>,
    service: Vec<String>,
}

/// The services named, with what they need on request.
fn chosen<'a>(
    project: &'a Project,
    services: &[String],
    with_dependencies: bool,
) -> Result<Vec<&'a Service>, Failure> {
    if let Some(unknown) = services.iter().find(|name| project.service(name).is_none()) {
        return Err(super::project::no_such_service(Some(project), unknown));
    }
    let options = Options {
        services: services.to_vec(),
        no_dependencies: !with_dependencies,
        ..Options::default()
    };
    Ok(selected(project, &options))
}

impl Build {
    /// Flags of Docker's that would be expected to do something that is not done.
    fn refuse_what_is_not_done(&self) -> Result<(), Failure> {
        let wanted = |value: &Option<String>| {
            let value = value.as_deref();
            value.is_some_and(|value| !matches!(value, "false" | "0"))
        };
        let (flag, way_out) = if wanted(&self.provenance) {
            ("provenance", "no attestations are made; leave it out")
        } else if wanted(&self.sbom) {
            ("sbom", "no attestations are made; leave it out")
        } else if self.check {
            ("check", "a Dockerfile is checked when it is built")
        } else if self.print {
            ("print", "nothing is built by bake; see `config`")
        } else {
            return Ok(());
        };
        Err(Failure::said(format!("--{flag} is not supported")).hint(way_out))
    }
}

impl Run for Build {
    fn run(self, call: &Call<'_>) -> Outcome {
        self.refuse_what_is_not_done()?;
        let project = call.load(&self.service)?;
        call.tell(&compose::build::ignored(&project, &project.services));
        let mut services = chosen(&project, &self.service, self.with_dependencies)?;
        services.retain(|service| service.build.is_some());
        if services.is_empty() {
            call.warn("No services to build");
            return Ok(0);
        }
        if call.globals.dry_run {
            return would("build", &project, &services);
        }
        let output = build_output(self.quiet);
        let argument = |text: &String| match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        let settings = Settings {
            args: self.build_arg.iter().map(argument).collect(),
            no_cache: self.no_cache,
            pull: self.pull,
            ssh: crate::build::ssh(&self.ssh)?,
            output: &output,
        };
        let display = Display::new(&call.globals, self.quiet);
        compose::build::all(call.ctx()?, &project, &services, &settings, &display)
            .map_err(build_failure)?;
        display.finish();
        if self.push {
            // What has no name of its own is nowhere to be pushed to.
            services.retain(|service| service.image.is_some());
            return push(call, &project, &services, false, self.quiet);
        }
        Ok(0)
    }
}

/// `--dry-run`: what would be done, and nothing done.
fn would(verb: &str, project: &Project, services: &[&Service]) -> Outcome {
    for service in services {
        output::line(format_args!(
            "{verb} {} for service {}",
            service.image_name(&project.name),
            service.name
        ))?;
    }
    Ok(0)
}

/// With the lines of the Dockerfile it is about.
fn build_failure(error: compose::build::Error) -> Failure {
    if let compose::build::Error::Build { source, .. } = &error
        && let Some(excerpt) = &source.excerpt
    {
        crate::output::note(format_args!("{}", excerpt.to_string().trim_end()));
    }
    failed(error)
}

#[derive(Debug, Args)]
struct Pull {
    /// Ignore images that can be built
    #[arg(long)]
    ignore_buildable: bool,
    /// Pull what it can and ignores images with pull failures
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Also pull services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// Apply pull policy ("missing"|"always")
    #[arg(long, value_name = "string")]
    policy: Option<String>,
    /// Pull without printing progress information
    #[arg(short, long)]
    quiet: bool,
    #[arg(long, hide = true)]
    parallel: bool,
    #[arg(long, hide = true)]
    no_parallel: bool,
    service: Vec<String>,
}

impl Run for Pull {
    fn run(self, call: &Call<'_>) -> Outcome {
        let asked = self.policy.as_deref().map(pull_policy).transpose()?;
        let project = call.load(&self.service)?;
        let services = chosen(&project, &self.service, self.include_deps)?;
        let wanted: Vec<(&Service, PullPolicy)> = services
            .iter()
            .copied()
            // What has no name but the one it is built under is nowhere to be had.
            .filter(|s| s.image.is_some() && !(self.ignore_buildable && s.build.is_some()))
            .filter_map(|s| Some((s, wanted_policy(s, asked)?)))
            .collect();
        if call.globals.dry_run {
            let services: Vec<&Service> = wanted.iter().map(|(service, _)| *service).collect();
            return would("pull", &project, &services);
        }
        let display = Display::new(&call.globals, self.quiet);
        for service in services.iter().filter(|s| s.image.is_none()) {
            skipped(&display, &project, service, "No image to be pulled");
        }
        let wanted = without_present(call, &project, wanted, &display)?;
        // What can be built is no loss where it cannot be pulled.
        let (buildable, rest): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(s, _)| s.build.is_some());
        let ctx = call.ctx()?;
        let pulled = compose::images::pull(ctx, &project, &rest, &display);
        if let Err(error) = compose::images::pull(ctx, &project, &buildable, &display) {
            call.warn(&crate::failure::chain(&error));
            self.tell_to_build(call, &project, &buildable)?;
        }
        match pulled {
            Err(error) if self.ignore_pull_failures => call.warn(&crate::failure::chain(&error)),
            other => other.map_err(failed)?,
        }
        Ok(0)
    }
}

impl Pull {
    fn tell_to_build(
        &self,
        call: &Call<'_>,
        project: &Project,
        buildable: &[(&Service, PullPolicy)],
    ) -> Result<(), Failure> {
        let services: Vec<&Service> = buildable.iter().map(|(service, _)| *service).collect();
        let states = compose::images::look(call.ctx()?, project, &services, Default::default())
            .map_err(failed)?;
        let missing: Vec<&str> = states
            .iter()
            .filter(|(_, state)| matches!(state, ImageState::Missing(_)))
            .map(|(name, _)| name.as_str())
            .collect();
        if !missing.is_empty() {
            call.warn(&format!(
                "Some service image(s) must be built from source by running:\n    {} build {}",
                super::called(call.session),
                missing.join(" ")
            ));
        }
        Ok(())
    }
}

fn skipped(display: &Display, project: &Project, service: &Service, why: &str) {
    display.event(Event {
        id: &format!("Image {}", service.image_name(&project.name)),
        text: &format!("Skipped {why}"),
        state: State::Done,
    });
}

/// Without what is here and need not be asked for: where the policy is `missing` everything but a tag `latest`.
fn without_present<'a>(
    call: &Call<'_>,
    project: &Project,
    wanted: Vec<(&'a Service, PullPolicy)>,
    display: &Display,
) -> Result<Vec<(&'a Service, PullPolicy)>, Failure> {
    let store = call.ctx()?.images()?;
    let mut left = Vec::new();
    for (service, policy) in wanted {
        let name = service.image_name(&project.name);
        let latest = name
            .parse::<oci::Reference>()
            .is_ok_and(|r| r.tag() == Some("latest"));
        if policy != PullPolicy::Missing || store.find(&name).is_err() {
            left.push((service, policy));
        } else if latest {
            left.push((service, PullPolicy::Always));
        } else {
            skipped(
                display,
                project,
                service,
                "Image is already present locally",
            );
        }
    }
    Ok(left)
}

/// How `pull` goes about a service's image; `None`: not at all.
fn wanted_policy(service: &Service, asked: Option<PullPolicy>) -> Option<PullPolicy> {
    match service.pull_policy {
        Some(FilePolicy::Never | FilePolicy::Build) => None,
        Some(FilePolicy::Missing) => Some(asked.unwrap_or(PullPolicy::Missing)),
        _ => Some(asked.unwrap_or(PullPolicy::Always)),
    }
}

#[derive(Debug, Args)]
struct Push {
    /// Push what it can and ignores images with push failures
    #[arg(long)]
    ignore_push_failures: bool,
    /// Also push images of services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// Push without printing progress information
    #[arg(short, long)]
    quiet: bool,
    service: Vec<String>,
}

impl Run for Push {
    fn run(self, call: &Call<'_>) -> Outcome {
        let project = call.load(&self.service)?;
        let mut services = chosen(&project, &self.service, self.include_deps)?;
        // Only what is built here and has a name of its own is ours to push.
        services.retain(|service| service.build.is_some() && service.image.is_some());
        if call.globals.dry_run {
            return would("push", &project, &services);
        }
        push(
            call,
            &project,
            &services,
            self.ignore_push_failures,
            self.quiet,
        )
    }
}

/// Pushes what is built here, before its names are published; what cannot be pushed is told.
pub(super) fn push_built(call: &Call<'_>, project: &Project) -> Outcome {
    let built = |service: &&Service| service.build.is_some() && service.image.is_some();
    let services: Vec<&Service> = project.services.iter().filter(built).collect();
    push(call, project, &services, true, false)
}

fn push(
    call: &Call<'_>,
    project: &Project,
    services: &[&Service],
    ignore: bool,
    quiet: bool,
) -> Outcome {
    for service in services {
        let mut words = Vec::new();
        if quiet {
            words.push("-q".into());
        }
        let tags = service.build.iter().flat_map(|build| build.tags.clone());
        for name in std::iter::once(service.image_name(&project.name)).chain(tags) {
            let words = words.iter().cloned().chain([name.into()]).collect();
            match delegate(call, "push", words) {
                Err(failure) if ignore => call.warn(&failure.chain()),
                other => drop(other?),
            }
        }
    }
    Ok(0)
}
