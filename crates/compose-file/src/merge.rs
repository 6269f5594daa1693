//! Merging one canonical document over another.
//!
//! Mappings are merged, scalars replaced, lists appended; the exceptions are the tables below, by path.
//! Source: Compose Specification `13-merge.md`, compose-go `override`.

mod written;

use crate::canonical::Form;
use crate::tree::{Entry, Map, MergeTag, Node, Value};

pub(crate) use written::unique;

/// Where a node stands: keys from the root, list indexes left out.
pub(crate) type Path<'p> = [&'p str];

/// Merges `over` over `base`, both standing at `path`. The result may still hold `!reset` nodes of keys that
/// `base` does not have; [`finish`] removes them.
pub(crate) fn merge(form: Form, base: Node, over: Node, path: &Path<'_>) -> Node {
    if over.tag != MergeTag::Merge || replaced_whole(path) {
        return over;
    }
    if form == Form::AsWritten && written::becomes_list(path) {
        return written::joined(base, over);
    }
    let (place, tag) = (over.place, base.tag);
    let value = match (base.value, over.value) {
        // A key without a value leaves what is there, except where "no value" means something.
        (below, Value::Null) if !null_replaces(path) => below,
        (Value::Map(below), Value::Map(above)) if merges_maps(path, &below, &above) => {
            Value::Map(merge_maps(form, below, above, path))
        }
        (Value::List(below), Value::List(above)) => {
            Value::List(merge_lists(form, below, above, path))
        }
        (_, above) => above,
    };
    Node { value, place, tag }
}

fn merge_maps(form: Form, mut base: Map, over: Map, path: &Path<'_>) -> Map {
    for Entry { key, place, node } in over {
        let merged = match base.get_mut(&key) {
            Some(below) => {
                let below = std::mem::replace(below, Node::new(Value::Null, place));
                let mut inner = path.to_vec();
                // A job is merged as a service is.
                let is_jobs = path.is_empty() && key == "jobs";
                inner.push(if is_jobs { "services" } else { &key });
                merge(form, below, node, &inner)
            }
            None => node,
        };
        base.insert(key, place, merged);
    }
    base
}

/// An entry of `over` takes the place of the one of `base` with the same key, else is appended.
fn merge_lists(form: Form, base: Vec<Node>, over: Vec<Node>, path: &Path<'_>) -> Vec<Node> {
    let mut merged = base;
    let below = merged.len();
    let mut known: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for (at, node) in merged.iter().enumerate() {
        if let Some(key) = list_key(node, path) {
            known.insert(key, at);
        }
    }
    for node in over {
        let same = list_key(&node, path)
            .and_then(|key| known.get(&key).copied())
            .filter(|at| *at < below);
        match same {
            Some(at) if is_ipam_config(path) => {
                let old = std::mem::replace(&mut merged[at], Node::new(Value::Null, node.place));
                merged[at] = merge(form, old, node, &["networks", "*", "ipam", "config", "*"]);
            }
            Some(at) => merged[at] = node,
            None => merged.push(node),
        }
    }
    merged
}

/// Removes `!reset` nodes and forgets `!override`: the document is complete.
pub(crate) fn finish(node: &mut Node) {
    node.tag = MergeTag::Merge;
    match &mut node.value {
        Value::List(list) => {
            list.retain(|item| item.tag != MergeTag::Reset);
            list.iter_mut().for_each(finish);
        }
        Value::Map(map) => {
            map.retain(|entry| entry.node.tag != MergeTag::Reset);
            map.values_mut().for_each(|(_, child)| finish(child));
        }
        _ => {}
    }
}

/// Keys whose new value has nothing to do with the old one.
fn replaced_whole(path: &Path<'_>) -> bool {
    matches!(
        path,
        ["services", _, "command" | "entrypoint"]
            | ["services", _, "healthcheck", "test"]
            | ["services", _, "ulimits", _]
            | ["services", _, "build", "ulimits", _]
            | ["services", _, "provider", "options", _]
            // A job has one schedule: two files that each say one mean the later.
            | ["services", _, "triggers", "schedule"]
    )
}

/// Keys under which null is a value: "the image's", "from the environment".
fn null_replaces(path: &Path<'_>) -> bool {
    replaced_whole(path)
        || matches!(
            path,
            [
                "services",
                _,
                "environment" | "labels" | "annotations" | "sysctls",
                _
            ] | ["services", _, "build", "args" | "labels", _]
                | ["services", _, "deploy", "labels", _]
        )
}

/// `logging` of another driver brings its own options.
fn merges_maps(path: &Path<'_>, below: &Map, above: &Map) -> bool {
    if !matches!(path, ["services", _, "logging"]) {
        return true;
    }
    match (below.get("driver"), above.get("driver")) {
        (Some(below), Some(above)) => below.value == above.value,
        _ => true,
    }
}

fn is_ipam_config(path: &Path<'_>) -> bool {
    matches!(path, ["networks", _, "ipam", "config"])
}

/// What makes two entries of a list the same; `None`: nothing does.
fn list_key(node: &Node, path: &Path<'_>) -> Option<String> {
    let text = |key: &str| node.get(key).and_then(Node::scalar_text);
    match path {
        ["services", _, "ports"] => Some(format!(
            "{}:{}:{}/{}",
            text("host_ip").unwrap_or_default(),
            text("published").unwrap_or_default(),
            text("target")?,
            text("protocol").unwrap_or_else(|| "tcp".into())
        )),
        ["services", _, "volumes"] => text("target"),
        ["services", _, "devices"] => text("target").or_else(|| text("source")),
        ["services", _, "configs"] => Some(file_target(node, "/")),
        ["services", _, "secrets"] | ["services", _, "build", "secrets"] => {
            Some(file_target(node, "/run/secrets/"))
        }
        ["services", _, "env_file"] => text("path"),
        ["networks", _, "ipam", "config"] => text("subnet"),
        ["services", _, "post_start" | "pre_stop" | "pre_start"] => None,
        _ => node.scalar_text(),
    }
}

/// Where a config or secret appears in the container.
pub(crate) fn file_target(node: &Node, default_dir: &str) -> String {
    let target = node
        .get("target")
        .or_else(|| node.get("source"))
        .and_then(Node::scalar_text)
        .unwrap_or_default();
    match target.starts_with('/') {
        true => target,
        false => format!("{default_dir}{target}"),
    }
}

/// Drops entries that stand in a list twice, word for word.
pub(crate) fn drop_duplicates(services: &mut Map) {
    const BY_VALUE: [&str; 15] = [
        "expose",
        "dns",
        "dns_opt",
        "dns_search",
        "tmpfs",
        "cap_add",
        "cap_drop",
        "profiles",
        "links",
        "external_links",
        "security_opt",
        "group_add",
        "device_cgroup_rules",
        "volumes_from",
        "extra_hosts",
    ];
    for (_, service) in services.values_mut() {
        let Some(map) = service.as_map_mut() else {
            continue;
        };
        for (key, node) in map.values_mut() {
            if let Value::List(list) = &mut node.value
                && (BY_VALUE.contains(&key)
                    || matches!(key, "ports" | "volumes" | "configs" | "secrets" | "devices"))
            {
                let mut seen = std::collections::HashSet::new();
                list.retain(|item| seen.insert(value_text(item)));
            }
        }
        if let Some(tags) = map
            .get_mut("build")
            .and_then(Node::as_map_mut)
            .and_then(|build| build.get_mut("tags"))
            && let Value::List(list) = &mut tags.value
        {
            let mut seen = std::collections::HashSet::new();
            list.retain(|item| seen.insert(value_text(item)));
        }
    }
}

/// A node's value without its places, as text that differs when the value does.
pub(crate) fn value_text(node: &Node) -> String {
    match &node.value {
        Value::Null => "~".into(),
        Value::String(text) => format!("{text:?}"),
        Value::List(list) => format!(
            "[{}]",
            list.iter().map(value_text).collect::<Vec<_>>().join(",")
        ),
        Value::Map(map) => {
            let entries: Vec<_> = map
                .iter()
                .map(|e| format!("{:?}:{}", e.key, value_text(&e.node)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        _ => node.scalar_text().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
