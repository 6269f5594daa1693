//! Every name a service uses must be defined somewhere.

use crate::diagnostic::Diagnostic;
use crate::project::{NamespaceRef, NetworkModeRef, Project, Service, VolumesFromSource};
use crate::schema::nearest;
use model::mount::MountKind;
use std::collections::BTreeMap;

/// The undefined things a service refers to.
pub(super) fn check(project: &Project, service: &Service) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut resource = |key: String, what: &str, name: &str, section: &str, known: Vec<&str>| {
        if !known.contains(&name) {
            let message = format!(
                "service \"{}\" refers to undefined {what} {name}",
                service.name
            );
            found.push(undefined(
                project, service, &key, message, name, section, &known,
            ));
        }
    };
    for endpoint in &service.networks {
        let name = endpoint.network.as_str();
        resource(
            format!("networks.{name}"),
            "network",
            name,
            "networks",
            keys(&project.networks),
        );
    }
    for (number, volume) in service.volumes.iter().enumerate() {
        if let MountKind::Volume {
            name: Some(name), ..
        } = &volume.mount.kind
        {
            resource(
                format!("volumes[{number}]"),
                "volume",
                name,
                "volumes",
                keys(&project.volumes),
            );
        }
    }
    for (number, config) in service.configs.iter().enumerate() {
        resource(
            format!("configs[{number}]"),
            "config",
            &config.source,
            "configs",
            keys(&project.configs),
        );
    }
    for (number, secret) in service.secrets.iter().enumerate() {
        resource(
            format!("secrets[{number}]"),
            "secret",
            &secret.source,
            "secrets",
            keys(&project.secrets),
        );
    }
    for (number, secret) in service
        .build
        .iter()
        .flat_map(|build| &build.secrets)
        .enumerate()
    {
        resource(
            format!("build.secrets[{number}]"),
            "secret",
            &secret.source,
            "secrets",
            keys(&project.secrets),
        );
    }
    for name in service.models.keys() {
        resource(
            format!("models.{name}"),
            "model",
            name,
            "models",
            keys(&project.models),
        );
    }
    found.extend(services(project, service));
    found
}

/// Other services this one names.
fn services(project: &Project, service: &Service) -> Vec<Diagnostic> {
    let mut named: Vec<(String, String)> = Vec::new();
    for (number, link) in service.links.iter().enumerate() {
        named.push((
            format!("links[{number}]"),
            link.split(':').next().unwrap_or(link).to_owned(),
        ));
    }
    if let Some(NetworkModeRef::Service(name)) = &service.network_mode {
        named.push(("network_mode".into(), name.clone()));
    }
    for (key, namespace) in [("ipc", &service.ipc), ("pid", &service.pid)] {
        if let NamespaceRef::Service(name) = namespace {
            named.push((key.into(), name.clone()));
        }
    }
    for (number, from) in service.volumes_from.iter().enumerate() {
        if let VolumesFromSource::Service(name) = &from.source {
            named.push((format!("volumes_from[{number}]"), name.clone()));
        }
    }
    for context in service
        .build
        .iter()
        .flat_map(|build| &build.additional_contexts)
    {
        if let Some(name) = context.1.strip_prefix("service:") {
            named.push((
                format!("build.additional_contexts.{}", context.0),
                name.to_owned(),
            ));
        }
    }
    let known: Vec<&str> = project.service_names().collect();
    let mut found = Vec::new();
    for (key, name) in &named {
        if !known.contains(&name.as_str()) {
            let message = format!(
                "service \"{}\" refers to undefined service \"{name}\"",
                service.name
            );
            found.push(undefined(
                project, service, key, message, name, "services", &known,
            ));
        }
    }
    for (name, dependency) in &service.depends_on {
        let is_disabled = project
            .disabled_services
            .iter()
            .any(|other| other.name == *name);
        let told = named.iter().any(|(_, other)| other == name);
        if dependency.required && !known.contains(&name.as_str()) && !is_disabled && !told {
            let message = format!(
                "service \"{}\" depends on undefined service \"{name}\"",
                service.name
            );
            found.push(undefined(
                project,
                service,
                &format!("depends_on.{name}"),
                message,
                name,
                "services",
                &known,
            ));
        }
    }
    found
}

fn keys<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

fn undefined(
    project: &Project,
    service: &Service,
    key: &str,
    message: String,
    name: &str,
    section: &str,
    known: &[&str],
) -> Diagnostic {
    let hint = match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("did you mean \"{nearest}\"?"),
        None => match section {
            "services" => format!("services here: {}", known.join(", ")),
            _ => format!("define it at the top level: \"{section}:\", and below it \"{name}:\""),
        },
    };
    project
        .error_at(&format!("services.{}.{key}", service.name), message)
        .with_hint(hint)
}
