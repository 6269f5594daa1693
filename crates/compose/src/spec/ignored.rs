//! Keys that are read and shown but have no effect: said once each, never passed over.

use compose_file::project::{Deploy, FileObject};
use compose_file::{Diagnostic, Project, Service};
use std::collections::BTreeMap;

/// One warning for every key of the given services that nothing acts upon.
pub fn warnings<'a>(
    project: &Project,
    services: impl IntoIterator<Item = &'a Service>,
) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    for service in services {
        let mut keys = service_keys(service);
        if let Some(deploy) = &service.deploy {
            keys.extend(deploy_keys(deploy));
        }
        for (key, why) in keys {
            all.push(project.warning_at(
                &format!("services.{}.{key}", service.name),
                format!("no effect: {why}"),
            ));
        }
    }
    all.extend(volume_keys(project));
    all.extend(file_keys(project, "configs", &project.configs));
    all.extend(file_keys(project, "secrets", &project.secrets));
    all
}

type Keys = Vec<(String, &'static str)>;

fn service_keys(service: &Service) -> Keys {
    const WINDOWS: &str = "only Windows containers know it";
    let said: [(bool, &str, &'static str); 4] = [
        (service.cpu_count.is_some(), "cpu_count", WINDOWS),
        (service.cpu_percent.is_some(), "cpu_percent", WINDOWS),
        (
            service.isolation.as_deref().is_some_and(|i| i != "default"),
            "isolation",
            WINDOWS,
        ),
        (
            service.pull_refresh_after.is_some(),
            "pull_refresh_after",
            "use pull_policy: every_<duration>",
        ),
    ];
    said.iter()
        .filter(|(is, ..)| *is)
        .map(|(_, key, why)| ((*key).to_owned(), *why))
        .collect()
}

fn deploy_keys(deploy: &Deploy) -> Keys {
    let reservations = &deploy.resources.reservations;
    let said: [(bool, &str, &'static str); 2] = [
        (
            !reservations.generic_resources.is_empty(),
            "resources.reservations.generic_resources",
            "on one host nothing is reserved",
        ),
        (
            !deploy.placement.preferences.is_empty(),
            "placement.preferences",
            "there is one node to spread over",
        ),
    ];
    said.iter()
        .filter(|(is, ..)| *is)
        .map(|(_, key, why)| (format!("deploy.{key}"), *why))
        .collect()
}

fn volume_keys(project: &Project) -> Vec<Diagnostic> {
    let of = |(key, volume): (&String, &compose_file::project::Volume)| {
        let in_memory = volume.driver_opts.get("type").is_some_and(|t| t == "tmpfs");
        in_memory.then(|| {
            let path = format!("volumes.{key}.driver_opts.type");
            let text =
                "a volume of type tmpfs is a directory on disk here, without a size of its own";
            let warning = project.warning_at(&path, text);
            warning.with_hint(
                "for memory of a container's own use a mount of type tmpfs in the service",
            )
        })
    };
    project.volumes.iter().filter_map(of).collect()
}

fn file_keys(
    project: &Project,
    kind: &str,
    objects: &BTreeMap<String, FileObject>,
) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    for (key, object) in objects {
        if object.driver.is_some() {
            all.push(project.warning_at(
                &format!("{kind}.{key}.driver"),
                "no effect: contents are taken as they are",
            ));
        }
    }
    all
}
