//! `history`, `rollback`, `update`: what the project was, back to it, and on to newer images.

use super::display::Display;
use super::make::{MakeFlags, announce};
use super::project::up_failure;
use super::verb::{Run, Verb, usage, verb};
use super::{Call, failed};
use crate::failure::{Failure, Outcome};
use crate::output::{self, table, units};
use clap::Args;
use compose::generation::{self, Generation};
use compose::plan::Plan;
use compose::up::Request;
use compose_file::Project;
use compose_file::project::{FailureAction, UpdateConfig};
use image::PullPolicy;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

pub(crate) const VERBS: &[Verb] = &[
    verb::<History>(
        &["history"],
        "[OPTIONS]",
        "List the versions of the project that can be gone back to",
    ),
    verb::<Rollback>(
        &["rollback"],
        "[OPTIONS] [GENERATION]",
        "Bring the project back to an earlier version",
    )
    .examples(
        "rollback          # to the one before\nrollback 3        # as `history` numbers them",
    ),
    verb::<Update>(
        &["update"],
        "[OPTIONS] [SERVICE...]",
        "Pull newer images and replace what runs on older ones; go back when that fails",
    )
    .examples("update\nupdate web"),
];

#[derive(Debug, Args)]
struct History {
    /// Format the output. Values: [table | json]
    #[arg(long, value_name = "string", default_value = "table")]
    format: String,
    /// Only display numbers
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct Rollback {
    /// Show what would be done and why, and do nothing; exit code 2 when something would change
    #[arg(long)]
    plan: bool,
    /// Use this timeout in seconds for container shutdown
    #[arg(short, long, value_name = "int")]
    timeout: Option<u64>,
    generation: Option<u32>,
}

#[derive(Debug, Args)]
struct Update {
    /// Pull without printing progress information
    #[arg(short, long)]
    quiet_pull: bool,
    /// Use this timeout in seconds for container shutdown
    #[arg(short, long, value_name = "int")]
    timeout: Option<u64>,
    service: Vec<String>,
}

/// A version that ran can be gone back to whatever the file says now: with `-p` the file is not even read.
fn name(call: &Call<'_>) -> Result<String, Failure> {
    let variable = || std::env::var("COMPOSE_PROJECT_NAME").ok();
    let given = call.globals.project_name.clone().or_else(variable);
    match given.filter(|name| !name.is_empty()) {
        Some(name) => Ok(name),
        None => Ok(call.target(&[])?.name),
    }
}

impl Run for History {
    fn run(self, call: &Call<'_>) -> Outcome {
        let name = name(call)?;
        let all = generation::list(call.ctx()?, &name).map_err(failed)?;
        if self.quiet {
            return all
                .iter()
                .try_fold(0, |code, g| output::line(g.number).map(|()| code));
        }
        match self.format.as_str() {
            "json" => output::line(Value::from(all.iter().map(shown).collect::<Vec<_>>()))?,
            "table" => {
                let head = ["GENERATION", "CREATED", "BY", "SERVICES"].map(str::to_owned);
                let mut rows = vec![head.to_vec()];
                rows.extend(all.iter().rev().map(row));
                output::text(&table::layout(rows, &[], None))?;
            }
            other => {
                return Err(usage(format!(
                    "unknown --format {other:?}: use table or json"
                )));
            }
        }
        Ok(0)
    }
}

fn shown(generation: &Generation) -> Value {
    let services = generation.services.iter().map(|(name, kept)| {
        let image = json!({"Image": kept.image, "ImageID": kept.image_id, "Digest": kept.digest, "Replicas": kept.replicas, "ConfigHash": kept.hash});
        (name.clone(), image)
    });
    json!({
        "Generation": generation.number,
        "Created": generation.created.to_string(),
        "By": generation.origin,
        "Services": services.collect::<serde_json::Map<_, _>>(),
    })
}

fn row(generation: &Generation) -> Vec<String> {
    let services = generation.services.iter().map(|(name, kept)| {
        let times = match kept.replicas {
            1 => String::new(),
            many => format!(" x{many}"),
        };
        let id = units::short_id(&kept.image_id);
        format!("{name}={}@{id}{times}", kept.image)
    });
    vec![
        generation.number.to_string(),
        units::ago(generation.created),
        generation.origin.clone(),
        services.collect::<Vec<_>>().join(", "),
    ]
}

impl Run for Rollback {
    fn run(self, call: &Call<'_>) -> Outcome {
        let ctx = call.ctx()?;
        let name = name(call)?;
        let all = generation::list(ctx, &name).map_err(failed)?;
        let target = chosen(&name, &all, self.generation)?;
        let restored = generation::restore(ctx, &name, target).map_err(failed)?;
        let mut request = Request {
            origin: Some(format!("rollback to {}", target.number)),
            ..Request::default()
        };
        request.options.scale = restored.scale();
        request.options.going_back = true;
        request.options.ignore_orphans = true;
        request.options.timeout = self.timeout;
        request.options.separator = call.globals.separator;
        request.options.retired = retired(&all, target);
        if self.plan || call.globals.dry_run {
            let plan =
                compose::up::preview_restore(ctx, &restored, &request).map_err(up_failure)?;
            output::line(&plan)?;
            return Ok(if plan.is_empty() || call.globals.dry_run {
                0
            } else {
                2
            });
        }
        let display = Display::new(&call.globals, false);
        let interrupted = AtomicBool::new(false);
        let run = call.running(&display, &interrupted)?;
        let mut tell = |plan: &Plan| announce(&display, plan);
        display
            .during(|| compose::up::restore(run, &restored, &request, &mut tell))
            .map(|_| 0)
            .map_err(up_failure)
    }
}

/// The generation asked for, else the one before what runs now.
fn chosen<'a>(
    project: &str,
    all: &'a [Generation],
    wanted: Option<u32>,
) -> Result<&'a Generation, Failure> {
    let known = || {
        let numbers: Vec<String> = all.iter().map(|g| g.number.to_string()).collect();
        match numbers.is_empty() {
            true => "there is one after the first `up`".to_owned(),
            false => format!("there are {}", numbers.join(", ")),
        }
    };
    let found = match wanted {
        Some(number) => all.iter().find(|g| g.number == number),
        None => all.iter().rev().nth(1),
    };
    found.ok_or_else(|| {
        let said = match wanted {
            Some(number) => format!("project {project} has no generation {number}"),
            None => format!("project {project} has no earlier generation"),
        };
        Failure::said(said).hint(format!("see `history`: {}", known()))
    })
}

/// Services that came after the version that is gone back to.
fn retired(all: &[Generation], target: &Generation) -> BTreeSet<String> {
    let later = all.iter().filter(|g| g.number > target.number);
    let names = later.flat_map(|g| g.services.keys());
    names
        .filter(|name| !target.services.contains_key(*name))
        .cloned()
        .collect()
}

impl Run for Update {
    fn run(self, call: &Call<'_>) -> Outcome {
        let mut project = call.load(&self.service)?;
        call.tell_ignored(&project);
        go_back_when_it_fails(&mut project);
        let make = MakeFlags {
            quiet_pull: self.quiet_pull,
            ..MakeFlags::default()
        };
        let mut request = make.request(call, &self.service)?;
        request.origin = Some("update".into());
        request.images.pull = Some(PullPolicy::Always);
        request.options.timeout = self.timeout;
        call.make(&project, &make, &request)?;
        Ok(0)
    }
}

/// Where a service does not say itself what an update that fails comes to.
fn go_back_when_it_fails(project: &mut Project) {
    for service in &mut project.services {
        let deploy = service.deploy.get_or_insert_default();
        let config = deploy
            .update_config
            .get_or_insert_with(UpdateConfig::default);
        config.failure_action.get_or_insert(FailureAction::Rollback);
    }
}
