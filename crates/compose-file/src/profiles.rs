//! Which services are active. Source: Compose Specification `15-profiles.md`.

use crate::diagnostic::Diagnostic;
use crate::project::{Project, Service};

/// Moves the services whose profiles are not active to `disabled_services`. Naming a service activates its profiles.
pub(crate) fn select(project: &mut Project, named: &[String]) -> Vec<Diagnostic> {
    let mut active = project.profiles.clone();
    for name in named {
        if let Some(service) = project.service(name).or_else(|| project.job(name)) {
            let further: Vec<_> = service
                .profiles
                .iter()
                .filter(|p| !active.contains(p))
                .cloned()
                .collect();
            active.extend(further);
        }
    }
    let all = active.iter().any(|profile| profile == "*");
    let is_active = |service: &Service| {
        all || service.profiles.is_empty()
            || service
                .profiles
                .iter()
                .any(|profile| active.contains(profile))
    };
    let services = std::mem::take(&mut project.services);
    let (enabled, disabled) = services.into_iter().partition(is_active);
    project.services = enabled;
    project.disabled_services = disabled;
    let jobs = std::mem::take(&mut project.jobs);
    (project.jobs, project.disabled_jobs) = jobs.into_iter().partition(is_active);
    project.profiles = active;
    let mut diagnostics = Vec::new();
    let problems: Vec<(String, String)> = inactive_dependencies(project);
    for (service, dependency) in problems {
        let profiles = project
            .disabled_services
            .iter()
            .find(|other| other.name == dependency);
        let profile = profiles
            .and_then(|other| other.profiles.first())
            .cloned()
            .unwrap_or_default();
        let path = format!("services.{service}.depends_on.{dependency}");
        let message = format!(
            "service \"{service}\" depends on \"{dependency}\", whose profile is not active"
        );
        let hint = format!("add --profile {profile}, or write \"required: false\"");
        diagnostics.push(project.error_at(&path, message).with_hint(hint));
    }
    let disabled: Vec<String> = project
        .disabled_services
        .iter()
        .map(|service| service.name.clone())
        .collect();
    for service in project.services.iter_mut().chain(&mut project.jobs) {
        service
            .depends_on
            .retain(|name, dependency| dependency.required || !disabled.contains(name));
    }
    diagnostics
}

fn inactive_dependencies(project: &Project) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for service in project.services.iter().chain(&project.jobs) {
        for (name, dependency) in &service.depends_on {
            if dependency.required
                && project
                    .disabled_services
                    .iter()
                    .any(|other| other.name == *name)
            {
                found.push((service.name.clone(), name.clone()));
            }
        }
    }
    found
}
