//! `ps`.

use super::Call;
use super::verb::{Run, Verb, usage, verb};
use crate::failure::Outcome;
use crate::output;
use crate::output::listing::{self, Field, Format, field, long_field};
use clap::Args;
use compose::labels;
use engine::container::list::Listed;
use engine::container::record::ContainerRecord;
use engine::container::state::State;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

pub(crate) const VERBS: &[Verb] =
    &[
        verb::<List>(&["ps"], "[OPTIONS] [SERVICE...]", "List containers")
            .examples("ps\nps -a --format json\nps --services"),
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

pub(super) fn label<'a>(record: &'a ContainerRecord, key: &str) -> &'a str {
    record.labels.get(key).map_or("", String::as_str)
}

/// The fields that Compose has and Docker's `ps` has not.
fn complete(row: &mut Map<String, Value>, container: &Listed) {
    let code = match &container.state {
        State::Exited(last) => last.exit_code,
        _ => 0,
    };
    let ports = published(&container.state);
    // Only exposed: a port without a side of the host.
    let exposed = container
        .record
        .exposed
        .iter()
        .filter(|_| container.state.is_active())
        .filter(|e| {
            let same =
                |p: &network::PublishedPort| p.container_port == e.port && p.protocol == e.protocol;
            !ports.iter().any(same)
        })
        .map(|e| {
            json!({
                "URL": "",
                "TargetPort": e.port,
                "PublishedPort": 0,
                "Protocol": e.protocol.to_string(),
            })
        });
    let publishers: Vec<Value> = ports
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
        .chain(exposed)
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

pub(super) fn published(state: &State) -> &[network::PublishedPort] {
    state
        .run()
        .and_then(|run| run.network.as_ref())
        .map_or(&[], |network| network.ports.as_slice())
}
