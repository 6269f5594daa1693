//! Keys that a service would not work without and that cannot be honoured here: refused before anything is made, where a warning
//! would let a container start that misses what it was promised.

use compose_file::{Diagnostic, Project, Service};

pub(super) fn keys(project: &Project, service: &Service) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let mut refuse = |key: &str, text: &str, hint: &str| {
        let path = format!("services.{}.{key}", service.name);
        errors.push(project.error_at(&path, text).with_hint(hint));
    };
    if service.credential_spec.is_some() {
        refuse(
            "credential_spec",
            "credential specifications are for Windows containers only",
            "take the key out; hand credentials over as secrets",
        );
    }
    let health = service.healthcheck.as_ref();
    if health.is_some_and(|h| h.start_interval.is_some() && h.start_period.is_none()) {
        refuse(
            "healthcheck",
            "healthcheck.start_interval requires healthcheck.start_period to be set",
            "add start_period: as long as the service may take to start",
        );
    }
    if !service.models.is_empty() {
        refuse(
            "models",
            "there is no model runner here, and no server is named that has them",
            "name one that speaks OpenAI's language: `x-dockless: {endpoint: http://HOST:PORT/v1}` below the model, or \"model-endpoint\" in /etc/dockless/config.json",
        );
    }
    let zone = service.schedule().and_then(|s| s.timezone.as_deref());
    if let Some(Err(error)) = zone.map(engine::jobs::check_timezone) {
        refuse(
            "triggers.schedule",
            &error.to_string(),
            "without timezone it is UTC",
        );
    }
    errors
}
