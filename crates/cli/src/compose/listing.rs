//! `ls`, `images`, `port`, `volumes`.

use super::Call;
use super::ps::{label, published};
use super::verb::{Run, Verb, usage, verb};
use crate::failure::{Failure, Outcome};
use crate::output::{self, units};
use clap::Args;
use compose::labels;
use engine::container::list::Listed;
use engine::container::record::ContainerRecord;
use engine::container::state::State;
use model::port::Protocol;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const VERBS: &[Verb] = &[
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
        let mut volumes = Vec::new();
        for volume in engine::volume::list(call.ctx()?)? {
            let ours = volume.labels.get(labels::PROJECT) == Some(&target.name);
            if (ours || containers.iter().any(|c| c.volumes.contains(&volume.name)))
                && of_services(&volume.name)
            {
                volumes.push(volume);
            }
        }
        if self.quiet {
            return volumes
                .iter()
                .try_fold(0, |code, volume| output::line(&volume.name).map(|()| code));
        }
        crate::volume::print(call.ctx()?, &volumes, self.format.as_deref())?;
        Ok(0)
    }
}
