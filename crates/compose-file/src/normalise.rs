//! Defaults, names, and what one key implies for another.
//!
//! Source: compose-go `normalize.go`; Compose Specification, the default network and naming of resources.

pub(crate) mod tree;

use crate::project::{
    Condition, Dependency, FileObject, FileSource, NamespaceRef, Network, NetworkModeRef, Project,
    Service, VolumesFromSource,
};
use model::network::EndpointSettings;
use std::collections::BTreeMap;

/// The network of services that name none.
pub(crate) const DEFAULT_NETWORK: &str = "default";

/// Fills in what the file left out.
pub(crate) fn normalise(project: &mut Project) {
    let working_dir = project.working_dir.to_string_lossy().into_owned();
    for service in project.services.iter_mut().chain(&mut project.jobs) {
        default_build(service, &working_dir);
        bare_arguments(service, &project.environment);
        default_network(service);
        implied_dependencies(service);
        for hook in &mut service.pre_start {
            hook.image = hook.image.take().or_else(|| service.image.clone());
        }
    }
    let uses_default = |service: &Service| {
        service
            .networks
            .iter()
            .any(|endpoint| endpoint.network == DEFAULT_NETWORK)
    };
    if project
        .services
        .iter()
        .chain(&project.jobs)
        .any(uses_default)
    {
        project
            .networks
            .entry(DEFAULT_NETWORK.to_owned())
            .or_default();
    }
    names(project);
}

fn default_build(service: &mut Service, working_dir: &str) {
    let Some(build) = &mut service.build else {
        return;
    };
    if build.context.is_empty() {
        build.context = working_dir.to_owned();
    }
    if build.dockerfile.is_none() && build.dockerfile_inline.is_none() {
        build.dockerfile = Some("Dockerfile".to_owned());
    }
}

/// A build argument without a value takes the environment's; without one there the Dockerfile's default stays.
fn bare_arguments(service: &mut Service, environment: &BTreeMap<String, String>) {
    let Some(build) = &mut service.build else {
        return;
    };
    for (name, value) in &mut build.args {
        *value = value.take().or_else(|| environment.get(name).cloned());
    }
    build.args.retain(|_, value| value.is_some());
}

fn default_network(service: &mut Service) {
    if service.networks.is_empty() && service.network_mode.is_none() && service.provider.is_none() {
        service.networks.push(EndpointSettings {
            network: DEFAULT_NETWORK.to_owned(),
            ..Default::default()
        });
    }
}

/// Links and shared namespaces make a service depend on another, and restart with it; so do shared volumes,
/// without the restart.
fn implied_dependencies(service: &mut Service) {
    let mut implied: Vec<(String, bool)> = Vec::new();
    for link in &service.links {
        let name = link.split(':').next().unwrap_or(link);
        implied.push((name.to_owned(), true));
    }
    if let Some(NetworkModeRef::Service(name)) = &service.network_mode {
        implied.push((name.clone(), true));
    }
    for namespace in [&service.ipc, &service.pid, &service.uts, &service.cgroup] {
        if let NamespaceRef::Service(name) = namespace {
            implied.push((name.clone(), true));
        }
    }
    for from in &service.volumes_from {
        if let VolumesFromSource::Service(name) = &from.source {
            implied.push((name.clone(), false));
        }
    }
    for (name, restart) in implied {
        let dependency = Dependency {
            condition: Condition::Started,
            restart,
            required: true,
        };
        service.depends_on.entry(name).or_insert(dependency);
    }
}

/// `<project>_<key>`, unless the resource has a name or is somebody else's.
fn names(project: &mut Project) {
    let prefix = project.name.clone();
    let real = |key: &str, given: &mut String, external: bool| {
        if given.is_empty() {
            *given = if external {
                key.to_owned()
            } else {
                format!("{prefix}_{key}")
            };
        }
    };
    for (key, Network { external, spec, .. }) in &mut project.networks {
        real(key, &mut spec.name, *external);
    }
    for (key, volume) in &mut project.volumes {
        real(key, &mut volume.name, volume.external);
    }
    let objects = |objects: &mut BTreeMap<String, FileObject>| {
        for (key, object) in objects {
            real(key, &mut object.name, object.source == FileSource::External);
        }
    };
    objects(&mut project.configs);
    objects(&mut project.secrets);
}
