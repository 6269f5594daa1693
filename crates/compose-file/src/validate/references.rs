//! Every name a service uses must be defined somewhere.

use crate::diagnostic::Diagnostic;
use crate::project::{NamespaceRef, NetworkModeRef, Project, Service, VolumesFromSource};
use crate::schema::nearest;
use model::mount::MountKind;
use std::collections::{BTreeMap, HashSet};

/// Something a service names: under which key, and what.
#[derive(Debug)]
struct Reference<'p> {
    key: String,
    name: &'p str,
}

fn reference(key: impl Into<String>, name: &str) -> Reference<'_> {
    Reference {
        key: key.into(),
        name,
    }
}

/// The undefined things a service refers to; `names` are all services'.
pub(super) fn check(
    project: &Project,
    service: &Service,
    names: &HashSet<&str>,
) -> Vec<Diagnostic> {
    let numbered = |key: &str, number: usize, name| reference(format!("{key}[{number}]"), name);
    let networks = service
        .networks
        .iter()
        .map(|endpoint| endpoint.network.as_str());
    let networks = networks.map(|name| reference(format!("networks.{name}"), name));
    let volumes = service
        .volumes
        .iter()
        .enumerate()
        .filter_map(|(number, volume)| match &volume.mount.kind {
            MountKind::Volume {
                name: Some(name), ..
            } => Some(numbered("volumes", number, name)),
            _ => None,
        });
    let configs = service.configs.iter().enumerate();
    let configs = configs.map(|(number, file)| numbered("configs", number, &file.source));
    let secrets = service.secrets.iter().enumerate();
    let secrets = secrets.map(|(number, file)| numbered("secrets", number, &file.source));
    let built = service
        .build
        .iter()
        .flat_map(|build| &build.secrets)
        .enumerate();
    let built = built.map(|(number, file)| numbered("build.secrets", number, &file.source));
    let models = service
        .models
        .keys()
        .map(|name| reference(format!("models.{name}"), name));

    let checked = [
        (
            "network",
            "networks",
            keys(&project.networks),
            networks.collect::<Vec<_>>(),
        ),
        (
            "volume",
            "volumes",
            keys(&project.volumes),
            volumes.collect(),
        ),
        (
            "config",
            "configs",
            keys(&project.configs),
            configs.collect(),
        ),
        (
            "secret",
            "secrets",
            keys(&project.secrets),
            secrets.chain(built).collect(),
        ),
        ("model", "models", keys(&project.models), models.collect()),
    ];
    let mut found = Vec::new();
    for (what, section, known, references) in checked {
        for wrong in references
            .iter()
            .filter(|reference| !known.contains(&reference.name))
        {
            let message = format!(
                "service \"{}\" refers to undefined {what} {}",
                service.name, wrong.name
            );
            found.push(undefined(project, service, wrong, message, section, &known));
        }
    }
    found.extend(services(project, service, names));
    found
}

/// Other services this one names, by keys other than `depends_on`.
fn named_services(service: &Service) -> Vec<Reference<'_>> {
    let mut named = Vec::new();
    for (number, link) in service.links.iter().enumerate() {
        named.push(reference(
            format!("links[{number}]"),
            link.split(':').next().unwrap_or(link),
        ));
    }
    if let Some(NetworkModeRef::Service(name)) = &service.network_mode {
        named.push(reference("network_mode", name));
    }
    for (key, namespace) in [("ipc", &service.ipc), ("pid", &service.pid)] {
        if let NamespaceRef::Service(name) = namespace {
            named.push(reference(key, name));
        }
    }
    for (number, from) in service.volumes_from.iter().enumerate() {
        if let VolumesFromSource::Service(name) = &from.source {
            named.push(reference(format!("volumes_from[{number}]"), name));
        }
    }
    for (context, place) in service
        .build
        .iter()
        .flat_map(|build| &build.additional_contexts)
    {
        if let Some(name) = place.strip_prefix("service:") {
            named.push(reference(
                format!("build.additional_contexts.{context}"),
                name,
            ));
        }
    }
    named
}

fn services(project: &Project, service: &Service, known: &HashSet<&str>) -> Vec<Diagnostic> {
    let disabled = |name: &str| {
        project
            .disabled_services
            .iter()
            .any(|other| other.name == name)
    };
    let named = named_services(service);
    let mut found = Vec::new();
    let mut tell = |wrong: &Reference<'_>, verb: &str| {
        let message = format!(
            "service \"{}\" {verb} undefined service \"{}\"",
            service.name, wrong.name
        );
        let known: Vec<&str> = project.service_names().collect();
        found.push(undefined(
            project, service, wrong, message, "services", &known,
        ));
    };
    for wrong in named
        .iter()
        .filter(|reference| !known.contains(reference.name))
    {
        tell(wrong, "refers to");
    }
    for (name, dependency) in &service.depends_on {
        let told = || named.iter().any(|reference| reference.name == name);
        if dependency.required && !known.contains(name.as_str()) && !disabled(name) && !told() {
            tell(&reference(format!("depends_on.{name}"), name), "depends on");
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
    wrong: &Reference<'_>,
    message: String,
    section: &str,
    known: &[&str],
) -> Diagnostic {
    let name = wrong.name;
    let hint = match nearest(name, known.iter().copied()) {
        _ if section == "services" && project.has_job(name) => format!(
            "{name} is a job, which no service can need; what must end before a service starts is a service with `condition: service_completed_successfully`, or pre_start"
        ),
        Some(nearest) => format!("did you mean \"{nearest}\"?"),
        None => match section {
            "services" => format!("services here: {}", known.join(", ")),
            _ => format!("define it at the top level: \"{section}:\", and below it \"{name}:\""),
        },
    };
    project
        .error_at(&format!("services.{}.{}", service.name, wrong.key), message)
        .with_hint(hint)
}
