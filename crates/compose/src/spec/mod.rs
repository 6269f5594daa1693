//! From a service of the project to the container the engine is asked for. Pure.
//!
//! Errors and warnings carry the place of the key they are about. What differs between replicas (name, number) is
//! added by the planner. Source: docker/compose `pkg/compose/create.go`.

mod ignored;
mod mounts;
mod network;
mod refused;

pub use ignored::warnings;
pub use mounts::{Content, Material};

use crate::labels;
use crate::names::Separator;
use compose_file::project::{Condition, Device, NamespaceRef};
use compose_file::{Diagnostic, Project, Service};
use model::container::{ContainerSpec, NamespaceMode};
use model::device::DeviceRequest;
use model::log::{LogConfig, LogDriver};
use std::collections::BTreeMap;
use std::path::Path;

/// What a service's containers have in common.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceSpec {
    pub spec: ContainerSpec,
    /// Files that must be written before a container is made.
    pub files: Vec<Material>,
    /// Of everything in the file that makes a container of this service what it is.
    pub hash: String,
}

/// What the conversion needs to know beyond the project.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where the contents of configs and secrets are kept.
    pub files_root: &'a Path,
    pub separator: Separator,
    /// The caller's accounts at registries, as a `config.json`, for services that use the API's socket.
    pub accounts: &'a str,
}

/// Converts one service, whose hash ([`compose_file::hash`]) is given.
pub fn convert(
    project: &Project,
    service: &Service,
    hash: String,
    around: Surroundings<'_>,
) -> Result<ServiceSpec, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let mut spec = base(service, project);
    namespaces(project, service, around.separator, &mut spec);
    network::fill(project, service, around.separator, &mut spec);
    let files = mounts::fill(project, (service, &hash), around, &mut spec, &mut errors);
    match logging(service) {
        Ok(log) => spec.log = log,
        Err(error) => errors.push(
            project
                .error_at(
                    &format!("services.{}.logging.driver", service.name),
                    error.to_string(),
                )
                .with_hint("leave `logging` out: logs are kept and rotated anyway"),
        ),
    }
    errors.extend(refused::keys(project, service));
    if !errors.is_empty() {
        return Err(errors);
    }
    add_labels(project, service, &hash, &mut spec);
    Ok(ServiceSpec { spec, files, hash })
}

fn base(service: &Service, project: &Project) -> ContainerSpec {
    ContainerSpec {
        image: service.image_name(&project.name),
        entrypoint: service.entrypoint.clone(),
        command: service.command.clone(),
        env: environment(&service.environment),
        user: service.user.clone(),
        group_add: service.group_add.clone(),
        working_dir: service.working_dir.clone(),
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        labels: service.labels.clone(),
        annotations: service.annotations.clone(),
        tty: service.tty,
        open_stdin: service.stdin_open,
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service
            .stop_grace_period
            .map(|t| t.as_secs() + u64::from(t.subsec_nanos() > 0)),
        read_only: service.read_only,
        shm_size: service.shm_size,
        storage_opt: service.storage_opt.clone(),
        init: service.init.unwrap_or(false),
        privileged: service.privileged,
        cap_add: service.cap_add.clone(),
        cap_drop: service.cap_drop.clone(),
        security_opt: service.security_opt.clone(),
        devices: service.devices.iter().filter_map(device).collect(),
        device_cgroup_rules: service.device_cgroup_rules.clone(),
        device_requests: device_requests(service),
        cgroup_parent: service.cgroup_parent.clone(),
        resources: service.resources(),
        ulimits: service.ulimits.clone(),
        sysctls: service.sysctls.clone(),
        oom_score_adj: service.oom_score_adj,
        runtime: service.runtime.clone(),
        restart: crate::job::restart_policy(service),
        healthcheck: service.healthcheck.clone(),
        platform: service.platform.clone(),
        ..ContainerSpec::default()
    }
}

/// `KEY=value`, and a bare `KEY` for what takes the image's value away.
pub(crate) fn environment(variables: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let entry = |(key, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    };
    variables.iter().map(entry).collect()
}

fn device(device: &Device) -> Option<model::device::DeviceMapping> {
    match device {
        Device::Path(mapping) => Some(mapping.clone()),
        Device::Cdi(_) => None,
    }
}

/// GPUs, and the devices that are CDI names.
fn device_requests(service: &Service) -> Vec<DeviceRequest> {
    let names = service.devices.iter().filter_map(|device| match device {
        Device::Cdi(name) => Some(name.clone()),
        Device::Path(_) => None,
    });
    let names: Vec<String> = names.collect();
    let mut requests = service.device_requests();
    if !names.is_empty() {
        requests.push(DeviceRequest::cdi(names));
    }
    requests
}

fn namespaces(
    project: &Project,
    service: &Service,
    separator: Separator,
    spec: &mut ContainerSpec,
) {
    let mode = |reference: &NamespaceRef| match reference {
        NamespaceRef::Mode(mode) => mode.clone(),
        NamespaceRef::Service(name) => NamespaceMode::Container(donor(project, name, separator)),
    };
    spec.pid_mode = mode(&service.pid);
    spec.ipc_mode = mode(&service.ipc);
    spec.uts_mode = mode(&service.uts);
    spec.cgroupns_mode = mode(&service.cgroup);
    spec.userns_mode = service.userns_mode;
    // A service whose IPC namespace another one joins must offer it.
    let shared = project
        .services
        .iter()
        .any(|other| matches!(&other.ipc, NamespaceRef::Service(name) if *name == service.name));
    if shared && spec.ipc_mode == NamespaceMode::Default {
        spec.ipc_mode = NamespaceMode::Shareable;
    }
}

/// The container that stands for a service whose namespaces or volumes are joined: its first.
pub(crate) fn donor(project: &Project, service: &str, separator: Separator) -> String {
    match project.service(service) {
        Some(service) => crate::names::container(&project.name, service, 1, separator),
        None => crate::names::numbered(&project.name, service, 1, separator),
    }
}

fn logging(service: &Service) -> Result<LogConfig, model::log::UnknownLogDriver> {
    let Some(logging) = &service.logging else {
        return Ok(LogConfig::default());
    };
    let driver: LogDriver = logging.driver.as_deref().unwrap_or("").parse()?;
    Ok(LogConfig {
        driver,
        options: logging.options.clone(),
    })
}

fn add_labels(project: &Project, service: &Service, hash: &str, spec: &mut ContainerSpec) {
    let join = |paths: &[std::path::PathBuf]| {
        paths
            .iter()
            .map(|p| p.display().to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    let mut add = |key: &str, value: String| drop(spec.labels.insert(key.to_owned(), value));
    add(labels::PROJECT, project.name.clone());
    add(labels::SERVICE, service.name.clone());
    add(labels::ONEOFF, "False".to_owned());
    add(labels::CONFIG_HASH, hash.to_owned());
    add(labels::DEPENDS_ON, depends_on(service));
    add(
        labels::WORKING_DIR,
        project.working_dir.display().to_string(),
    );
    add(labels::CONFIG_FILES, join(&project.files));
    add(labels::VERSION, labels::OUR_VERSION.to_owned());
    if !project.env_files.is_empty() {
        add(labels::ENVIRONMENT_FILE, join(&project.env_files));
    }
}

fn depends_on(service: &Service) -> String {
    let entry = |(name, dependency): (&String, &compose_file::project::Dependency)| {
        format!(
            "{name}:{}:{}",
            condition_word(dependency.condition),
            dependency.restart
        )
    };
    service
        .depends_on
        .iter()
        .map(entry)
        .collect::<Vec<_>>()
        .join(",")
}

/// The word of the file.
pub(crate) fn condition_word(condition: Condition) -> &'static str {
    match condition {
        Condition::Started => "service_started",
        Condition::Healthy => "service_healthy",
        Condition::CompletedSuccessfully => "service_completed_successfully",
    }
}

#[cfg(test)]
mod tests;
