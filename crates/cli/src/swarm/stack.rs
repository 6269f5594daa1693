//! `stack`: a Compose project by Swarm's words. Docker's own containers of the same files would be called otherwise; here they
//! keep Compose's names, so that `compose -p STACK` acts on them as well.

use super::service;
use super::tasks::{self, TaskFlags};
use crate::compose::{Call, Origin};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::output::listing::{self, Field, Format, field};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use compose::observe::Observed;
use compose::plan::{Action, Plan, down};
use compose::swarm::changes::Changes;
use compose::swarm::stack as swarm_stack;
use compose::swarm::view::{self, Service};
use compose::up::Request;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) const VERBS: &[Verb] = &[
    verb::<Deploy>(
        &["stack deploy", "stack up"],
        "[OPTIONS] STACK",
        "Deploy a new stack or update an existing stack",
    )
    .exactly(1)
    .examples(
        "stack deploy -c docker-stack.yml vote\nstack deploy -c base.yml -c prod.yml --prune shop",
    ),
    verb::<List>(&["stack ls", "stack list"], "[OPTIONS]", "List stacks"),
    verb::<Tasks>(
        &["stack ps"],
        "[OPTIONS] STACK",
        "List the tasks in the stack",
    )
    .exactly(1),
    verb::<Services>(
        &["stack services"],
        "[OPTIONS] STACK",
        "List the services in the stack",
    )
    .exactly(1),
    verb::<Remove>(
        &["stack rm", "stack remove", "stack down"],
        "[OPTIONS] STACK [STACK...]",
        "Remove one or more stacks; their volumes stay",
    )
    .at_least(1),
    verb::<Config>(
        &["stack config"],
        "[OPTIONS]",
        "Outputs the final config file, after doing merges and interpolations",
    ),
];

#[derive(Debug, Args)]
struct Deploy {
    /// Path to a Compose file, or "-" to read from stdin
    #[arg(short, long, value_name = "strings", value_delimiter = ',')]
    compose_file: Vec<String>,
    /// Prune services that are no longer referenced
    #[arg(long)]
    prune: bool,
    /// Query the registry to resolve image digest and supported platforms ("always", "changed", "never")
    #[arg(long, value_name = "string", default_value = "changed")]
    resolve_image: String,
    /// Accepted as Docker's: it always returns when the services were started
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    detach: Option<String>,
    /// Suppress progress output
    #[arg(short, long)]
    quiet: bool,
    #[arg(long, hide = true)]
    with_registry_auth: bool,
    #[arg(required = true)]
    stack: String,
}

/// Paths as the loader takes them; those of `-` begin in the current directory.
fn origin(stack: &str, files: &[String]) -> Origin {
    let directory = files
        .first()
        .filter(|file| *file != "-")
        .and_then(|file| Path::new(file).parent())
        .map(|dir| match dir.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => dir.to_owned(),
        });
    Origin {
        project: stack.to_owned(),
        files: files.to_vec(),
        directory,
        env_files: Vec::new(),
    }
}

impl Run for Deploy {
    fn run(self, session: &Session) -> Outcome {
        if self.compose_file.is_empty() {
            return Err(Failure::said("no Compose file was named")
                .hint("name it with --compose-file (or -c)"));
        }
        let pull = match self.resolve_image.as_str() {
            "always" => Some(image::PullPolicy::Always),
            "changed" | "never" => None,
            other => {
                return Err(Failure::said(format!(
                    "Invalid option {other} for flag --resolve-image"
                ))
                .hint("use always, changed or never"));
            }
        };
        let ctx = session.engine()?;
        let call = Call::of(session, origin(&self.stack, &self.compose_file));
        let mut project = call.load_stack()?;
        swarm_stack::prepare(&mut project);
        call.tell_ignored(&project);
        let before: BTreeMap<String, String> = view::services(ctx)?
            .into_iter()
            .filter(|service| service.project == project.name)
            .map(|service| (service.service.clone(), service.id()))
            .collect();
        let mut request = Request::default();
        request.options.remove_orphans = self.prune;
        request.options.ignore_orphans = !self.prune;
        request.images.pull = pull;
        // Said anew: what `service update` changed is over.
        Changes::forget(ctx, &project.name, &[])?;
        let names: Vec<String> = project.service_names().map(str::to_owned).collect();
        call.bring(&project, &request, &mut |plan| {
            if !self.quiet {
                announce(&self.stack, plan, &names, &before);
            }
        })?;
        Ok(0)
    }
}

/// Docker's lines: what is made, what is changed.
fn announce(stack: &str, plan: &Plan, services: &[String], before: &BTreeMap<String, String>) {
    for warning in &plan.warnings {
        output::note(warning);
    }
    let say = |text: String| _ = output::line(text);
    for step in &plan.steps {
        if let Action::CreateNetwork { spec } = &step.action {
            say(format!("Creating network {}", spec.name));
        }
    }
    for name in services {
        match before.get(name) {
            Some(id) => say(format!("Updating service {stack}_{name} (id: {id})")),
            None => say(format!("Creating service {stack}_{name}")),
        }
    }
    for pending in &plan.pending {
        output::note(format_args!(
            "service {stack}_{} is pending: {}",
            pending.service, pending.why
        ));
    }
}

#[derive(Debug, Args)]
struct List {
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
}

const FIELDS: [Field; 3] = [
    field("Name", "NAME"),
    field("Services", "SERVICES"),
    field("Orchestrator", "ORCHESTRATOR"),
];

impl Run for List {
    fn run(self, session: &Session) -> Outcome {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for service in view::services(session.engine()?)? {
            *counts.entry(service.project).or_default() += 1;
        }
        let row = |(name, count): (String, usize)| {
            Map::from_iter([
                ("Name".to_owned(), Value::from(name)),
                ("Services".to_owned(), count.to_string().into()),
                ("Orchestrator".to_owned(), "Swarm".into()),
            ])
        };
        let rows: Vec<Map<String, Value>> = counts.into_iter().map(row).collect();
        let format = Format::parse(self.format.as_deref())?;
        listing::print(&format, &FIELDS, &["Name", "Services"], &rows)?;
        Ok(0)
    }
}

/// The services of a stack; there may be none.
fn of_stack(session: &Session, stack: &str) -> Result<Vec<Service>, Failure> {
    let mut services = view::services(session.engine()?)?;
    services.retain(|service| service.project == stack);
    Ok(services)
}

#[derive(Debug, Args)]
struct Tasks {
    #[command(flatten)]
    flags: TaskFlags,
    #[arg(required = true)]
    stack: String,
}

impl Run for Tasks {
    fn run(self, session: &Session) -> Outcome {
        let services = of_stack(session, &self.stack)?;
        if services.is_empty() {
            return Err(Failure::said(format!(
                "nothing found in stack: {}",
                self.stack
            )));
        }
        tasks::print(session, &services, &self.flags)
    }
}

#[derive(Debug, Args)]
struct Services {
    #[command(flatten)]
    flags: listing::ListFlags,
    #[arg(required = true)]
    stack: String,
}

impl Run for Services {
    fn run(self, session: &Session) -> Outcome {
        let services = of_stack(session, &self.stack)?;
        if services.is_empty() {
            output::note(format_args!("Nothing found in stack: {}", self.stack));
            return Ok(0);
        }
        service::print(session, &services, &self.flags)
    }
}

#[derive(Debug, Args)]
struct Remove {
    /// Accepted as Docker's
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    detach: Option<String>,
    #[arg(required = true)]
    stacks: Vec<String>,
}

impl Run for Remove {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.stacks, |stack| {
            if !view::is_project_name(stack) {
                return Err(Failure::said(format!("invalid stack name: {stack:?}"))
                    .hint("`stack ls` lists them"));
            }
            let call = Call::of(session, origin(stack, &[]));
            let _lock = compose::up::lock(ctx, stack).map_err(crate::compose::failed)?;
            let observed = Observed::read(ctx, stack)?;
            let options = down::Options {
                remove_orphans: true,
                ..down::Options::default()
            };
            let plan = down::plan(stack, None, &observed, &options);
            if plan.is_empty() {
                output::note(format_args!("Nothing found in stack: {stack}"));
                return Ok(());
            }
            let services: BTreeSet<&str> = observed
                .containers
                .iter()
                .map(|c| c.service.as_str())
                .collect();
            for service in services {
                output::line(format_args!("Removing service {stack}_{service}"))?;
            }
            for step in &plan.steps {
                if let Action::RemoveNetwork { name } = &step.action {
                    output::line(format_args!("Removing network {name}"))?;
                }
            }
            call.carry_out(&plan)?;
            Changes::forget(ctx, stack, &[])?;
            compose::up::sweep(ctx, stack).map_err(crate::compose::failed)
        })
    }
}

#[derive(Debug, Args)]
struct Config {
    /// Path to a Compose file, or "-" to read from stdin
    #[arg(short, long, value_name = "strings", value_delimiter = ',')]
    compose_file: Vec<String>,
    /// Skip interpolation and output only merged config
    #[arg(long)]
    skip_interpolation: bool,
}

impl Run for Config {
    fn run(self, session: &Session) -> Outcome {
        if self.compose_file.is_empty() {
            return Err(Failure::said("no Compose file was named")
                .hint("name it with --compose-file (or -c)"));
        }
        let mut origin = origin("", &self.compose_file);
        // A stack gets its name when it is deployed.
        origin.project = "stack".to_owned();
        let call = Call::of(session, origin);
        let words = match self.skip_interpolation {
            true => vec!["--no-interpolate".into()],
            false => Vec::new(),
        };
        call.verb("config", words)
    }
}
