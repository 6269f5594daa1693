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
        all.extend(unpublished(project, service));
    }
    all.extend(model_keys(project));
    all.extend(file_keys(project, "configs", &project.configs));
    all.extend(file_keys(project, "secrets", &project.secrets));
    all
}

/// Ports of a service that is on nothing but networks of an interface of the host: there is no bridge to publish them from.
fn unpublished(project: &Project, service: &Service) -> Option<Diagnostic> {
    let driver = |network: &str| {
        project
            .networks
            .get(network)
            .map(|n| n.spec.driver.as_str())
    };
    let mut drivers = service.networks.iter().map(|e| driver(&e.network));
    let direct = |driver: Option<&str>| matches!(driver, Some("macvlan" | "ipvlan"));
    if service.ports.is_empty() || service.networks.is_empty() || !drivers.all(direct) {
        return None;
    }
    let path = format!("services.{}.ports", service.name);
    let warning = project.warning_at(
        &path,
        "no effect: nothing is published on a network of driver macvlan or ipvlan",
    );
    Some(warning.with_hint(
        "the service is reached at its own address there; for ports of this host put it on a bridge too",
    ))
}

/// How a server runs its models is its own affair.
fn model_keys(project: &Project) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    for (name, model) in &project.models {
        let said = [
            (model.context_size.is_some(), "context_size"),
            (!model.runtime_flags.is_empty(), "runtime_flags"),
        ];
        for (_, key) in said.iter().filter(|(is, _)| *is) {
            all.push(project.warning_at(
                &format!("models.{name}.{key}"),
                "no effect: the server that has the model is set up elsewhere",
            ));
        }
    }
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
