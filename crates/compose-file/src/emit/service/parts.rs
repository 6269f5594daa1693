//! What the keys of a service are made of: dependencies, ports, endpoints, devices, hooks.

use crate::emit::Object;
use crate::project::{
    Condition, Dependency, Device, EnvFile, EnvFormat, Hook, InitHook, PullPolicy, ServicePort,
};
use model::health::{HealthTest, Healthcheck};
use model::limits::Ulimit;
use model::network::{EndpointSettings, ExtraHost};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

pub(super) fn depends_on(dependency: &Dependency) -> Value {
    let mut object = Object::new();
    let condition = match dependency.condition {
        Condition::Started => "service_started",
        Condition::Healthy => "service_healthy",
        Condition::CompletedSuccessfully => "service_completed_successfully",
    };
    object.set("condition", condition);
    object.flag("restart", dependency.restart);
    object.set("required", dependency.required);
    object.into_value()
}

pub(super) fn env_file(file: &EnvFile) -> Value {
    let mut object = Object::new();
    object.set("path", file.path.to_string_lossy());
    if !file.required {
        object.set("required", false);
    }
    object.option("format", (file.format == EnvFormat::Raw).then_some("raw"));
    object.into_value()
}

pub(super) fn healthcheck(check: &Healthcheck) -> Map<String, Value> {
    let mut object = Object::new();
    match &check.test {
        HealthTest::Inherit => {}
        HealthTest::None => {}
        HealthTest::Cmd(words) => {
            let all: Vec<String> = std::iter::once("CMD".to_owned())
                .chain(words.iter().cloned())
                .collect();
            object.set("test", all);
        }
        HealthTest::Shell(text) => object.set("test", vec!["CMD-SHELL".to_owned(), text.clone()]),
    }
    object.duration("timeout", check.timeout);
    object.duration("interval", check.interval);
    object.option("retries", check.retries);
    object.duration("start_period", check.start_period);
    object.duration("start_interval", check.start_interval);
    object.flag("disable", check.test == HealthTest::None);
    object.0
}

pub(super) fn port(port: &ServicePort) -> Value {
    let mut object = Object::new();
    object.text("name", &port.name);
    object.set("mode", port.mode.as_deref().unwrap_or("ingress"));
    object.option("host_ip", port.binding.host_ip.map(|ip| ip.to_string()));
    object.set("target", port.binding.container_port);
    let published = port.binding.host_port.to_string();
    object.option("published", (!published.is_empty()).then_some(published));
    object.set("protocol", port.binding.protocol.to_string());
    object.text("app_protocol", &port.app_protocol);
    if let Some(allow) = &port.allow {
        let mut ours = Object::new();
        let networks: Vec<String> = allow.iter().map(ToString::to_string).collect();
        ours.set("allow", networks);
        object.set("x-dockless", ours.into_value());
    }
    object.into_value()
}

pub(super) fn network(endpoint: &EndpointSettings, empty: bool) -> Value {
    let mut object = Object::new();
    object.texts("aliases", &endpoint.aliases);
    object.table("driver_opts", &endpoint.driver_opts);
    object.option(
        "gw_priority",
        Some(endpoint.gw_priority).filter(|n| *n != 0),
    );
    object.text("interface_name", &endpoint.interface_name);
    object.option(
        "ipv4_address",
        endpoint.ipv4_address.map(|ip| ip.to_string()),
    );
    object.option(
        "ipv6_address",
        endpoint.ipv6_address.map(|ip| ip.to_string()),
    );
    object.shown("link_local_ips", &endpoint.link_local_ips);
    object.text("mac_address", &endpoint.mac_address);
    object.option("priority", Some(endpoint.priority).filter(|n| *n != 0));
    match empty {
        true => Value::Object(object.0),
        false => object.into_value(),
    }
}

/// Sorted, as docker compose prints them.
pub(in crate::emit) fn extra_hosts(hosts: &[ExtraHost]) -> Vec<String> {
    let mut lines: Vec<String> = hosts
        .iter()
        .map(|host| format!("{}={}", host.name, host.address))
        .collect();
    lines.sort();
    lines
}

pub(in crate::emit) fn ulimits(ulimits: &[Ulimit], pairs: &BTreeSet<String>) -> Object {
    let entries = ulimits.iter().map(|ulimit| {
        let one = ulimit.soft == ulimit.hard && !pairs.contains(&ulimit.name);
        let value = match one {
            true => ulimit.soft.into(),
            false => {
                let mut inner = Object::new();
                inner.set("soft", ulimit.soft);
                inner.set("hard", ulimit.hard);
                inner.into_value()
            }
        };
        (ulimit.name.clone(), value)
    });
    let sorted = Object(entries.collect()).in_order(&[]);
    match sorted {
        Value::Object(map) => Object(map),
        _ => Object::new(),
    }
}

pub(super) fn device(device: &Device) -> Value {
    let mut object = Object::new();
    match device {
        Device::Cdi(name) => {
            object.set("source", name.as_str());
            object.set("target", name.as_str());
            object.set("permissions", "rwm");
        }
        Device::Path(mapping) => {
            object.set("source", mapping.host.as_str());
            object.set("target", mapping.container.as_str());
            object.set("permissions", mapping.permissions.as_str());
        }
    }
    object.into_value()
}

pub(super) fn pull_policy(policy: PullPolicy) -> String {
    match policy {
        PullPolicy::Always => "always".into(),
        PullPolicy::Never => "never".into(),
        PullPolicy::Missing => "missing".into(),
        PullPolicy::Build => "build".into(),
        PullPolicy::Every(period) => every(period),
    }
}

/// The shortest way to say a period.
fn every(period: std::time::Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match (period.as_secs() / DAY, period.as_secs() % DAY) {
        (1, 0) => "daily".into(),
        (7, 0) => "weekly".into(),
        (days @ 1.., 0) => format!("every_{days}d"),
        _ => format!("every_{}", model::duration::format(period)),
    }
}

pub(in crate::emit) fn hook(hook: &Hook) -> Value {
    hook_object(hook).into_value()
}

fn hook_object(hook: &Hook) -> Object {
    let mut object = Object::new();
    object.texts("command", &hook.command);
    object.text("user", &hook.user);
    object.flag("privileged", hook.privileged);
    object.text("working_dir", &hook.working_dir);
    object.pairs("environment", &hook.environment);
    object
}

pub(super) fn init_hook(init: &InitHook) -> Value {
    let mut object = hook_object(&init.hook);
    object.text("image", &init.image);
    object.flag("per_replica", init.per_replica);
    object.into_value()
}
