//! `node`: this host, the only one. Its labels are what placement constraints ask for.

use super::tasks::{self, TaskFlags};
use super::{short, view};
use crate::args::key_value;
use crate::failure::{Failure, Outcome};
use crate::inspect;
use crate::output;
use crate::output::listing::{self, Field, Format, ListFlags, field};
use crate::session::Session;
use crate::system::DOCKER_VERSION;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use compose::placement::Node;
use compose::swarm::node::Record;
use serde_json::{Map, Value, json};
use std::fmt::Write;

pub(crate) const VERBS: &[Verb] = &[
    verb::<List>(
        &["node ls", "node list"],
        "[OPTIONS]",
        "List nodes in the swarm: this host",
    ),
    verb::<Inspect>(
        &["node inspect"],
        "[OPTIONS] self|NODE [NODE...]",
        "Display detailed information on one or more nodes",
    )
    .at_least(1),
    verb::<Update>(
        &["node update"],
        "[OPTIONS] NODE",
        "Update a node: its labels",
    )
    .exactly(1)
    .examples("node update --label-add disk=ssd self     # then: placement: constraints: [node.labels.disk == ssd]"),
    verb::<Tasks>(
        &["node ps"],
        "[OPTIONS] [NODE...]",
        "List tasks running on one or more nodes, defaults to current node",
    )
    .at_least(0),
];

/// Swarm's id for this host.
pub(super) fn id(session: &Session) -> Result<String, Failure> {
    let node = Node::of(session.engine()?)?;
    let seed = if node.id.is_empty() {
        node.hostname
    } else {
        node.id
    };
    Ok(compose::swarm::id(&format!("node {seed}")))
}

/// Refuses names of hosts that are not this one.
fn check(session: &Session, wanted: &str) -> Result<(), Failure> {
    let (id, node) = (id(session)?, Node::of(session.engine()?)?);
    let is =
        wanted == "self" || wanted == node.hostname || (wanted.len() > 3 && id.starts_with(wanted));
    match is {
        true => Ok(()),
        false => Err(Failure::said(format!("No such node: {wanted}"))
            .hint(format!("there is one: self, or {}", node.hostname))),
    }
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    flags: ListFlags,
}

const FIELDS: [Field; 8] = [
    field("ID", "ID"),
    field("Hostname", "HOSTNAME"),
    field("Status", "STATUS"),
    field("Availability", "AVAILABILITY"),
    field("ManagerStatus", "MANAGER STATUS"),
    field("EngineVersion", "ENGINE VERSION"),
    field("Self", "SELF"),
    field("TLSStatus", "TLS STATUS"),
];

impl Run for List {
    fn run(self, session: &Session) -> Outcome {
        let (id, node) = (id(session)?, Node::of(session.engine()?)?);
        let keys = ["id", "label", "node.label", "membership", "name", "role"];
        let filters = model::filter::Filters::parse(&self.flags.filter, &keys)?;
        let fits = filters.matches_prefix("id", &id)
            && filters.matches_name("name", &node.hostname)
            && filters.matches_labels(&node.labels)
            && filters.matches_exact("role", "manager")
            && filters.matches_exact("membership", "accepted");
        if !fits {
            return Ok(0);
        }
        if self.flags.quiet {
            output::line(&id)?;
            return Ok(0);
        }
        let format = Format::parse(self.flags.format.as_deref())?;
        let shown = match format {
            Format::Table => format!("{id} *"),
            _ => id,
        };
        let row: Map<String, Value> = [
            ("ID", Value::from(shown)),
            ("Hostname", node.hostname.into()),
            ("Status", "Ready".into()),
            ("Availability", "Active".into()),
            ("ManagerStatus", "Leader".into()),
            ("EngineVersion", DOCKER_VERSION.into()),
            ("Self", true.into()),
            ("TLSStatus", "Ready".into()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        let columns = [
            "ID",
            "Hostname",
            "Status",
            "Availability",
            "ManagerStatus",
            "EngineVersion",
        ];
        listing::print(&format, &FIELDS, &columns, &[row])?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Inspect {
    /// Format output using a custom template: 'json' or TEMPLATE
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Print the information in a human friendly format
    #[arg(long)]
    pretty: bool,
    #[arg(required = true)]
    nodes: Vec<String>,
}

impl Run for Inspect {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let (id, node) = (id(session)?, Node::of(ctx)?);
        let info = engine::info::info(ctx)?;
        let mut found = Vec::new();
        let code = session.each(&self.nodes, |wanted| {
            check(session, wanted)?;
            found.push(document(&id, &node, &info));
            Ok(())
        })?;
        if self.pretty {
            for _ in &found {
                output::text(&pretty(&id, &node, &info))?;
            }
            return Ok(code);
        }
        inspect::print(found, self.format.as_deref())?;
        Ok(code)
    }
}

fn document(id: &str, node: &Node, info: &engine::info::Info) -> Value {
    json!({
        "ID": id,
        "Version": {"Index": 1},
        "Spec": {"Labels": node.labels, "Role": "manager", "Availability": "active"},
        "Description": {
            "Hostname": node.hostname,
            "Platform": {"Architecture": node.arch, "OS": node.os},
            "Resources": {"NanoCPUs": info.cpus as u64 * 1_000_000_000, "MemoryBytes": info.memory},
            "Engine": {"EngineVersion": DOCKER_VERSION},
        },
        "Status": {"State": "ready", "Addr": "127.0.0.1"},
        "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "127.0.0.1:2377"},
    })
}

fn pretty(id: &str, node: &Node, info: &engine::info::Info) -> String {
    let mut out = format!("ID:\t\t\t{id}\n");
    if !node.labels.is_empty() {
        out.push_str("Labels:\n");
        for (key, value) in &node.labels {
            let _ = writeln!(out, " - {key}={value}");
        }
    }
    let _ = writeln!(
        out,
        "Hostname:              \t{}\nStatus:\n State:\t\t\tReady\n Availability:         \tActive\n\
         Platform:\n Operating System:\t{}\n Architecture:\t\t{}\nResources:\n CPUs:\t\t\t{}\n Memory:\t\t{}\n\
         Engine Version:\t\t{DOCKER_VERSION}",
        node.hostname,
        node.os,
        node.arch,
        info.cpus,
        output::units::memory(info.memory),
    );
    out
}

#[derive(Debug, Args)]
struct Update {
    /// Add or update a node label ("key=value")
    #[arg(long, value_name = "list")]
    label_add: Vec<String>,
    /// Remove a node label if exists
    #[arg(long, value_name = "list")]
    label_rm: Vec<String>,
    /// Availability of the node ("active"): the only node cannot be taken out
    #[arg(long, value_name = "string")]
    availability: Option<String>,
    /// Role of the node ("manager")
    #[arg(long, value_name = "string")]
    role: Option<String>,
    #[arg(required = true)]
    node: String,
}

impl Run for Update {
    fn run(self, session: &Session) -> Outcome {
        check(session, &self.node)?;
        for (flag, value, only) in [
            ("--availability", &self.availability, "active"),
            ("--role", &self.role, "manager"),
        ] {
            if let Some(value) = value.as_ref().filter(|value| *value != only) {
                return Err(Failure::said(format!(
                    "{flag} {value}: this host is the only node, it can only be {only}"
                )));
            }
        }
        let ctx = session.engine()?;
        let mut record = Record::load(ctx)?;
        record.labels.extend(key_value::map(&self.label_add));
        record.labels.retain(|key, _| !self.label_rm.contains(key));
        record.save(ctx)?;
        output::line(&self.node)?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Tasks {
    #[command(flatten)]
    flags: TaskFlags,
    nodes: Vec<String>,
}

impl Run for Tasks {
    fn run(self, session: &Session) -> Outcome {
        for node in &self.nodes {
            check(session, node)?;
        }
        let services = view::services(session.engine()?)?;
        tasks::print(session, &services, &self.flags)
    }
}

/// What tasks say about where they run.
pub(super) fn shown(session: &Session, resolve: bool) -> Result<String, Failure> {
    match resolve {
        true => Ok(Node::of(session.engine()?)?.hostname),
        false => Ok(short(&id(session)?).to_owned()),
    }
}
