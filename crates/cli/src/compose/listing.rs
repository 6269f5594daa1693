//! `ps`, `ls`, `images`, `port`, `volumes`.

use super::Call;
use super::verb::{Run, Verb, usage, verb};
use crate::failure::{Failure, Outcome};
use crate::output::listing::{self, Field, Format, field, long_field};
use crate::output::{self, units};
use clap::Args;
use compose::labels;
use engine::container::list::Listed;
use engine::container::record::ContainerRecord;
use engine::container::state::State;
use model::port::Protocol;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const VERBS: &[Verb] = &[
    verb::<List>(&["ps"], "[OPTIONS] [SERVICE...]", "List containers")
        .examples("ps\nps -a --format json\nps --services"),
    verb::<Projects>(&["ls"], "[OPTIONS]", "List running compose projects"),
    verb::<Images>(
        &["images"],
        "[OPTIONS] [SERVICE...]",
        "List images used by the created containers",
    ),
    verb::<Port>(
        &["port"],
        "[OPTIONS] SERVICE PRIVATE_PORT",
        "Print the public port for a port binding",
    ),
    verb::<Volumes>(&["volumes"], "[OPTIONS] [SERVICE...]", "List volumes"),
];

#[derive(Debug, Args)]
struct List {
    /// Show all stopped containers (including those created by the run command)
    #[arg(short, long)]
    all: bool,
    /// Filter services by a property (supported filters: status)
    #[arg(long, value_name = "string")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Include orphaned services (not declared by project)
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    orphans: bool,
    /// Only display IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display services
    #[arg(long)]
    services: bool,
    /// Filter services by status. Values: [paused | restarting | removing | running | dead | created | exited]
    #[arg(long, value_name = "stringArray")]
    status: Vec<String>,
    service: Vec<String>,
}

const FIELDS: [Field; 20] = [
    field("Name", "NAME"),
    long_field("Image", "IMAGE"),
    long_field("Command", "COMMAND"),
    field("Service", "SERVICE"),
    field("RunningFor", "CREATED"),
    field("Status", "STATUS"),
    long_field("Ports", "PORTS"),
    field("ID", "CONTAINER ID"),
    field("Names", "NAMES"),
    field("Project", "PROJECT"),
    field("State", "STATE"),
    field("Health", "HEALTH"),
    field("ExitCode", "EXIT CODE"),
    field("Publishers", "PUBLISHERS"),
    field("CreatedAt", "CREATED AT"),
    field("Size", "SIZE"),
    field("Labels", "LABELS"),
    field("Mounts", "MOUNTS"),
    field("LocalVolumes", "LOCAL VOLUMES"),
    field("Networks", "NETWORKS"),
];

impl Run for List {
    fn run(self, call: &Call<'_>) -> Outcome {
        let mut statuses = self.status.clone();
        for filter in &self.filter {
            match filter.split_once('=') {
                Some(("status", value)) => statuses.push(value.to_owned()),
                _ => return Err(usage(format!("unknown filter {filter:?}: write status=…"))),
            }
        }
        let target = call.target(&self.service)?;
        call.containers(&target, &self.service, true)?;
        let declared = |service: &str| {
            target.project.as_ref().is_none_or(|p| {
                p.services
                    .iter()
                    .chain(&p.disabled_services)
                    .any(|s| s.name == service)
            })
        };
        let mut found: Vec<Listed> = compose::observe::listed(call.ctx()?, &target.name)?;
        found.retain(|c| {
            let service = label(&c.record, labels::SERVICE);
            let oneoff = label(&c.record, labels::ONEOFF).eq_ignore_ascii_case("true");
            let wanted = self.service.is_empty() || self.service.iter().any(|name| name == service);
            let status = match statuses.is_empty() {
                true => self.all || c.state.is_active(),
                false => statuses.iter().any(|status| status == c.state.status()),
            };
            wanted
                && status
                && (self.all || !oneoff || !statuses.is_empty())
                && (self.orphans || declared(service))
        });
        found.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        if self.services {
            // The services of the file, by what runs when asked about states.
            let names: BTreeSet<String> = match (&target.project, statuses.is_empty()) {
                (Some(project), true) => project.service_names().map(str::to_owned).collect(),
                _ => found
                    .iter()
                    .map(|c| label(&c.record, labels::SERVICE).to_owned())
                    .collect(),
            };
            return names
                .iter()
                .try_fold(0, |code, name| output::line(name).map(|()| code));
        }
        if self.quiet {
            return found
                .iter()
                .try_fold(0, |code, c| output::line(&c.record.id).map(|()| code));
        }
        let format = Format::parse(self.format.as_deref())?;
        let mut rows = crate::container::list_rows(call.session, &found, !self.no_trunc, false)?;
        for (row, container) in rows.iter_mut().zip(&found) {
            complete(row, container);
        }
        let columns = [
            "Name",
            "Image",
            "Command",
            "Service",
            "RunningFor",
            "Status",
            "Ports",
        ];
        match self.no_trunc && matches!(format, Format::Table) {
            true => output::text(&listing::render(&format, &FIELDS, &columns, &rows, None)?)?,
            false => listing::print(&format, &FIELDS, &columns, &rows)?,
        }
        Ok(0)
    }
}

fn label<'a>(record: &'a ContainerRecord, key: &str) -> &'a str {
    record.labels.get(key).map_or("", String::as_str)
}

/// The fields that Compose has and Docker's `ps` has not.
fn complete(row: &mut Map<String, Value>, container: &Listed) {
    let code = match &container.state {
        State::Exited(last) => last.exit_code,
        _ => 0,
    };
    let publishers: Vec<Value> = published(&container.state)
        .iter()
        .flat_map(|port| {
            let hosts = match port.host_ip {
                Some(ip) => vec![ip.to_string()],
                None => vec!["0.0.0.0".to_owned(), "::".to_owned()],
            };
            hosts.into_iter().map(move |host| {
                json!({
                    "URL": host,
                    "TargetPort": port.container_port,
                    "PublishedPort": port.host_port,
                    "Protocol": port.protocol.to_string(),
                })
            })
        })
        .collect();
    let text = |key: &str| Value::from(label(&container.record, key));
    for (key, value) in [
        ("Name", container.record.name.clone().into()),
        ("Service", text(labels::SERVICE)),
        ("Project", text(labels::PROJECT)),
        ("ExitCode", code.into()),
        (
            "Health",
            container
                .state
                .health()
                .map_or("", |h| h.status.as_str())
                .into(),
        ),
        ("Publishers", publishers.into()),
    ] {
        row.insert(key.to_owned(), value);
    }
}

fn published(state: &State) -> &[network::PublishedPort] {
    state
        .run()
        .and_then(|run| run.network.as_ref())
        .map_or(&[], |network| network.ports.as_slice())
}

#[derive(Debug, Args)]
struct Projects {
    /// Show all stopped Compose projects
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Format the output. Values: [table | json]
    #[arg(long, value_name = "string", default_value = "table")]
    format: String,
    /// Only display project names
    #[arg(short, long)]
    quiet: bool,
}

impl Run for Projects {
    fn run(self, call: &Call<'_>) -> Outcome {
        let mut projects: BTreeMap<String, (BTreeMap<&'static str, usize>, String)> =
            BTreeMap::new();
        for record in ContainerRecord::list(call.ctx()?)? {
            let name = label(&record, labels::PROJECT).to_owned();
            if name.is_empty() {
                continue;
            }
            let files = label(&record, labels::CONFIG_FILES).to_owned();
            let container = Listed::load(call.ctx()?, record)?;
            let entry = projects
                .entry(name)
                .or_insert_with(|| (BTreeMap::new(), files));
            *entry.0.entry(container.state.status()).or_default() += 1;
        }
        for filter in &self.filter {
            match filter.split_once('=') {
                Some(("name", value)) => projects.retain(|name, _| name.contains(value)),
                _ => return Err(usage(format!("unknown filter {filter:?}: write name=…"))),
            }
        }
        projects.retain(|_, (states, _)| {
            self.all
                || states
                    .keys()
                    .any(|state| !matches!(*state, "exited" | "created"))
        });
        if self.quiet {
            return projects
                .keys()
                .try_fold(0, |code, name| output::line(name).map(|()| code));
        }
        let status = |states: &BTreeMap<&str, usize>| {
            states
                .iter()
                .map(|(state, count)| format!("{state}({count})"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        if self.format == "json" {
            let all: Vec<Value> = projects
                .iter()
                .map(|(name, (states, files))| json!({"Name": name, "Status": status(states), "ConfigFiles": files}))
                .collect();
            output::line(Value::from(all))?;
            return Ok(0);
        }
        let mut rows = vec![vec![
            "NAME".to_owned(),
            "STATUS".to_owned(),
            "CONFIG FILES".to_owned(),
        ]];
        rows.extend(
            projects
                .into_iter()
                .map(|(name, (states, files))| vec![name, status(&states), files]),
        );
        output::text(&output::table::layout(rows, &[], None))?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Images {
    /// Format the output. Values: [table | json]
    #[arg(long, value_name = "string", default_value = "table")]
    format: String,
    /// Only display IDs
    #[arg(short, long)]
    quiet: bool,
    service: Vec<String>,
}

impl Run for Images {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        let containers = call.containers(&target, &self.service, false)?;
        let store = call.ctx()?.images()?;
        if self.quiet {
            let ids: BTreeSet<&str> = containers.iter().map(|c| c.image_id.as_str()).collect();
            return ids.iter().try_fold(0, |code, id| {
                output::line(id.strip_prefix("sha256:").unwrap_or(id)).map(|()| code)
            });
        }
        let header = [
            "CONTAINER",
            "REPOSITORY",
            "TAG",
            "PLATFORM",
            "IMAGE ID",
            "SIZE",
            "CREATED",
        ];
        let mut rows: Vec<Vec<String>> = vec![header.iter().map(|h| (*h).to_owned()).collect()];
        let mut objects = Vec::new();
        for container in &containers {
            let (repository, tag) = match container.spec.image.parse::<oci::Reference>() {
                Ok(reference) => {
                    let reference = reference.or_latest();
                    (
                        reference.familiar_repository().to_owned(),
                        reference.tag().unwrap_or("<none>").to_owned(),
                    )
                }
                Err(_) => ("<none>".into(), "<none>".into()),
            };
            let image = store.find(&container.image_id).ok();
            let size = image.as_ref().map_or(0, |image| store.size(image));
            let platform = image
                .as_ref()
                .map(|i| i.config.platform().to_string())
                .unwrap_or_default();
            let created = image
                .as_ref()
                .and_then(|i| i.config.created.clone())
                .unwrap_or_default();
            let ago =
                engine::Timestamp::parse(&created).map_or_else(|| "N/A".to_owned(), units::ago);
            objects.push(json!({
                "ID": container.image_id, "ContainerName": container.name, "Repository": repository, "Tag": tag,
                "Platform": platform, "Size": size, "Created": created,
            }));
            let id = units::short_id(&container.image_id).to_owned();
            rows.push(vec![
                container.name.clone(),
                repository,
                tag,
                platform,
                id,
                units::size(size),
                ago,
            ]);
        }
        match self.format.as_str() {
            "json" => output::line(Value::from(objects))?,
            _ => output::text(&output::table::layout(rows, &[], None))?,
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Port {
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// tcp or udp
    #[arg(long, value_name = "string", default_value = "tcp")]
    protocol: String,
    #[arg(required = true)]
    service: String,
    #[arg(required = true)]
    port: String,
}

impl Run for Port {
    fn run(self, call: &Call<'_>) -> Outcome {
        let protocol: Protocol = self.protocol.parse()?;
        let port: u16 = self.port.parse().map_err(|_| {
            usage(format!(
                "invalid port {:?}: a number from 1 to 65535",
                self.port
            ))
        })?;
        let container = call.one(&self.service, self.index)?;
        let state = State::load(call.ctx()?, &container.id)?;
        let found = published(&state)
            .iter()
            .find(|p| p.container_port == port && p.protocol == protocol);
        let Some(found) = found else {
            return Err(Failure::said(format!(
                "no port {port}/{protocol} for container {}",
                container.name
            )));
        };
        match found.host_ip {
            Some(std::net::IpAddr::V6(ip)) => {
                output::line(format_args!("[{ip}]:{}", found.host_port))?
            }
            Some(ip) => output::line(format_args!("{ip}:{}", found.host_port))?,
            None => output::line(format_args!("0.0.0.0:{}", found.host_port))?,
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Volumes {
    /// Format output: 'table', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
    service: Vec<String>,
}

impl Run for Volumes {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        let containers = call.containers(&target, &self.service, false)?;
        let of_services = |name: &str| {
            self.service.is_empty()
                || containers
                    .iter()
                    .any(|c| c.volumes.iter().any(|v| v == name))
        };
        let mut names = Vec::new();
        for volume in engine::volume::list(call.ctx()?)? {
            let ours = volume.labels.get(labels::PROJECT) == Some(&target.name);
            if (ours || containers.iter().any(|c| c.volumes.contains(&volume.name)))
                && of_services(&volume.name)
            {
                names.push(volume.name);
            }
        }
        if self.quiet {
            return names
                .iter()
                .try_fold(0, |code, name| output::line(name).map(|()| code));
        }
        let fields = [field("Driver", "DRIVER"), field("Name", "VOLUME NAME")];
        let row = |name: &String| {
            Map::from_iter([
                ("Driver".to_owned(), "local".into()),
                ("Name".to_owned(), name.clone().into()),
            ])
        };
        let rows: Vec<Map<String, Value>> = names.iter().map(row).collect();
        listing::print(
            &Format::parse(self.format.as_deref())?,
            &fields,
            &["Driver", "Name"],
            &rows,
        )?;
        Ok(0)
    }
}
