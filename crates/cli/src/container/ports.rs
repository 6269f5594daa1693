//! `port`, and the `PORTS` column.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::state::State;
use model::port::{ContainerPort, Protocol};
use network::PublishedPort;
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(crate) const VERB: Verb = verb::<Port>(
    &["port", "container port"],
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
)
.between(1, 2)
.examples("port web\nport web 80");

#[derive(Debug, Args)]
struct Port {
    #[arg(required = true)]
    container: String,
    port: Option<String>,
}

/// The ports a container has published now.
pub(crate) fn published(state: &State) -> &[PublishedPort] {
    state
        .run()
        .and_then(|run| run.network.as_ref())
        .map_or(&[], |network| network.ports.as_slice())
}

/// `0.0.0.0:8080`, and `[::]:8080` where no address was said.
fn host_sides(port: &PublishedPort) -> Vec<String> {
    match port.host_ip {
        Some(IpAddr::V6(ip)) => vec![format!("[{ip}]:{}", port.host_port)],
        Some(ip) => vec![format!("{ip}:{}", port.host_port)],
        None => vec![
            format!("0.0.0.0:{}", port.host_port),
            format!("[::]:{}", port.host_port),
        ],
    }
}

impl Run for Port {
    fn run(self, session: &Session) -> Outcome {
        let record = super::find(session, &self.container)?;
        let state = State::load(session.engine()?, record.id.as_str())?;
        let ports = published(&state);
        let Some(wanted) = &self.port else {
            let mut lines: Vec<String> = ports
                .iter()
                .flat_map(|port| {
                    host_sides(port).into_iter().map(move |host| {
                        format!("{}/{} -> {host}", port.container_port, port.protocol)
                    })
                })
                .collect();
            lines.sort();
            for line in lines {
                output::line(line)?;
            }
            return Ok(0);
        };
        let parsed: ContainerPort = wanted
            .parse()
            .map_err(|_| Failure::said(format!("Invalid proto or port: {wanted}")))?;
        let found: Vec<String> = ports
            .iter()
            .filter(|port| port.container_port == parsed.port && port.protocol == parsed.protocol)
            .flat_map(host_sides)
            .collect();
        if found.is_empty() {
            return Err(Failure::said(format!(
                "no public port '{parsed}' published for {}",
                record.name
            )));
        }
        for line in found {
            output::line(line)?;
        }
        Ok(0)
    }
}

/// One entry of the column before ranges are joined.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    protocol: Protocol,
    host_ip: Option<String>,
    container: u16,
    host: Option<u16>,
}

/// `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp`; consecutive ports as ranges.
pub(crate) fn column(published: &[PublishedPort], exposed: &[ContainerPort]) -> String {
    let mut entries = BTreeSet::new();
    for port in published {
        let ips = match port.host_ip {
            Some(IpAddr::V6(ip)) => vec![format!("[{ip}]")],
            Some(ip) => vec![ip.to_string()],
            None => vec!["0.0.0.0".into(), "[::]".into()],
        };
        for ip in ips {
            entries.insert(Entry {
                protocol: port.protocol,
                host_ip: Some(ip),
                container: port.container_port,
                host: Some(port.host_port),
            });
        }
    }
    for port in exposed {
        if !published
            .iter()
            .any(|p| p.container_port == port.port && p.protocol == port.protocol)
        {
            entries.insert(Entry {
                protocol: port.protocol,
                host_ip: None,
                container: port.port,
                host: None,
            });
        }
    }
    let mut texts: Vec<(u16, String)> = Vec::new();
    let mut run: Vec<&Entry> = Vec::new();
    for entry in &entries {
        if run.last().is_some_and(|last| !follows(last, entry)) {
            texts.push(joined(&run));
            run.clear();
        }
        run.push(entry);
    }
    if !run.is_empty() {
        texts.push(joined(&run));
    }
    texts.sort_by_key(|(port, _)| *port);
    texts
        .into_iter()
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .join(", ")
}

fn follows(last: &Entry, next: &Entry) -> bool {
    let host = match (last.host, next.host) {
        (Some(a), Some(b)) => a.checked_add(1) == Some(b),
        (None, None) => true,
        _ => false,
    };
    host && last.container.checked_add(1) == Some(next.container)
        && (last.protocol, &last.host_ip) == (next.protocol, &next.host_ip)
}

fn joined(run: &[&Entry]) -> (u16, String) {
    let (first, last) = (run[0], run[run.len() - 1]);
    let range = |a: u16, b: u16| {
        if a == b {
            a.to_string()
        } else {
            format!("{a}-{b}")
        }
    };
    let container = format!(
        "{}/{}",
        range(first.container, last.container),
        first.protocol
    );
    let text = match (&first.host_ip, first.host, last.host) {
        (Some(ip), Some(a), Some(b)) => format!("{ip}:{}->{container}", range(a, b)),
        _ => container,
    };
    (first.container, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host_ip: Option<&str>, host_port: u16, container_port: u16) -> PublishedPort {
        PublishedPort {
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            host_port,
            container_port,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn the_column_is_dockers() {
        let exposed = [
            ContainerPort {
                port: 443,
                protocol: Protocol::Tcp,
            },
            ContainerPort {
                port: 80,
                protocol: Protocol::Tcp,
            },
        ];
        assert_eq!(
            column(&[port(None, 8080, 80)], &exposed),
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp"
        );
        assert_eq!(
            column(
                &[port(Some("127.0.0.1"), 1, 5), port(Some("127.0.0.1"), 2, 6)],
                &[]
            ),
            "127.0.0.1:1-2->5-6/tcp"
        );
        assert_eq!(column(&[port(Some("::1"), 1, 5)], &[]), "[::1]:1->5/tcp");
        assert_eq!(column(&[], &[]), "");
    }
}
