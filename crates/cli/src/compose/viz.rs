//! `viz` (`alpha viz`): the services and what they need as a graph for Graphviz.
//!
//! Source: docker/compose `pkg/compose/viz.go`.

use super::Call;
use super::verb::{Run, Verb, verb};
use crate::failure::Outcome;
use crate::output;
use clap::Args;
use compose_file::{Project, Service};
use std::fmt::Write;

pub(crate) const VERBS: &[Verb] = &[verb::<Viz>(
    &["viz"],
    "[OPTIONS]",
    "Generate a graphviz graph from your compose file",
)
.examples("viz --networks --ports | dot -Tsvg > project.svg")];

#[derive(Debug, Args)]
struct Viz {
    /// Include service's image name in output graph
    #[arg(long)]
    image: bool,
    /// Number of tabs or spaces to use for indentation
    #[arg(long, value_name = "int", default_value = "1")]
    indentation_size: usize,
    /// Include service's attached networks in output graph
    #[arg(long)]
    networks: bool,
    /// Include service's exposed ports in output graph
    #[arg(long)]
    ports: bool,
    /// If given, space character ' ' will be used to indent, otherwise tab character '\t' will be used
    #[arg(long)]
    spaces: bool,
}

impl Run for Viz {
    fn run(self, call: &Call<'_>) -> Outcome {
        let project = call.load(&[])?;
        output::text(&self.graph(&project))?;
        Ok(0)
    }
}

impl Viz {
    fn graph(&self, project: &Project) -> String {
        let indent = if self.spaces { " " } else { "\t" }.repeat(self.indentation_size.min(16));
        let mut out = format!("digraph {:?} {{\n{indent}layout=dot;\n", project.name);
        for service in &project.services {
            let _ = writeln!(
                out,
                "{indent}{:?} [style=\"filled\" label=<<font point-size=\"15\">{}</font>{}>];",
                service.name,
                escaped(&service.name),
                self.details(service, project)
            );
        }
        out.push('\n');
        for service in &project.services {
            for needed in service.depends_on.keys() {
                let _ = writeln!(out, "{indent}{:?} -> {needed:?};", service.name);
            }
        }
        out.push_str("}\n");
        out
    }

    fn details(&self, service: &Service, project: &Project) -> String {
        let networks = service.networks.iter().map(|n| n.network.clone());
        let port = |port: &compose_file::project::ServicePort| {
            let binding = &port.binding;
            let host = binding.host_ip.map(|ip| format!("{ip}:"));
            format!(
                "{}{}:{} ({})",
                host.unwrap_or_default(),
                published(binding.host_port),
                binding.container_port,
                binding.protocol
            )
        };
        let parts = [
            (self.networks, "Networks", networks.collect::<Vec<_>>()),
            (
                self.ports,
                "Ports",
                service.ports.iter().map(port).collect(),
            ),
            (self.image, "Image", vec![service.image_name(&project.name)]),
        ];
        let mut out = String::new();
        for (wanted, title, lines) in parts {
            if wanted && !lines.is_empty() {
                let lines: String = lines
                    .iter()
                    .map(|line| format!("<br/>{}", escaped(line)))
                    .collect();
                let _ = write!(
                    out,
                    "<font point-size=\"10\"><br/><br/><b>{title}:</b>{lines}</font>"
                );
            }
        }
        out
    }
}

fn published(port: model::port::HostPort) -> String {
    use model::port::HostPort::{AnyOf, Exact, Random};
    match port {
        Random => String::new(),
        Exact(port) => port.to_string(),
        AnyOf { first, last } => format!("{first}-{last}"),
    }
}

/// What a label of Graphviz would take for markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graph_is_graphvizs() {
        let service = |name: &str, needs: &[&str]| Service {
            name: name.into(),
            image: Some("a<b".into()),
            depends_on: needs
                .iter()
                .map(|n| ((*n).to_owned(), Default::default()))
                .collect(),
            ..Default::default()
        };
        let project = Project {
            name: "shop".into(),
            services: vec![service("web", &["db"]), service("db", &[])],
            ..Default::default()
        };
        let viz = Viz {
            image: true,
            indentation_size: 2,
            networks: true,
            ports: true,
            spaces: true,
        };
        let image = "<font point-size=\"10\"><br/><br/><b>Image:</b><br/>a&lt;b</font>";
        assert_eq!(
            viz.graph(&project),
            format!(
                "digraph \"shop\" {{\n  layout=dot;\n  \
                 \"web\" [style=\"filled\" label=<<font point-size=\"15\">web</font>{image}>];\n  \
                 \"db\" [style=\"filled\" label=<<font point-size=\"15\">db</font>{image}>];\n\n  \
                 \"web\" -> \"db\";\n}}\n"
            )
        );
    }
}
