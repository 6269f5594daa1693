//! `ps`.

use super::{ports, status};
use crate::failure::{Failure, Outcome};
use crate::output::listing::{self, Field, Format, field, join_labels, long_field};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::list::{self as engine_list, Listed};
use model::mount::MountKind;
use serde_json::{Map, Value};

pub(crate) const VERB: Verb = verb::<List>(
    &["ps", "container ls", "container list", "container ps"],
    "[OPTIONS]",
    "List containers",
)
.examples("ps\nps -a --filter status=exited\nps --format 'table {{.Names}}\\t{{.Status}}\\t{{.Ports}}'\nps -aq");

#[derive(Debug, Args)]
struct List {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "int", allow_hyphen_values = true)]
    last: Option<i64>,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

const FIELDS: [Field; 15] = [
    field("ID", "CONTAINER ID"),
    long_field("Image", "IMAGE"),
    long_field("Command", "COMMAND"),
    field("RunningFor", "CREATED"),
    field("Status", "STATUS"),
    long_field("Ports", "PORTS"),
    field("Names", "NAMES"),
    field("Size", "SIZE"),
    field("CreatedAt", "CREATED AT"),
    field("State", "STATE"),
    field("Labels", "LABELS"),
    field("Mounts", "MOUNTS"),
    field("LocalVolumes", "LOCAL VOLUMES"),
    field("Networks", "NETWORKS"),
    field("Platform", "PLATFORM"),
];

impl Run for List {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let filters = engine_list::parse_filters(&self.filter)?;
        let last = if self.latest {
            Some(1)
        } else {
            self.last.and_then(|n| usize::try_from(n).ok())
        };
        let mut containers = engine_list::list(ctx, self.all || last.is_some(), &filters)?;
        if let Some(last) = last {
            containers.truncate(last);
        }
        if self.quiet {
            for container in &containers {
                let id = &container.record.id;
                output::line(if self.no_trunc {
                    id.as_str()
                } else {
                    id.short()
                })?;
            }
            return Ok(0);
        }
        let format = Format::parse(self.format.as_deref())?;
        let sizes = self.size || (self.format.is_some() && format.wants("Size"));
        let rows = rows(session, &containers, !self.no_trunc, sizes)?;
        let mut columns = vec![
            "ID",
            "Image",
            "Command",
            "RunningFor",
            "Status",
            "Ports",
            "Names",
        ];
        if self.size {
            columns.push("Size");
        }
        match self.no_trunc && matches!(format, Format::Table) {
            true => output::text(&listing::render(&format, &FIELDS, &columns, &rows, None)?)?,
            false => listing::print(&format, &FIELDS, &columns, &rows)?,
        }
        Ok(0)
    }
}

/// The rows of `ps`, as templates see them.
pub(crate) fn rows(
    session: &Session,
    containers: &[Listed],
    cut: bool,
    sizes: bool,
) -> Result<Vec<Map<String, Value>>, Failure> {
    containers
        .iter()
        .map(|container| row(session, container, cut, sizes))
        .collect()
}

fn row(
    session: &Session,
    container: &Listed,
    cut: bool,
    sizes: bool,
) -> Result<Map<String, Value>, Failure> {
    let Listed { record, state } = container;
    let command = record.process.args().join(" ");
    let command = if cut {
        units::ellipsis(&command, 20)
    } else {
        command
    };
    let size = match sizes {
        true => size_text(session, container)?,
        false => "0B".into(),
    };
    let volumes = record
        .mounts
        .iter()
        .filter(|mount| mount.volume.is_some())
        .count();
    let id = if cut {
        record.id.short()
    } else {
        record.id.as_str()
    };
    let pairs: [(&str, Value); 15] = [
        ("Command", format!("\"{command}\"").into()),
        ("CreatedAt", units::created_at(record.created).into()),
        ("ID", id.into()),
        ("Image", image_name(container, cut).into()),
        ("Labels", join_labels(&record.labels).into()),
        ("LocalVolumes", volumes.to_string().into()),
        ("Mounts", mounts(container, cut).into()),
        ("Names", record.name.clone().into()),
        (
            "Networks",
            engine_list::networks(container).join(",").into(),
        ),
        ("Platform", Value::Null),
        ("Ports", port_column(container).into()),
        ("RunningFor", units::ago(record.created).into()),
        ("Size", size.into()),
        ("State", state.status().into()),
        ("Status", status::text(container).into()),
    ];
    Ok(pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

fn port_column(container: &Listed) -> String {
    if !container.state.is_active() {
        return String::new();
    }
    ports::column(
        ports::published(&container.state),
        &container.record.exposed,
    )
}

/// As it was asked for; an id is cut.
fn image_name(container: &Listed, cut: bool) -> String {
    let name = &container.record.spec.image;
    match cut && name.starts_with("sha256:") {
        true => units::short_id(name).to_owned(),
        false => name.clone(),
    }
}

fn mounts(container: &Listed, cut: bool) -> String {
    let names = container.record.mounts.iter().filter_map(|mount| {
        match (&mount.volume, &mount.mount.kind) {
            (Some(name), _) => Some(name.clone()),
            (None, MountKind::Bind { source, .. }) => Some(source.clone()),
            _ => None,
        }
    });
    names
        .map(|name| {
            if cut {
                units::ellipsis(&name, 15)
            } else {
                name
            }
        })
        .collect::<Vec<_>>()
        .join(",")
}

/// `2B (virtual 72.8MB)`.
fn size_text(session: &Session, container: &Listed) -> Result<String, Failure> {
    let sizes = crate::inspect::sizes(session.engine()?, &container.record);
    Ok(format!(
        "{} (virtual {})",
        units::size(sizes.own),
        units::size(sizes.whole)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::sample;
    use crate::globals::Globals;
    use crate::session::Program;
    use engine::container::state::State;
    use model::port::{ContainerPort, Protocol};

    fn listed() -> Listed {
        let mut record = sample("web");
        record.process.command = vec![
            "sh".into(),
            "-c".into(),
            "while true; do sleep 1; done".into(),
        ];
        record.labels.insert("tier".into(), "front".into());
        record.exposed = vec![ContainerPort {
            port: 80,
            protocol: Protocol::Tcp,
        }];
        Listed {
            record,
            state: State::Created,
        }
    }

    fn shown(format: Option<&str>) -> String {
        let session = Session::new(Program::Docker, Globals::default());
        let rows = rows(&session, &[listed()], true, false).unwrap();
        let format = Format::parse(format).unwrap();
        let columns = [
            "ID",
            "Image",
            "Command",
            "RunningFor",
            "Status",
            "Ports",
            "Names",
        ];
        listing::render(&format, &FIELDS, &columns, &rows, None).unwrap()
    }

    #[test]
    fn the_table_is_dockers() {
        assert_eq!(
            shown(None),
            "CONTAINER ID   IMAGE     COMMAND                  CREATED                  STATUS    PORTS     NAMES\n\
             070707070707   nginx     \"sh -c while true; d…\"   Less than a second ago   Created             web\n"
        );
    }

    #[test]
    fn templates_see_dockers_fields_and_labels() {
        assert_eq!(
            shown(Some(
                r#"{{.Names}} {{.State}} {{.Label "tier"}} {{.Networks}} {{.Image}}"#
            )),
            "web created front bridge nginx\n"
        );
        let json: Value = serde_json::from_str(&shown(Some("json"))).unwrap();
        let keys: Vec<&str> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            keys,
            [
                "Command",
                "CreatedAt",
                "ID",
                "Image",
                "Labels",
                "LocalVolumes",
                "Mounts",
                "Names",
                "Networks",
                "Platform",
                "Ports",
                "RunningFor",
                "Size",
                "State",
                "Status"
            ]
        );
    }
}
