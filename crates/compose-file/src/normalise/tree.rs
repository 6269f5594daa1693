//! Defaults, names, and what one key implies for another, in a tree that is not typed: its values may be variables.
//!
//! Source: compose-go `transform/defaults.go`, `loader/normalize.go`.

use super::DEFAULT_NETWORK;
use serde_json::{Map, Value, json};
use std::path::Path;

type Tree = Map<String, Value>;

/// What is known of the project beside its files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'k> {
    pub(crate) name: &'k str,
    /// The directory a build without a context takes.
    pub(crate) context: &'k Path,
}

impl Known<'_> {
    /// What a key means that is not there. Nothing is taken from the environment.
    pub(crate) fn defaults(&self, root: &mut Tree) {
        let context = self.context.to_string_lossy();
        for service in services(root) {
            if let Some(build) = object(service, "build") {
                default(build, "context", context.as_ref());
            }
            for secret in objects(service, "secrets") {
                if let Some(source) = secret.get("source").and_then(Value::as_str) {
                    let target = format!("/run/secrets/{source}");
                    default(secret, "target", target);
                }
            }
            for port in objects(service, "ports") {
                default(port, "protocol", "tcp");
                default(port, "mode", "ingress");
            }
            objects(service, "gpus").for_each(all_devices);
            let reserved = object(service, "deploy")
                .and_then(|deploy| object(deploy, "resources"))
                .and_then(|resources| object(resources, "reservations"));
            if let Some(reserved) = reserved {
                objects(reserved, "devices").for_each(all_devices);
            }
        }
    }

    /// Names of what the project makes, the default network, what keys of a service imply.
    pub(crate) fn normalise(&self, root: &mut Tree) {
        root.insert("name".into(), self.name.into());
        default_networks(root);
        for service in services(root) {
            if service.get("pull_policy") == Some(&json!("if_not_present")) {
                service.insert("pull_policy".into(), "missing".into());
            }
            if let Some(build) = object(service, "build")
                && !build.contains_key("dockerfile_inline")
            {
                default(build, "dockerfile", "Dockerfile");
            }
            for mount in objects(service, "volumes") {
                if let Some(target) = mount.get("target").and_then(Value::as_str) {
                    let target = crate::paths::clean(Path::new(target));
                    mount.insert("target".into(), target.to_string_lossy().into());
                }
            }
            dependencies(service);
            let image = service.get("image").cloned();
            for hook in objects(service, "pre_start") {
                if let Some(image) = &image {
                    default(hook, "image", image.clone());
                }
            }
        }
        names(root, self.name);
    }
}

fn services(root: &mut Tree) -> impl Iterator<Item = &mut Tree> {
    root.iter_mut()
        .filter(|(key, _)| matches!(key.as_str(), "services" | "jobs"))
        .filter_map(|(_, section)| section.as_object_mut())
        .flat_map(|section| section.values_mut())
        .filter_map(Value::as_object_mut)
}

fn object<'t>(node: &'t mut Tree, key: &str) -> Option<&'t mut Tree> {
    node.get_mut(key)?.as_object_mut()
}

/// The mappings of a list.
fn objects<'t>(node: &'t mut Tree, key: &str) -> impl Iterator<Item = &'t mut Tree> {
    node.get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

fn default(node: &mut Tree, key: &str, value: impl Into<Value>) {
    if node.get(key).is_none_or(Value::is_null) {
        node.insert(key.to_owned(), value.into());
    }
}

fn all_devices(request: &mut Tree) {
    if !request.contains_key("device_ids") {
        default(request, "count", "all");
    }
}

/// For services that name no network and have no other way out.
fn default_networks(root: &mut Tree) {
    let mut used = false;
    for service in services(root) {
        if service.contains_key("network_mode") || service.contains_key("provider") {
            continue;
        }
        let networks = service.entry("networks").or_insert(Value::Null);
        if networks.as_object().is_none_or(Map::is_empty) {
            *networks = json!({DEFAULT_NETWORK: null});
        }
        used |= networks.get(DEFAULT_NETWORK).is_some();
    }
    if used {
        let networks = root.entry("networks").or_insert_with(|| json!({}));
        if let Some(networks) = networks.as_object_mut() {
            networks.entry(DEFAULT_NETWORK).or_insert(Value::Null);
        }
    }
}

/// Links, shared namespaces and shared volumes make a service depend on another.
fn dependencies(service: &mut Tree) {
    let mut implied: Vec<(String, bool)> = Vec::new();
    let first = |text: &str| text.split(':').next().unwrap_or(text).to_owned();
    for link in texts(service, "links") {
        let parts = link.split(':').count();
        let name = if parts == 2 {
            first(link)
        } else {
            link.to_owned()
        };
        implied.push((name, true));
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        let text = service.get(key).and_then(Value::as_str);
        if let Some(name) = text.and_then(|text| text.strip_prefix("service:")) {
            implied.push((name.to_owned(), true));
        }
    }
    for from in texts(service, "volumes_from").filter(|from| !from.starts_with("container:")) {
        implied.push((first(from), false));
    }
    if implied.is_empty() {
        return;
    }
    let known = service.entry("depends_on").or_insert_with(|| json!({}));
    if let Some(known) = known.as_object_mut() {
        for (name, restart) in implied {
            known.entry(name).or_insert_with(
                || json!({"condition": "service_started", "restart": restart, "required": true}),
            );
        }
    }
}

fn texts<'t>(node: &'t Tree, key: &str) -> impl Iterator<Item = &'t str> {
    let list = node.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// The names of networks, volumes, configs and secrets.
fn names(root: &mut Tree, project: &str) {
    for section in ["networks", "volumes", "configs", "secrets"] {
        let Some(Value::Object(resources)) = root.get_mut(section) else {
            continue;
        };
        for (key, resource) in resources {
            if resource.is_null() {
                *resource = json!({});
            }
            let Some(resource) = resource.as_object_mut() else {
                continue;
            };
            let external = match resource.get("external") {
                Some(Value::String(text)) => text == "true",
                other => other == Some(&Value::Bool(true)),
            };
            let name = match external {
                true => key.clone(),
                false => format!("{project}_{key}"),
            };
            default(resource, "name", name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The project as it comes out, without the keys of `services.s` around it.
    fn normal(service: Value) -> Value {
        let mut root = json!({"services": {"s": service}});
        let known = Known {
            name: "p",
            context: Path::new("/p"),
        };
        let map = root.as_object_mut().unwrap();
        known.defaults(map);
        known.normalise(map);
        root["services"]["s"].take()
    }

    #[test]
    fn what_a_key_means_that_is_not_there() {
        let service = normal(json!({
            "network_mode": "none",
            "pull_policy": "if_not_present",
            "build": {"args": ["A", "B=1"]},
            "secrets": [{"source": "key"}, {"source": "x", "target": "y"}],
            "ports": [{"target": 80}, "${P}:81"],
            "volumes": [{"type": "volume", "target": "/a//b/"}, "${V}:/c"],
            "gpus": [{"driver": "x"}, {"device_ids": ["0"]}],
            "deploy": {"resources": {"reservations": {"devices": [{"count": 2}]}}},
        }));
        assert_eq!(
            service,
            json!({
                "network_mode": "none",
                "pull_policy": "missing",
                "build": {"args": ["A", "B=1"], "context": "/p", "dockerfile": "Dockerfile"},
                "secrets": [{"source": "key", "target": "/run/secrets/key"}, {"source": "x", "target": "y"}],
                "ports": [{"target": 80, "protocol": "tcp", "mode": "ingress"}, "${P}:81"],
                "volumes": [{"type": "volume", "target": "/a/b"}, "${V}:/c"],
                "gpus": [{"driver": "x", "count": "all"}, {"device_ids": ["0"]}],
                "deploy": {"resources": {"reservations": {"devices": [{"count": 2}]}}},
            })
        );
    }

    #[test]
    fn what_a_key_implies_for_another() {
        let service = normal(json!({
            "links": ["a:alias", "b"],
            "pid": "service:c",
            "volumes_from": ["d:ro", "container:e"],
            "depends_on": {"b": {"condition": "service_healthy"}},
            "networks": {},
        }));
        let started = |restart: bool| json!({"condition": "service_started", "restart": restart, "required": true});
        let depends = &service["depends_on"];
        assert_eq!(depends["a"], started(true));
        assert_eq!(depends["b"], json!({"condition": "service_healthy"}));
        assert_eq!(depends["c"], started(true));
        assert_eq!(depends["d"], started(false));
        assert_eq!(depends.as_object().unwrap().len(), 4);
        assert_eq!(service["networks"], json!({"default": null}));
    }

    #[test]
    fn values_of_the_wrong_kind_are_left_alone() {
        let odd = json!({
            "network_mode": "none", "build": 1, "ports": "${PORTS}", "volumes": {"a": 1}, "secrets": [1], "depends_on": "${ALL}",
            "links": [1, "a"], "deploy": [], "gpus": "all", "pre_start": [null],
        });
        assert_eq!(normal(odd.clone()), odd);
    }
}
