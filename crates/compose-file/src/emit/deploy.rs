//! `deploy` and `develop`.

use super::{Object, cpus};
use crate::project::{
    Deploy, DeployMode, DeployResources, Develop, EndpointMode, FailureAction, Placement,
    UpdateConfig, UpdateOrder, Watch, WatchAction,
};
use model::device::DeviceRequest;
use model::restart::{RestartCondition, RestartPolicy};
use serde_json::Value;

/// `scale` is told here too, as docker compose does.
pub(super) fn value(deploy: &Deploy, scale: Option<u32>) -> Object {
    let mut object = Object::new();
    let mode = match deploy.mode {
        DeployMode::Replicated => deploy.mode_written.then_some("replicated"),
        DeployMode::Global => Some("global"),
        DeployMode::ReplicatedJob => Some("replicated-job"),
        DeployMode::GlobalJob => Some("global-job"),
    };
    object.option("mode", mode);
    object.option("replicas", deploy.replicas.or(scale));
    object.table("labels", &deploy.labels);
    object.option(
        "update_config",
        deploy
            .update_config
            .as_ref()
            .map(|config| update_config(config).0),
    );
    object.option(
        "rollback_config",
        deploy
            .rollback_config
            .as_ref()
            .map(|config| update_config(config).0),
    );
    object.object("resources", resources(&deploy.resources));
    object.option(
        "restart_policy",
        deploy
            .restart_policy
            .as_ref()
            .map(|policy| restart_policy(policy).0),
    );
    object.object("placement", placement(&deploy.placement));
    let endpoint_mode = deploy.endpoint_mode.map(|mode| match mode {
        EndpointMode::Vip => "vip",
        EndpointMode::Dnsrr => "dnsrr",
    });
    object.option("endpoint_mode", endpoint_mode);
    object.extensions(&deploy.extensions);
    object
}

fn update_config(config: &UpdateConfig) -> Object {
    let mut object = Object::new();
    object.option("parallelism", config.parallelism);
    object.duration("delay", config.delay);
    let action = config.failure_action.map(|action| match action {
        FailureAction::Continue => "continue",
        FailureAction::Pause => "pause",
        FailureAction::Rollback => "rollback",
    });
    object.option("failure_action", action);
    object.duration("monitor", config.monitor);
    object.option("max_failure_ratio", config.max_failure_ratio);
    let order = config.order.map(|order| match order {
        UpdateOrder::StopFirst => "stop-first",
        UpdateOrder::StartFirst => "start-first",
    });
    object.option("order", order);
    object
}

fn resources(resources: &DeployResources) -> Object {
    let mut limits = Object::new();
    limits.option("cpus", cpus(resources.limits.nano_cpus));
    limits.size("memory", resources.limits.memory);
    limits.option("pids", resources.limits.pids);
    let reserved = &resources.reservations;
    let mut reservations = Object::new();
    reservations.option("cpus", cpus(reserved.nano_cpus));
    reservations.size("memory", reserved.memory);
    reservations.list("devices", &reserved.devices, device_request);
    reservations.list(
        "generic_resources",
        &reserved.generic_resources,
        |resource| {
            let mut spec = Object::new();
            spec.set("kind", resource.kind.as_str());
            spec.set("value", resource.value);
            let mut object = Object::new();
            object.object("discrete_resource_spec", spec);
            object.into_value()
        },
    );
    let mut object = Object::new();
    object.object("limits", limits);
    object.object("reservations", reservations);
    object
}

pub(super) fn device_request(request: &DeviceRequest) -> Value {
    let mut object = Object::new();
    let capabilities: Vec<String> = request.capabilities.iter().flatten().cloned().collect();
    object.texts("capabilities", &capabilities);
    if !request.driver.is_empty() {
        object.set("driver", request.driver.as_str());
    }
    if request.device_ids.is_empty() {
        object.set("count", request.count);
    }
    object.texts("device_ids", &request.device_ids);
    object.table("options", &request.options);
    object.into_value()
}

fn restart_policy(policy: &RestartPolicy) -> Object {
    let mut object = Object::new();
    let condition = match policy.condition {
        RestartCondition::No => "none",
        RestartCondition::OnFailure => "on-failure",
        RestartCondition::Always => "any",
        RestartCondition::UnlessStopped => "unless-stopped",
    };
    object.set("condition", condition);
    object.duration("delay", policy.delay);
    object.option("max_attempts", policy.max_attempts);
    object.duration("window", policy.window);
    object
}

fn placement(placement: &Placement) -> Object {
    let mut object = Object::new();
    object.texts("constraints", &placement.constraints);
    object.list("preferences", &placement.preferences, |spread| {
        let mut object = Object::new();
        object.set("spread", spread.as_str());
        object.into_value()
    });
    object.option("max_replicas_per_node", placement.max_replicas_per_node);
    object
}

pub(super) fn develop(develop: &Develop) -> Object {
    let mut object = Object::new();
    object.list("watch", &develop.watch, watch);
    object
}

fn watch(watch: &Watch) -> Value {
    let mut object = Object::new();
    object.set("path", watch.path.as_str());
    let action = match watch.action {
        WatchAction::Rebuild => "rebuild",
        WatchAction::Restart => "restart",
        WatchAction::Sync => "sync",
        WatchAction::SyncRestart => "sync+restart",
        WatchAction::SyncExec => "sync+exec",
    };
    object.set("action", action);
    object.text("target", &watch.target);
    object.option("exec", watch.exec.as_ref().map(super::service::hook));
    object.texts("include", &watch.include);
    object.texts("ignore", &watch.ignore);
    object.flag("initial_sync", watch.initial_sync);
    object.into_value()
}
