//! What makes a container differ from what the file wants, in a word a person understands.
//!
//! That it differs is known by the hash of its service ([`compose_file::hash`]). Then the two specifications are compared
//! key by key, in JSON with sorted keys and without what is not said, for the reason that the plan prints.

use crate::labels;
use model::container::ContainerSpec;
use model::mount::{Mount, MountKind};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of a network or volume as the file wants it.
pub(crate) fn hash_of(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).map(sorted).unwrap_or_default();
    hex(&Sha256::digest(value.to_string()))
}

/// The specification in JSON: sorted, only what is said, without Compose's own labels.
fn canonical(spec: &ContainerSpec) -> Map<String, Value> {
    let mut spec = spec.clone();
    spec.labels = labels::own(&spec.labels);
    let mut map = match serde_json::to_value(&spec).map(sorted) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    // Cleared on purpose is not the same as not said.
    for (key, words) in [("entrypoint", &spec.entrypoint), ("command", &spec.command)] {
        if words.as_ref().is_some_and(Vec::is_empty) {
            map.insert(key.to_owned(), Value::Array(Vec::new()));
        }
    }
    map
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries: BTreeMap<String, Value> = map
                .into_iter()
                .map(|(k, v)| (k, sorted(v)))
                .filter(|(_, v)| is_said(v))
                .collect();
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn is_said(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    }
}

/// The keys in which two specifications differ, in the words of the Compose file.
pub(crate) fn differences(old: &ContainerSpec, new: &ContainerSpec) -> Vec<String> {
    let (mut old, mut new) = (old.clone(), new.clone());
    forget_anonymous(&mut old.mounts);
    forget_anonymous(&mut new.mounts);
    let mut found = Vec::new();
    let (before, after) = (canonical(&old), canonical(&new));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        if before.get(key) == after.get(key) {
            continue;
        }
        found.push(match key.as_str() {
            "env" => named(
                "environment",
                &assignments(&old.env),
                &assignments(&new.env),
            ),
            "labels" => named(
                "labels",
                &labels::own(&old.labels),
                &labels::own(&new.labels),
            ),
            other => word(other).to_owned(),
        });
    }
    found
}

/// Names a volume nobody named by nothing: a successor carries it over under the name it was given.
pub(crate) fn forget_anonymous(mounts: &mut [Mount]) {
    for mount in mounts {
        if let MountKind::Volume { name, no_copy, .. } = &mut mount.kind
            && name
                .as_ref()
                .is_none_or(|n| n.len() == 64 && n.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            *name = None;
            *no_copy = false;
        }
    }
}

fn assignments(env: &[String]) -> BTreeMap<String, String> {
    env.iter()
        .map(|e| {
            e.split_once('=')
                .map_or((e.clone(), String::new()), |(k, v)| (k.into(), v.into()))
        })
        .collect()
}

/// `environment: A, B`: the keys that came, went or changed.
fn named(what: &str, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> String {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed: Vec<&str> = keys
        .into_iter()
        .filter(|k| old.get(*k) != new.get(*k))
        .map(String::as_str)
        .collect();
    match changed.len() {
        0 => what.to_owned(),
        _ => format!("{what}: {}", changed.join(" ")),
    }
}

/// The Compose file's word for a key of the specification.
fn word(key: &str) -> &str {
    match key {
        "mounts" => "volumes",
        "files" => "configs or secrets",
        "open_stdin" => "stdin_open",
        "stop_timeout" => "stop_grace_period",
        "resources" => "limits",
        "log" => "logging",
        "dns_options" => "dns_opt",
        "pid_mode" => "pid",
        "ipc_mode" => "ipc",
        "uts_mode" => "uts",
        "cgroupns_mode" => "cgroup",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(env: &[&str]) -> ContainerSpec {
        ContainerSpec {
            image: "nginx".into(),
            env: env.iter().map(|e| (*e).into()).collect(),
            ..Default::default()
        }
    }

    fn volume(name: Option<&str>) -> Mount {
        let kind = MountKind::Volume {
            name: name.map(Into::into),
            no_copy: false,
            subpath: None,
            driver: None,
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
        };
        Mount {
            kind,
            target: "/data".into(),
            read_only: false,
        }
    }

    #[test]
    fn only_what_is_said_is_compared() {
        let text = Value::Object(canonical(&spec(&[]))).to_string();
        assert!(
            !text.contains("null") && !text.contains("false") && !text.contains("[]"),
            "{text}"
        );
        let mut cleared = spec(&[]);
        cleared.command = Some(Vec::new());
        assert_eq!(differences(&spec(&[]), &cleared), ["command"]);
    }

    #[test]
    fn differences_are_named_as_in_the_file() {
        let (old, mut new) = (spec(&["A=1", "B=1"]), spec(&["A=2", "B=1", "C=3"]));
        assert_eq!(differences(&old, &new), ["environment: A C"]);
        new.tty = true;
        new.stop_timeout = Some(3);
        assert_eq!(
            differences(&old, &new),
            ["environment: A C", "stop_grace_period", "tty"]
        );
        assert!(differences(&old, &old).is_empty());
    }

    #[test]
    fn a_volume_carried_over_is_no_difference() {
        let (mut old, mut new) = (spec(&[]), spec(&[]));
        old.mounts.push(volume(Some(&"ab".repeat(32))));
        new.mounts.push(volume(None));
        assert!(differences(&old, &new).is_empty());
        new.mounts = vec![volume(Some("named"))];
        assert_eq!(differences(&old, &new), ["volumes"]);
    }
}
