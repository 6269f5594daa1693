//! Whether the parts of a project fit together: what no single value can tell.
//!
//! Source: compose-go `validate.go` and `project.go`; docker compose for `container_name` with replicas.

mod dependencies;
mod references;

use crate::diagnostic::Diagnostic;
use crate::project::{Deploy, NetworkModeRef, Project, Service};
use model::port::HostPort;
use std::collections::{BTreeMap, HashSet};

/// Every contradiction of the active services.
pub(crate) fn validate(project: &Project) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let names: HashSet<&str> = project.service_names().collect();
    let jobs = project.jobs.iter().map(|job| job.name.as_str());
    let with_jobs = names.iter().copied().chain(jobs).collect();
    for service in project.services.iter().chain(&project.jobs) {
        let check = Check { project, service };
        found.extend(check.source());
        found.extend(check.network_mode());
        found.extend(check.name_and_replicas());
        found.extend(check.limits());
        found.extend(check.targets());
        found.extend(check.platform());
        let names = match service.triggers {
            Some(_) => &with_jobs,
            None => &names,
        };
        found.extend(check.job());
        found.extend(references::check(project, service, names));
    }
    found.extend(container_names(project));
    found.extend(published_ports(project));
    found.extend(dependencies::cycle(project));
    found
}

/// One service in its project.
#[derive(Debug, Clone, Copy)]
struct Check<'p> {
    project: &'p Project,
    service: &'p Service,
}

impl Check<'_> {
    fn error(&self, key: &str, message: String, hint: &str) -> Diagnostic {
        let path = match key {
            "" => format!("services.{}", self.service.name),
            _ => format!("services.{}.{key}", self.service.name),
        };
        self.project.error_at(&path, message).with_hint(hint)
    }

    fn source(&self) -> Option<Diagnostic> {
        let service = self.service;
        let Some(build) = &service.build else {
            if service.image.is_some() || service.provider.is_some() {
                return None;
            }
            let message = format!(
                "service \"{}\" has neither an image nor a build context specified",
                service.name
            );
            return Some(self.error("", message, "add \"image: NAME\" or \"build: DIRECTORY\""));
        };
        if build.dockerfile_inline.is_some() && build.dockerfile.is_some() {
            let message = "declares mutually exclusive dockerfile and dockerfile_inline".to_owned();
            return Some(self.error("build.dockerfile_inline", message, "keep one of the two"));
        }
        None
    }

    /// `run` takes names of both kinds.
    fn job(&self) -> Option<Diagnostic> {
        let name = &self.service.name;
        self.service.triggers.as_ref()?;
        let project = self.project;
        let mut services = project.services.iter().chain(&project.disabled_services);
        services.find(|service| service.name == *name)?;
        let message = format!("\"{name}\" is a job and a service");
        let error = project.error_at(&format!("jobs.{name}"), message);
        Some(error.with_hint("give one of the two another name"))
    }

    fn network_mode(&self) -> Vec<Diagnostic> {
        let service = self.service;
        let Some(mode) = &service.network_mode else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if !service.networks.is_empty() {
            let message = format!(
                "service {} declares mutually exclusive `network_mode` and `networks`",
                service.name
            );
            found.push(self.error(
                "network_mode",
                message,
                "remove one of the two: a service with a network_mode joins no networks",
            ));
        }
        if !service.ports.is_empty() {
            let path = format!("services.{}.ports", service.name);
            let message = match mode {
                NetworkModeRef::Host => {
                    "Published ports are discarded when using host network mode"
                }
                NetworkModeRef::None => {
                    "Published ports are discarded when using network mode none"
                }
                _ => return found,
            };
            found.push(self.project.warning_at(&path, message));
        }
        found
    }

    fn name_and_replicas(&self) -> Vec<Diagnostic> {
        let service = self.service;
        let mut found = Vec::new();
        let deployed = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
        if let (Some(scale), Some(replicas)) = (service.scale, deployed)
            && scale != replicas
        {
            let message = format!(
                "can't set distinct values on 'scale' ({scale}) and 'deploy.replicas' ({replicas})"
            );
            found.push(self.error("scale", message, "keep one of the two"));
        }
        if let Some(name) = service
            .container_name
            .as_ref()
            .filter(|_| service.replicas() > 1)
        {
            let message = format!(
                "container_name \"{name}\" cannot be given to {} replicas, because each container needs a name of its own",
                service.replicas()
            );
            found.push(self.error(
                "container_name",
                message,
                "remove container_name, or run one replica",
            ));
        }
        found
    }

    /// Limits said twice must agree.
    fn limits(&self) -> Vec<Diagnostic> {
        let Some(Deploy { resources, .. }) = &self.service.deploy else {
            return Vec::new();
        };
        let (own, limits) = (&self.service.limits, &resources.limits);
        let differ = |own: Option<u64>, deployed: Option<u64>| matches!((own, deployed), (Some(a), Some(b)) if a != b);
        let pids = |pids: Option<i64>| pids.map(|n| n.unsigned_abs());
        let pairs = [
            (
                "cpus",
                "limits.cpus",
                differ(own.nano_cpus, limits.nano_cpus),
            ),
            (
                "mem_limit",
                "limits.memory",
                differ(own.memory, limits.memory),
            ),
            (
                "mem_reservation",
                "reservations.memory",
                differ(own.memory_reservation, resources.reservations.memory),
            ),
            (
                "pids_limit",
                "limits.pids",
                differ(pids(own.pids_limit), pids(limits.pids)),
            ),
        ];
        let wrong = pairs.into_iter().filter(|(_, _, differ)| *differ);
        wrong
            .map(|(own, deployed, _)| {
                let message = format!(
                    "can't set distinct values on '{own}' and 'deploy.resources.{deployed}'"
                );
                self.error(own, message, "keep one of the two")
            })
            .collect()
    }

    /// Nothing may be mounted over something else.
    fn targets(&self) -> Vec<Diagnostic> {
        let service = self.service;
        let volumes = service
            .volumes
            .iter()
            .map(|volume| volume.mount.target.as_str());
        let tmpfs = service.tmpfs.iter().map(|mount| mount.target.as_str());
        let configs = service.configs.iter().map(|file| file.target.as_str());
        let secrets = service.secrets.iter().map(|file| file.target.as_str());
        let numbered = |key: &'static str, targets: Vec<&'_ str>| {
            let paths: Vec<_> = targets
                .iter()
                .enumerate()
                .map(|(n, t)| (format!("{key}[{n}]"), (*t).to_owned()))
                .collect();
            paths
        };
        let all = [
            numbered("volumes", volumes.collect()),
            numbered("tmpfs", tmpfs.collect()),
            numbered("configs", configs.collect()),
            numbered("secrets", secrets.collect()),
        ];
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut found = Vec::new();
        for (path, target) in all.into_iter().flatten() {
            if let Some(first) = seen.get(&target) {
                let message = format!("target {target} is already mounted by {first}");
                found.push(self.error(
                    &path,
                    message,
                    "give one of the two another target, or remove it",
                ));
            } else {
                seen.insert(target, path);
            }
        }
        found
    }

    fn platform(&self) -> Option<Diagnostic> {
        let (platform, build) = (
            self.service.platform.as_ref()?,
            self.service.build.as_ref()?,
        );
        if build.platforms.is_empty() || build.platforms.contains(platform) {
            return None;
        }
        let message =
            format!("build.platforms must include the platform \"{platform}\" of the service");
        Some(self.error("platform", message, "add it to build.platforms"))
    }
}

/// Two containers cannot have one name.
fn container_names(project: &Project) -> Vec<Diagnostic> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for service in &project.services {
        let Some(name) = &service.container_name else {
            continue;
        };
        if let Some(other) = seen.insert(name, &service.name) {
            let path = format!("services.{}.container_name", service.name);
            let message =
                format!("container name \"{name}\" is already in use by service \"{other}\"");
            let error = project.error_at(&path, message);
            found.push(error.with_hint("give each container a name of its own"));
        }
    }
    found
}

/// Two services that publish the same port of the same address cannot run at once.
fn published_ports(project: &Project) -> Vec<Diagnostic> {
    let mut seen: BTreeMap<(Option<std::net::IpAddr>, u16, String), &str> = BTreeMap::new();
    let mut found = Vec::new();
    for service in &project.services {
        for (number, port) in service.ports.iter().enumerate() {
            let HostPort::Exact(host) = port.binding.host_port else {
                continue;
            };
            let key = (
                port.binding.host_ip,
                host,
                port.binding.protocol.to_string(),
            );
            match seen.get(&key) {
                Some(other) if *other != service.name => {
                    let path = format!("services.{}.ports[{number}]", service.name);
                    let message = format!(
                        "host port {host}/{} is also published by service \"{other}\"",
                        key.2
                    );
                    found.push(
                        project
                            .warning_at(&path, message)
                            .with_hint("only one of the two can run at a time"),
                    );
                }
                _ => drop(seen.insert(key, &service.name)),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
