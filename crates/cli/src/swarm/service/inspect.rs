//! `service inspect`.
//!
//! Source: Docker Engine API `ServiceInspect`; docker/cli `cli/command/service/formatter.go` for `--pretty`.

use super::{declared_now, find};
use crate::failure::Outcome;
use crate::output;
use crate::session::Session;
use crate::verb::Run;
use clap::Args;
use compose::swarm::view::{self, Service};
use compose_file::project::{
    Deploy, DeployMode, EndpointMode, FailureAction, UpdateConfig, UpdateOrder,
};
use model::restart::{RestartCondition, RestartPolicy};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// Format output using a custom template: 'json' or TEMPLATE
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Print the information in a human friendly format
    #[arg(long)]
    pretty: bool,
    #[arg(required = true)]
    services: Vec<String>,
}

impl Run for Inspect {
    fn run(self, session: &Session) -> Outcome {
        let mut found = Vec::new();
        let code = session.each(&self.services, |name| {
            let service = find(session, name)?;
            // A file that is gone takes with it what only it says.
            let deploy = declared_now(session, &service)
                .ok()
                .and_then(|(_, project)| project.service(&service.service)?.deploy.clone())
                .unwrap_or_default();
            found.push((service, deploy));
            Ok(())
        })?;
        if self.pretty {
            for (service, deploy) in &found {
                output::text(&pretty(service, deploy))?;
            }
            return Ok(code);
        }
        let documents = found.iter().map(|(s, d)| document(s, d)).collect();
        crate::inspect::print(documents, self.format.as_deref())?;
        Ok(code)
    }
}

fn document(service: &Service, deploy: &Deploy) -> Value {
    let created = service.tasks.iter().map(|t| t.record.created).min();
    let updated = service.newest().map(|t| t.record.created);
    let time = |time: Option<engine::Timestamp>| time.map(|t| t.to_string()).unwrap_or_default();
    let ports = ports(service);
    let mode = match deploy.endpoint_mode {
        Some(EndpointMode::Dnsrr) => "dnsrr",
        _ => "vip",
    };
    let mut spec = json!({
        "Name": service.name(),
        "Labels": deploy.labels,
        "TaskTemplate": template(service, deploy),
        "Mode": match deploy.mode {
            DeployMode::Global => json!({"Global": {}}),
            DeployMode::GlobalJob => json!({"GlobalJob": {}}),
            DeployMode::ReplicatedJob => json!({"ReplicatedJob": {"MaxConcurrent": service.tasks.len(), "TotalCompletions": service.tasks.len()}}),
            DeployMode::Replicated => json!({"Replicated": {"Replicas": service.tasks.len()}}),
        },
        "EndpointSpec": {"Mode": mode, "Ports": ports},
    });
    for (key, config) in [
        ("UpdateConfig", &deploy.update_config),
        ("RollbackConfig", &deploy.rollback_config),
    ] {
        spec[key] = update(config.as_ref());
    }
    json!({
        "ID": service.id(),
        "Version": {"Index": service.tasks.len()},
        "CreatedAt": time(created),
        "UpdatedAt": time(updated),
        "Spec": spec,
        "Endpoint": {"Spec": {"Mode": mode, "Ports": ports}, "Ports": ports},
    })
}

fn nanos(time: Option<Duration>) -> u64 {
    time.map_or(0, |t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX))
}

fn template(service: &Service, deploy: &Deploy) -> Value {
    let Some(task) = service.newest() else {
        return Value::Null;
    };
    let (record, spec) = (&task.record, &task.record.spec);
    let resources = &spec.resources;
    let own: BTreeMap<&String, &String> = record
        .labels
        .iter()
        .filter(|(key, _)| !key.starts_with(compose::labels::PREFIX))
        .collect();
    let mut container = json!({
        "Image": spec.image,
        "Labels": own,
        "Env": spec.env,
        "Isolation": "default",
        "StopGracePeriod": spec.stop_timeout.unwrap_or(10) * 1_000_000_000,
    });
    if let Some(command) = &spec.command {
        container["Args"] = json!(command);
    }
    if let Some(entrypoint) = &spec.entrypoint {
        container["Command"] = json!(entrypoint);
    }
    if let Some(user) = &spec.user {
        container["User"] = json!(user);
    }
    let networks: Vec<Value> = spec
        .networks
        .iter()
        .map(|endpoint| json!({"Target": endpoint.network, "Aliases": endpoint.aliases}))
        .collect();
    json!({
        "ContainerSpec": container,
        "Resources": {
            "Limits": {"NanoCPUs": resources.nano_cpus.unwrap_or(0), "MemoryBytes": resources.memory.unwrap_or(0), "Pids": resources.pids_limit.unwrap_or(0)},
            "Reservations": {"MemoryBytes": resources.memory_reservation.unwrap_or(0)},
        },
        "RestartPolicy": restart(&spec.restart),
        "Placement": {"Constraints": deploy.placement.constraints},
        "Networks": networks,
        "ForceUpdate": 0,
        "Runtime": "container",
    })
}

fn restart(policy: &RestartPolicy) -> Value {
    let condition = match policy.condition {
        RestartCondition::No => "none",
        RestartCondition::OnFailure => "on-failure",
        RestartCondition::Always | RestartCondition::UnlessStopped => "any",
    };
    json!({
        "Condition": condition,
        "Delay": nanos(policy.delay),
        "MaxAttempts": policy.max_attempts.unwrap_or(0),
        "Window": nanos(policy.window),
    })
}

fn update(config: Option<&UpdateConfig>) -> Value {
    let config = config.cloned().unwrap_or_default();
    json!({
        "Parallelism": config.parallelism.unwrap_or(1),
        "Delay": nanos(config.delay),
        "FailureAction": action(&config),
        "Monitor": nanos(config.monitor.or(Some(Duration::from_secs(5)))),
        "MaxFailureRatio": config.max_failure_ratio.unwrap_or(0.0),
        "Order": order(&config),
    })
}

fn action(config: &UpdateConfig) -> &'static str {
    match config.failure_action {
        Some(FailureAction::Continue) => "continue",
        Some(FailureAction::Rollback) => "rollback",
        Some(FailureAction::Pause) | None => "pause",
    }
}

fn order(config: &UpdateConfig) -> &'static str {
    match config.order {
        Some(UpdateOrder::StartFirst) => "start-first",
        Some(UpdateOrder::StopFirst) | None => "stop-first",
    }
}

fn ports(service: &Service) -> Vec<Value> {
    let mut ports: Vec<Value> = Vec::new();
    for task in &service.tasks {
        let network = task.state.run().and_then(|run| run.network.as_ref());
        for port in network.map_or(&[][..], |network| &network.ports) {
            let port = json!({
                "Protocol": port.protocol.to_string(),
                "TargetPort": port.container_port,
                "PublishedPort": port.host_port,
                "PublishMode": "ingress",
            });
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
    }
    ports
}

fn pretty(service: &Service, deploy: &Deploy) -> String {
    let document = document(service, deploy);
    let template = &document["Spec"]["TaskTemplate"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = format!("\nID:\t\t{}\nName:\t\t{}\n", service.id(), service.name());
    if !deploy.labels.is_empty() {
        out.push_str("Labels:\n");
        for (key, value) in &deploy.labels {
            let _ = writeln!(out, " {key}={value}");
        }
    }
    let mode = match deploy.mode {
        DeployMode::Global => "Global".to_owned(),
        DeployMode::ReplicatedJob => "Replicated Job".to_owned(),
        DeployMode::GlobalJob => "Global Job".to_owned(),
        DeployMode::Replicated => format!("Replicated\n Replicas:\t{}", service.tasks.len()),
    };
    let _ = writeln!(out, "Service Mode:\t{mode}\nPlacement:");
    if !deploy.placement.constraints.is_empty() {
        let list = deploy.placement.constraints.join(", ");
        let _ = writeln!(out, " Constraints:\t[{list}]");
    }
    let config = deploy.update_config.clone().unwrap_or_default();
    let _ = writeln!(
        out,
        "UpdateConfig:\n Parallelism:\t{}\n On failure:\t{}\n Update order:      {}\nContainerSpec:\n Image:\t\t{}",
        config.parallelism.unwrap_or(1),
        action(&config),
        order(&config),
        service.image(),
    );
    let words = |key: &str| -> String {
        let list = template["ContainerSpec"][key].as_array();
        let words = list.into_iter().flatten().map(&text);
        words.collect::<Vec<_>>().join(" ")
    };
    for (title, key) in [("Args", "Args"), ("Env", "Env")] {
        let value = words(key);
        if !value.is_empty() {
            let _ = writeln!(out, " {title}:\t\t{value}");
        }
    }
    let _ = writeln!(
        out,
        "Resources:\nEndpoint Mode:\t{}",
        text(&document["Endpoint"]["Spec"]["Mode"])
    );
    let published = service.tasks.iter().flat_map(view::task_ports);
    let published: std::collections::BTreeSet<String> = published.collect();
    if !published.is_empty() {
        let _ = writeln!(out, "Ports:\n {}", Vec::from_iter(published).join("\n "));
    }
    out.push('\n');
    out
}
