//! What can be found wrong on this host before anything is started: things others must have made, names and ports
//! that are taken. Every error carries its place in the file, and all are told together.

use crate::labels;
use crate::observe::Observed;
use crate::plan::{Action, LiveChange, Plan};
use crate::spec::ServiceSpec;
use compose_file::project::{NamespaceRef, NetworkModeRef, VolumesFromSource};
use compose_file::{Diagnostic, Project, Service};
use engine::Context;
use engine::container::names;
use model::mount::MountKind;
use model::port::{HostPort, PortBinding};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What is wrong before any image is looked for.
pub fn before(project: &Project, services: &[&Service], observed: &Observed) -> Vec<Diagnostic> {
    let mut errors = names_twice(project, services);
    errors.extend(externals(project, services, observed));
    errors.extend(donors_missing(project, services, observed));
    errors
}

/// Networks and volumes that the file says others have made.
fn externals(project: &Project, services: &[&Service], observed: &Observed) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let networks: BTreeSet<&str> = services
        .iter()
        .flat_map(|s| s.networks.iter().map(|n| n.network.as_str()))
        .collect();
    for (key, network) in project
        .networks
        .iter()
        .filter(|(key, n)| n.external && networks.contains(key.as_str()))
    {
        let name = &network.spec.name;
        if !observed.networks.contains_key(name)
            && !matches!(name.as_str(), "bridge" | "host" | "none")
        {
            let text = format!("network {name} declared as external, but could not be found");
            let error = project.error_at(&format!("networks.{key}"), text);
            errors.push(error.with_hint(format!(
                "make it with `docker network create {name}`, or take `external` out"
            )));
        }
    }
    let mounts = services.iter().flat_map(|s| &s.volumes);
    let volumes: BTreeSet<&str> = mounts
        .filter_map(|v| match &v.mount.kind {
            MountKind::Volume {
                name: Some(name), ..
            } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    for (key, volume) in project
        .volumes
        .iter()
        .filter(|(key, v)| v.external && volumes.contains(key.as_str()))
    {
        let name = &volume.name;
        if !observed.volumes.contains_key(name) {
            let error = project.error_at(
                &format!("volumes.{key}"),
                format!("external volume {name:?} not found"),
            );
            errors.push(error.with_hint(format!(
                "make it with `docker volume create {name}`, or take `external` out"
            )));
        }
    }
    errors
}

/// Containers that others of the project are to share something with, where nothing makes them: left out by `--no-deps`, and gone.
fn donors_missing(
    project: &Project,
    services: &[&Service],
    observed: &Observed,
) -> Vec<Diagnostic> {
    let missing = |name: &str| {
        !services.iter().any(|s| s.name == name) && observed.of_service(name).next().is_none()
    };
    let mut errors = Vec::new();
    for service in services {
        for (what, key, donor) in shared(service) {
            if missing(donor) {
                let text = format!("cannot share {what} with service {donor}: container missing");
                let error = project.error_at(&format!("services.{}.{key}", service.name), text);
                errors.push(error.with_hint(format!("start {donor} too: leave out --no-deps")));
            }
        }
    }
    errors
}

/// What a service shares with others, the key that says so, and with whom.
fn shared(service: &Service) -> Vec<(&'static str, &'static str, &str)> {
    let mut shared = Vec::new();
    if let Some(NetworkModeRef::Service(donor)) = &service.network_mode {
        shared.push(("network namespace", "network_mode", donor.as_str()));
    }
    for (what, key, reference) in [
        ("PID namespace", "pid", &service.pid),
        ("IPC namespace", "ipc", &service.ipc),
        ("UTS namespace", "uts", &service.uts),
        ("cgroup namespace", "cgroup", &service.cgroup),
    ] {
        if let NamespaceRef::Service(donor) = reference {
            shared.push((what, key, donor.as_str()));
        }
    }
    for from in &service.volumes_from {
        if let VolumesFromSource::Service(donor) = &from.source {
            shared.push(("volume", "volumes_from", donor.as_str()));
        }
    }
    shared
}

/// A name of one container cannot be another's too.
fn names_twice(project: &Project, services: &[&Service]) -> Vec<Diagnostic> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut errors = Vec::new();
    for service in services {
        let Some(name) = service.container_name.as_deref() else {
            continue;
        };
        if let Some(other) = seen.insert(name, &service.name) {
            let path = format!("services.{}.container_name", service.name);
            let text = format!("container name {name:?} is already in use by service {other:?}");
            errors.push(
                project
                    .error_at(&path, text)
                    .with_hint("give each container a name of its own"),
            );
        }
    }
    errors
}

/// What the plan would run into: container names of others, ports that are taken, sources that do not exist.
pub fn obstacles(
    ctx: &Context,
    project: &Project,
    observed: &Observed,
    specs: &BTreeMap<String, ServiceSpec>,
    plan: &Plan,
) -> Vec<Diagnostic> {
    let mut errors = names_taken(ctx, project, plan);
    let starting: BTreeSet<&str> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::StartContainer { service, .. } => Some(service.as_str()),
            Action::Change(LiveChange::Update { changes, .. }) if changes.ports.is_some() => {
                step.resource.split(':').nth(1)
            }
            _ => None,
        })
        .collect();
    for name in project
        .service_names()
        .filter(|name| starting.contains(name))
    {
        errors.extend(sources_missing(project, name, specs));
    }
    let leaving = leaving(plan, observed);
    let mut claimed: Vec<(&str, &PortBinding)> = Vec::new();
    for name in project
        .service_names()
        .filter(|name| starting.contains(name))
    {
        let Some(spec) = specs.get(name) else {
            continue;
        };
        for (index, port) in spec.spec.ports.iter().enumerate() {
            let path = format!("services.{name}.ports[{index}]");
            if let Some((other, _)) = claimed.iter().find(|(_, claimed)| collide(claimed, port)) {
                let text = format!("port {port} is published by service {other} too");
                errors.push(
                    project
                        .error_at(&path, text)
                        .with_hint("give one of them another host port"),
                );
                continue;
            }
            if leaving.iter().any(|held| collide(held, port)) {
                continue;
            }
            let own = observed.of_service(name).next().map(|c| c.id.as_str());
            let group = engine::networks::share_group(&spec.spec.labels);
            let binding = PortBinding {
                host_ip: port.host_ip.or(ctx.config.ip),
                ..*port
            };
            if let Err(error) = network::check_ports(&ctx.layout, &[binding], group.as_deref(), own)
            {
                let hint = "stop what holds it, or publish another host port";
                errors.push(
                    project
                        .error_at(&path, crate::chain(&error))
                        .with_hint(hint),
                );
            }
        }
        claimed.extend(spec.spec.ports.iter().map(|port| (name, port)));
    }
    errors
}

/// Files and directories of the host that are mounted and must be there already.
fn sources_missing(
    project: &Project,
    name: &str,
    specs: &BTreeMap<String, ServiceSpec>,
) -> Vec<Diagnostic> {
    let (Some(service), Some(spec)) = (project.service(name), specs.get(name)) else {
        return Vec::new();
    };
    let place = |target: &str| {
        let volume = service
            .volumes
            .iter()
            .position(|v| v.mount.target == target);
        let secret = service.secrets.iter().position(|s| s.target == target);
        let config = service.configs.iter().position(|c| c.target == target);
        match (volume, secret, config) {
            (Some(index), ..) => format!("services.{name}.volumes[{index}]"),
            (_, Some(index), _) => format!("services.{name}.secrets[{index}]"),
            (.., Some(index)) => format!("services.{name}.configs[{index}]"),
            _ => format!("services.{name}"),
        }
    };
    let mut errors = Vec::new();
    for mount in &spec.spec.mounts {
        if let MountKind::Bind {
            source,
            create_source: false,
            ..
        } = &mount.kind
            && !engine::container::api_socket::is_source(source)
            && !Path::new(source).exists()
        {
            let text = format!("bind source path does not exist: {source}");
            let error = project.error_at(&place(&mount.target), text);
            errors.push(error.with_hint("make it first, or correct the path"));
        }
    }
    errors
}

/// The ports that the plan frees: of containers that it stops, and those that a running one gives up.
fn leaving(plan: &Plan, observed: &Observed) -> Vec<PortBinding> {
    let mut ports = Vec::new();
    for step in &plan.steps {
        let (name, kept): (&str, &[PortBinding]) = match &step.action {
            Action::StopContainer { name, .. } => (name, &[]),
            Action::Change(LiveChange::Update { container, changes }) => match &changes.ports {
                Some(kept) => (container, &kept.bindings),
                None => continue,
            },
            _ => continue,
        };
        let held = observed.containers.iter().find(|c| c.name == name);
        let held = held.into_iter().flat_map(|c| &c.spec.ports);
        ports.extend(held.filter(|port| !kept.contains(port)).copied());
    }
    ports
}

fn collide(a: &PortBinding, b: &PortBinding) -> bool {
    let unspecified = |binding: &PortBinding| binding.host_ip.is_none_or(|ip| ip.is_unspecified());
    let address = unspecified(a) || unspecified(b) || a.host_ip == b.host_ip;
    matches!(a.host_port, HostPort::Exact(_))
        && a.host_port == b.host_port
        && a.protocol == b.protocol
        && address
}

/// A container of another project (or of none) that has a name the plan wants.
fn names_taken(ctx: &Context, project: &Project, plan: &Plan) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for step in &plan.steps {
        let Action::CreateContainer(new) = &step.action else {
            continue;
        };
        let Some(holder) = names::holder(ctx, &new.final_name) else {
            continue;
        };
        let Ok(record) = names::resolve(ctx, &holder) else {
            continue;
        };
        let ours = record.labels.get(labels::PROJECT) == Some(&project.name)
            && record.labels.get(labels::SERVICE) == Some(&new.service);
        if !ours {
            let text = format!(
                "the container name {:?} is already in use by container {}",
                new.final_name,
                record.id.short()
            );
            let path = format!("services.{}.container_name", new.service);
            let hint = format!(
                "remove or rename that container (`docker rm -f {}`), or choose another name",
                new.final_name
            );
            errors.push(project.error_at(&path, text).with_hint(hint));
        }
    }
    errors
}
