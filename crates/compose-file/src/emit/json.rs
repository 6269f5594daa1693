//! The canonical form as JSON, as docker compose prints it: of Go's structs, not of the YAML text.
//!
//! Beside the YAML it has `null` for what is not said of a command, empty objects where a struct stands in a struct, and
//! no `x-` keys but those of the whole project. A hash over a service is one over this text.
//! Source: compose-go `types`, its `json` tags.

use super::{EmitError, escaped, service, service_value, to_value};
use crate::project::{Project, Service};
use crate::schema;
use serde_json::{Value, json};

const DEPLOY: [&str; 9] = [
    "mode",
    "replicas",
    "labels",
    "update_config",
    "rollback_config",
    "resources",
    "restart_policy",
    "placement",
    "endpoint_mode",
];
const NETWORK: [&str; 10] = [
    "name",
    "driver",
    "driver_opts",
    "ipam",
    "external",
    "internal",
    "attachable",
    "labels",
    "enable_ipv4",
    "enable_ipv6",
];
/// Keys of a service that docker compose leaves out of its hash.
const UNHASHED: [&str; 5] = ["build", "pull_policy", "scale", "depends_on", "profiles"];

/// What `config --format json` prints. It says less than the canonical form and cannot always be loaded again.
pub fn config_json(project: &Project) -> Result<String, EmitError> {
    let mut root = to_value(&without_extensions(project));
    each(&mut root, "services", service_structs);
    each(&mut root, "networks", network_structs);
    schema::sort_project(&mut root);
    if let Some(sections) = root.as_object_mut() {
        sections.sort_keys();
    }
    let text = serde_json::to_string_pretty(&escaped(root)).map_err(EmitError::Json)?;
    Ok(as_go(&text))
}

/// What docker compose hashes of a service (`config --hash`).
pub(crate) fn hashed(service: &Service) -> String {
    let mut value = service_value(&bare(service), false);
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, _| !UNHASHED.contains(&key.as_str()));
        if let Some(Value::Object(deploy)) = map.get_mut("deploy") {
            deploy.shift_remove("replicas");
        }
    }
    service_structs(&mut value);
    schema::sort_service(&mut value);
    as_go(&value.to_string())
}

fn without_extensions(project: &Project) -> Project {
    let mut project = project.clone();
    project.within.clear();
    project.services = project.services.iter().map(bare).collect();
    project
        .networks
        .values_mut()
        .for_each(|network| network.extensions.clear());
    project
        .volumes
        .values_mut()
        .for_each(|volume| volume.extensions.clear());
    for object in project
        .configs
        .values_mut()
        .chain(project.secrets.values_mut())
    {
        object.extensions.clear();
    }
    project
        .models
        .values_mut()
        .for_each(|model| model.extensions.clear());
    project
}

fn bare(service: &Service) -> Service {
    let mut service = service.clone();
    service.extensions.clear();
    service
        .build
        .iter_mut()
        .for_each(|build| build.extensions.clear());
    service
        .deploy
        .iter_mut()
        .for_each(|deploy| deploy.extensions.clear());
    service
}

fn each(root: &mut Value, section: &str, complete: fn(&mut Value)) {
    if let Some(Value::Object(map)) = root.get_mut(section) {
        map.values_mut().for_each(complete);
    }
}

fn service_structs(service: &mut Value) {
    fill(
        service,
        &[("command", Value::Null), ("entrypoint", Value::Null)],
        &service::ORDER,
    );
    if let Some(deploy) = service.get_mut("deploy") {
        fill(
            deploy,
            &[("resources", json!({})), ("placement", json!({}))],
            &DEPLOY,
        );
    }
    for key in ["pre_start", "post_start", "pre_stop"] {
        for hook in list(service.get_mut(key)) {
            fill(hook, &[("command", Value::Null)], &["command"]);
        }
    }
    for rule in list(service.pointer_mut("/develop/watch")) {
        fill(
            rule,
            &[("exec", json!({}))],
            &["path", "action", "target", "exec"],
        );
        if let Some(exec) = rule.get_mut("exec") {
            fill(exec, &[("command", Value::Null)], &["command"]);
        }
    }
    // These structs have no names for JSON.
    if let Some(Value::Object(blkio)) = service.get_mut("blkio_config") {
        for device in blkio.values_mut().filter_map(Value::as_array_mut).flatten() {
            capitals(device);
        }
    }
    whole_numbers(service);
}

fn network_structs(network: &mut Value) {
    if network.is_null() {
        *network = json!({});
    }
    fill(network, &[("ipam", json!({}))], &NETWORK);
}

fn list(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_array_mut).into_iter().flatten()
}

/// Adds what is not there, in the order of the struct.
fn fill(value: &mut Value, missing: &[(&str, Value)], order: &[&str]) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    for (key, empty) in missing {
        map.entry(*key).or_insert_with(|| empty.clone());
    }
    let rank = |key: &str| {
        order
            .iter()
            .position(|known| *known == key)
            .unwrap_or(order.len())
    };
    let mut entries: Vec<_> = std::mem::take(map).into_iter().collect();
    entries.sort_by_key(|(key, _)| rank(key));
    map.extend(entries);
}

fn capitals(device: &mut Value) {
    let Some(map) = device.as_object_mut() else {
        return;
    };
    let renamed = std::mem::take(map).into_iter().map(|(key, value)| {
        let (first, rest) = key.split_at(1);
        (first.to_ascii_uppercase() + rest, value)
    });
    *map = renamed.collect();
}

/// Go writes the number 2.0 as 2.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            if let Some(whole) = float.filter(|n| n.fract() == 0.0 && n.abs() < 1e15) {
                *value = json!(whole as i64);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// Go escapes what HTML and JavaScript would take for their own.
pub(crate) fn as_go(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", c as u32));
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::load_text;

    #[test]
    fn structs_that_say_nothing_are_there_and_extensions_are_not() {
        let text = "x-a: 1\nservices: {s: {image: '<a>', deploy: {}, x-b: 1, develop: {watch: [{path: /a, action: rebuild, x-c: 1}]}, blkio_config: {device_read_bps: [{path: /dev/a, rate: 1k}]}}}\nnetworks: {default: {x-d: 1}}";
        let shown = config_json(&load_text(text).unwrap().project).unwrap();
        let shown: String = shown.split_whitespace().collect();
        for part in [
            r#"{"name":"p","networks":{"default":{"name":"p_default","ipam":{}}},"services":{"s":{"develop""#,
            r#"{"path":"/a","action":"rebuild","exec":{"command":null}}"#,
            r#"{"Path":"/dev/a","Rate":"1024"}"#,
            r#""command":null,"deploy":{"resources":{},"placement":{}},"entrypoint":null,"image":"\u003ca\u003e""#,
            r#"}},"x-a":1}"#,
        ] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        assert!(!shown.contains("x-b") && !shown.contains("x-c") && !shown.contains("x-d"));
    }

    #[test]
    fn keys_of_the_user_are_sorted_by_bytes() {
        let text = "services: {s: {image: a, environment: {A_B: 1, AB: 1, a: 1, A10: 1, A9: 1}}}";
        let shown = config_json(&load_text(text).unwrap().project).unwrap();
        let at = |name: &str| shown.find(&format!("\"{name}\"")).unwrap();
        assert!(
            at("A10") < at("A9")
                && at("A9") < at("AB")
                && at("AB") < at("A_B")
                && at("A_B") < at("a")
        );
    }
}
