//! `service`: the services of all projects, called `<stack>_<service>`.

mod change;
mod inspect;
mod logs;
mod update;

use super::tasks::{self, TaskFlags};
use super::{find, short};
use crate::compose::{Call, Origin};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::output::listing::{self, Field, Format, ListFlags, field, long_field};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use compose::labels;
use compose::observe::Observed;
use compose::plan::down;
use compose::swarm::changes::Changes;
use compose::swarm::stack;
use compose::swarm::view::{self, Service};
use compose_file::Project;
use compose_file::project::DeployMode;
use model::filter::Filters;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) const VERBS: &[Verb] = &[
    verb::<List>(
        &["service ls", "service list"],
        "[OPTIONS]",
        "List services of all stacks and projects",
    ),
    verb::<Tasks>(
        &["service ps"],
        "[OPTIONS] SERVICE [SERVICE...]",
        "List the tasks of one or more services",
    )
    .at_least(1),
    verb::<inspect::Inspect>(
        &["service inspect"],
        "[OPTIONS] SERVICE [SERVICE...]",
        "Display detailed information on one or more services",
    )
    .at_least(1),
    verb::<logs::Logs>(
        &["service logs"],
        "[OPTIONS] SERVICE",
        "Fetch the logs of a service",
    )
    .exactly(1),
    verb::<change::Scale>(
        &["service scale"],
        "SERVICE=REPLICAS [SERVICE=REPLICAS...]",
        "Scale one or multiple replicated services",
    )
    .at_least(1)
    .examples("service scale vote_web=3"),
    verb::<update::Update>(
        &["service update"],
        "[OPTIONS] SERVICE",
        "Update a service, by its update_config",
    )
    .exactly(1)
    .examples("service update --image shop/web:2 shop_web\nservice update --env-add LEVEL=debug --publish-add 8081:80 shop_web\nservice update --force shop_web"),
    verb::<change::Rollback>(
        &["service rollback"],
        "[OPTIONS] SERVICE",
        "Revert changes to a service's configuration",
    )
    .exactly(1),
    verb::<Remove>(
        &["service rm", "service remove"],
        "SERVICE [SERVICE...]",
        "Remove one or more services",
    )
    .at_least(1),
];

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    flags: ListFlags,
}

impl Run for List {
    fn run(self, session: &Session) -> Outcome {
        let services = view::services(session.engine()?)?;
        print(session, &services, &self.flags)
    }
}

const FIELDS: [Field; 6] = [
    field("ID", "ID"),
    field("Name", "NAME"),
    field("Mode", "MODE"),
    field("Replicas", "REPLICAS"),
    long_field("Image", "IMAGE"),
    long_field("Ports", "PORTS"),
];

pub(super) fn print(session: &Session, services: &[Service], flags: &ListFlags) -> Outcome {
    let filters = Filters::parse(&flags.filter, &["id", "label", "mode", "name"])?;
    let format = Format::parse(flags.format.as_deref())?;
    let mut rows = Vec::new();
    let mut projects = Projects::default();
    for service in services {
        let mode = projects.mode(session, service);
        let fits = filters.matches_prefix("id", &service.id())
            && filters.matches_name("name", &service.name())
            && filters.matches_labels(&service.labels())
            && filters.matches_exact("mode", mode);
        if fits {
            rows.push(row(service, mode));
        }
    }
    if flags.quiet {
        for row in &rows {
            output::line(row["ID"].as_str().unwrap_or_default())?;
        }
        return Ok(0);
    }
    let columns: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
    listing::print(&format, &FIELDS, &columns, &rows)?;
    Ok(0)
}

/// What runs of what is to run; of a job also what is done.
fn replicas(service: &Service, mode: &str) -> String {
    let (running, all) = (service.running(), service.tasks.len());
    if !mode.ends_with("job") {
        return format!("{running}/{all}");
    }
    let done = service.completed();
    format!("{running}/{} ({done}/{all} completed)", all - done)
}

fn row(service: &Service, mode: &str) -> Map<String, Value> {
    let id = service.id();
    [
        ("ID", short(&id).to_owned()),
        ("Name", service.name()),
        ("Mode", mode.to_owned()),
        ("Replicas", replicas(service, mode)),
        ("Image", service.image().to_owned()),
        ("Ports", service.ports()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), Value::from(value)))
    .collect()
}

/// Projects that were read, once each: a list has many services of one.
#[derive(Default)]
struct Projects(BTreeMap<String, Option<Project>>);

impl Projects {
    /// What the file says; of a file that is gone nothing is known.
    fn mode(&mut self, session: &Session, service: &Service) -> &'static str {
        let read = || {
            declared_now(session, service)
                .ok()
                .map(|(_, project)| project)
        };
        let project = self
            .0
            .entry(service.project.clone())
            .or_insert_with(read)
            .as_ref();
        let found = project.and_then(|project| {
            let mut all = project.services.iter().chain(&project.disabled_services);
            all.find(|s| s.name == service.service)
        });
        match found.and_then(|s| s.deploy.as_ref()).map(|d| d.mode) {
            Some(DeployMode::Global) => "global",
            Some(DeployMode::ReplicatedJob) => "replicated job",
            Some(DeployMode::GlobalJob) => "global job",
            Some(DeployMode::Replicated) | None => "replicated",
        }
    }
}

/// The project a service is of, by the files its containers name, with what was changed of it since.
fn declared_now<'a>(
    session: &'a Session,
    service: &Service,
) -> Result<(Call<'a>, Project), Failure> {
    let changes = Changes::load(session.engine()?, &service.project)?;
    declared(session, service, &changes)
}

fn declared<'a>(
    session: &'a Session,
    service: &Service,
    changes: &Changes,
) -> Result<(Call<'a>, Project), Failure> {
    let labels = service.labels();
    let list = |key: &str| -> Vec<String> {
        let text = labels.get(key).map_or("", String::as_str);
        let entries = text.split(',').filter(|entry| !entry.is_empty());
        entries.map(str::to_owned).collect()
    };
    let files = list(labels::CONFIG_FILES);
    let gone = files.iter().find(|file| !Path::new(file).is_file());
    if files.is_empty() || gone.is_some() {
        let file = gone.map_or("no file", String::as_str);
        return Err(Failure::said(format!(
            "service {} was made from {file}, which cannot be read again",
            service.name()
        ))
        .hint("deploy its file anew: stack deploy -c FILE STACK"));
    }
    let origin = Origin {
        project: service.project.clone(),
        files,
        directory: labels.get(labels::WORKING_DIR).map(Into::into),
        env_files: list(labels::ENVIRONMENT_FILE)
            .into_iter()
            .map(Into::into)
            .collect(),
    };
    let call = Call::of(session, origin);
    let mut project = call.load_quietly(std::slice::from_ref(&service.service))?;
    if labels.contains_key(stack::NAMESPACE) {
        stack::prepare(&mut project);
    }
    changes.apply(&mut project)?;
    Ok((call, project))
}

#[derive(Debug, Args)]
struct Tasks {
    #[command(flatten)]
    flags: TaskFlags,
    #[arg(required = true)]
    services: Vec<String>,
}

impl Run for Tasks {
    fn run(self, session: &Session) -> Outcome {
        let mut services = Vec::new();
        let code = session.each(&self.services, |name| {
            services.push(find(session, name)?);
            Ok(())
        })?;
        if !services.is_empty() {
            tasks::print(session, &services, &self.flags)?;
        }
        Ok(code)
    }
}

#[derive(Debug, Args)]
struct Remove {
    #[arg(required = true)]
    services: Vec<String>,
}

impl Run for Remove {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.services, |name| {
            let service = find(session, name)?;
            let project = &service.project;
            let call = Call::of(
                session,
                Origin {
                    project: project.clone(),
                    ..Origin::default()
                },
            );
            let _lock = compose::up::lock(ctx, project).map_err(crate::compose::failed)?;
            let mut observed = Observed::read(ctx, project)?;
            // Of the service alone: what the project shares stays for the others.
            observed.containers.retain(|c| c.service == service.service);
            observed.networks.clear();
            observed.volumes.clear();
            let options = down::Options {
                remove_orphans: true,
                ..down::Options::default()
            };
            call.carry_out(&down::plan(project, None, &observed, &options))?;
            compose::up::sweep(ctx, project).map_err(crate::compose::failed)?;
            output::line(name)
        })
    }
}
