//! Lists of tasks: `stack ps`, `service ps`, `node ps`.
//!
//! Source: Docker CLI `cli/command/task/formatter.go`.

use super::{node, short};
use crate::failure::{Failure, Outcome};
use crate::output::listing::{self, Field, Format, field, long_field};
use crate::output::{self, units};
use crate::session::Session;
use clap::Args;
use compose::swarm::view::{self, Service, TaskState};
use engine::container::list::Listed;
use model::filter::Filters;
use serde_json::{Map, Value};

#[derive(Debug, Args)]
pub(super) struct TaskFlags {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Do not map IDs to Names
    #[arg(long)]
    no_resolve: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display task IDs
    #[arg(short, long)]
    quiet: bool,
}

const FIELDS: [Field; 8] = [
    field("ID", "ID"),
    field("Name", "NAME"),
    long_field("Image", "IMAGE"),
    field("Node", "NODE"),
    field("DesiredState", "DESIRED STATE"),
    field("CurrentState", "CURRENT STATE"),
    long_field("Error", "ERROR"),
    long_field("Ports", "PORTS"),
];

/// A task's id, from its container's.
pub(super) fn id(task: &Listed) -> String {
    compose::swarm::id(&format!("task {}", task.record.id))
}

pub(super) fn print(session: &Session, services: &[Service], flags: &TaskFlags) -> Outcome {
    let keys = ["id", "name", "node", "service", "label", "desired-state"];
    let filters = Filters::parse(&flags.filter, &keys)?;
    let node = node::shown(session, !flags.no_resolve)?;
    let mut rows = Vec::new();
    for service in services {
        for task in &service.tasks {
            let (id, name) = (id(task), view::task_name(service, task));
            let state = view::task_state(task);
            let fits = filters.matches_prefix("id", &id)
                && filters.matches_name("name", &name)
                && filters.matches_name("service", &service.name())
                && filters.matches_exact("node", &node)
                && filters.matches_labels(&task.record.labels)
                && filters.any("desired-state", |wanted| {
                    state.desired.eq_ignore_ascii_case(wanted)
                });
            if fits {
                rows.push(row(flags, task, &id, &name, &node, &state));
            }
        }
    }
    if flags.quiet {
        for row in &rows {
            output::line(row["ID"].as_str().unwrap_or_default())?;
        }
        return Ok(0);
    }
    show(flags, &rows)?;
    Ok(0)
}

fn show(flags: &TaskFlags, rows: &[Map<String, Value>]) -> Result<(), Failure> {
    let columns: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
    let format = Format::parse(flags.format.as_deref())?;
    listing::print(&format, &FIELDS, &columns, rows)
}

fn row(
    flags: &TaskFlags,
    task: &Listed,
    id: &str,
    name: &str,
    node: &str,
    state: &TaskState,
) -> Map<String, Value> {
    let since = state
        .since
        .map(|since| format!(" {}", units::ago(since).to_lowercase()))
        .unwrap_or_default();
    let error = match flags.no_trunc || state.error.is_empty() {
        true => state.error.clone(),
        false => format!("\"{}\"", units::ellipsis(&state.error, 30)),
    };
    let id = if flags.no_trunc { id } else { short(id) };
    [
        ("ID", id.to_owned()),
        ("Name", name.to_owned()),
        ("Image", task.record.spec.image.clone()),
        ("Node", node.to_owned()),
        ("DesiredState", state.desired.to_owned()),
        ("CurrentState", format!("{}{since}", state.current)),
        ("Error", error),
        ("Ports", view::task_ports(task).join(",")),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), Value::from(value)))
    .collect()
}
