//! `ports`: every open port of the host, who holds it, who may reach it.

use crate::failure::Outcome;
use crate::output::listing::{self, Field, Format, field, long_field};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::list;
use network::{Holder, OpenPort, Reach};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

pub(crate) const VERB: Verb = verb::<Ports>(
    &["ports"],
    "[OPTIONS]",
    "List every open port of the host, who holds it and who may reach it",
)
.exactly(0)
.examples("ports\nports --published --format json");

#[derive(Debug, Args)]
struct Ports {
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only ports that containers publish
    #[arg(short, long)]
    published: bool,
}

const FIELDS: [Field; 8] = [
    field("Port", "PORT"),
    field("Protocol", "PROTOCOL"),
    field("Address", "ADDRESS"),
    long_field("Holder", "HOLDER"),
    field("Target", "TARGET"),
    long_field("Reach", "REACHABLE FROM"),
    field("Container", "CONTAINER"),
    field("Pid", "PID"),
];

const COLUMNS: [&str; 6] = ["Port", "Protocol", "Address", "Holder", "Target", "Reach"];

impl Run for Ports {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let format = Format::parse(self.format.as_deref())?;
        let mut open = network::open_ports(&ctx.layout).map_err(engine::Error::from)?;
        if self.published {
            open.retain(|port| matches!(port.holder, Holder::Container { .. }));
        }
        let on_host = list::on_host_network(ctx)?;
        let rows: Vec<_> = open
            .iter()
            .map(|port| {
                let container = match &port.holder {
                    Holder::Process(Some(process)) => list::container_of(&on_host, process.pid),
                    _ => None,
                };
                row(port, container)
            })
            .collect();
        listing::print(&format, &FIELDS, &COLUMNS, &rows)?;
        crate::network::warn_of_blocks(ctx)?;
        Ok(0)
    }
}

/// `on_host` names the container whose process this is, when that is on the host's own network.
fn row(port: &OpenPort, on_host: Option<&str>) -> Map<String, Value> {
    let (holder, target, container, pid) = match &port.holder {
        Holder::Container {
            name,
            container_first,
            serving,
            ..
        } => {
            let last = container_first.wrapping_add(port.last.wrapping_sub(port.first));
            let rests = if *serving { "" } else { " (unhealthy)" };
            let holder = format!("container {name}{rests}");
            (holder, range(*container_first, last), name.as_str(), None)
        }
        Holder::Process(Some(process)) => {
            let holder = match on_host {
                Some(name) => format!("container {name}, {process}"),
                None => process.to_string(),
            };
            let container = on_host.unwrap_or_default();
            (holder, String::new(), container, Some(process.pid))
        }
        Holder::Process(None) => (
            "a process that cannot be seen".into(),
            String::new(),
            "",
            None,
        ),
    };
    let cells = [
        ("Port", json!(range(port.first, port.last))),
        ("Protocol", json!(port.protocol.to_string())),
        ("Address", json!(address(port.host_ip))),
        ("Holder", json!(holder)),
        ("Target", json!(target)),
        ("Reach", json!(reach(&port.reach))),
        ("Container", json!(container)),
        (
            "Pid",
            json!(pid.map_or_else(String::new, |pid| pid.to_string())),
        ),
    ];
    cells
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn range(first: u16, last: u16) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn address(host_ip: Option<IpAddr>) -> String {
    host_ip.map_or_else(|| "all".into(), |ip| ip.to_string())
}

fn reach(reach: &Reach) -> String {
    match reach {
        Reach::Everybody => "everywhere".into(),
        Reach::Address(address) => format!("where {address} is reached"),
        Reach::Host => "this host".into(),
        Reach::Networks(networks) => {
            let names: Vec<String> = networks.iter().map(ToString::to_string).collect();
            format!("this host, {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::port::Protocol;

    #[test]
    fn a_row_says_who_has_it_and_who_may_come() {
        let port = OpenPort {
            protocol: Protocol::Udp,
            host_ip: None,
            first: 9000,
            last: 9009,
            holder: Holder::Container {
                id: "c".into(),
                name: "web".into(),
                container_first: 80,
                serving: false,
            },
            reach: Reach::Networks(vec!["10.0.0.0/8".parse().unwrap()]),
        };
        let said = row(&port, None);
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        assert_eq!(
            (text("Port"), text("Target")),
            ("9000-9009".into(), "80-89".into())
        );
        assert_eq!(
            (text("Holder"), text("Address")),
            ("container web (unhealthy)".into(), "all".into())
        );
        assert_eq!(text("Reach"), "this host, 10.0.0.0/8");
        let process = network::Process {
            pid: 7,
            command: "sshd".into(),
        };
        let listening = OpenPort {
            host_ip: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            holder: Holder::Process(Some(process)),
            reach: Reach::Host,
            ..port
        };
        assert_eq!(row(&listening, None)["Holder"], "process 7 (sshd)");
        assert_eq!(
            row(&listening, Some("dns"))["Holder"],
            "container dns, process 7 (sshd)"
        );
    }
}
