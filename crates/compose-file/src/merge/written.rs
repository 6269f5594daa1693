//! How docker compose merges what no type was given yet: short and long forms become one list of `KEY=value`.
//!
//! Source: compose-go `override/merge.go` (`mergeToSequence`) and `override/uncity.go`.

use super::{Path, list_key};
use crate::tree::{MergeTag, Node, Value};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Keys whose two values are put one after the other, whatever their forms.
pub(super) fn becomes_list(path: &Path<'_>) -> bool {
    matches!(
        path,
        [
            "services",
            _,
            "annotations"
                | "dns"
                | "dns_opt"
                | "dns_search"
                | "environment"
                | "extra_hosts"
                | "label_file"
                | "labels"
                | "sysctls"
                | "tmpfs"
        ] | [
            "services",
            _,
            "build",
            "args" | "additional_contexts" | "extra_hosts" | "labels"
        ] | ["services", _, "deploy", "labels"]
            | ["networks" | "volumes", _, "labels"]
    )
}

/// The words of both, those of `over` behind; what `over` resets is taken out.
pub(super) fn joined(base: Node, over: Node) -> Node {
    let (place, tag) = (over.place, base.tag);
    let mut list = words(base);
    let over = words(over);
    for reset in over.iter().filter(|word| word.tag == MergeTag::Reset) {
        list.retain(|word| key(word) != key(reset));
    }
    list.extend(over);
    Node {
        value: Value::List(list),
        place,
        tag,
    }
}

/// The name before `=`.
fn key(word: &Node) -> Option<String> {
    let text = word.scalar_text()?;
    Some(match text.split_once('=') {
        Some((key, _)) => key.to_owned(),
        None => text,
    })
}

/// A mapping as `KEY=value`, sorted; a key with several values is said several times.
fn words(node: Node) -> Vec<Node> {
    let map = match node.value {
        Value::Null => return Vec::new(),
        Value::List(list) => return list,
        Value::Map(map) => map,
        _ => return vec![node],
    };
    let mut words = Vec::with_capacity(map.len());
    for entry in map {
        let (key, tag) = (entry.key, entry.node.tag);
        let mut word = |value: &Node| {
            let text = match value.scalar_text() {
                Some(text) => format!("{key}={text}"),
                None => key.clone(),
            };
            words.push(Node {
                tag,
                ..Node::string(text, value.place)
            });
        };
        match entry.node.as_list() {
            Some(values) => values.iter().for_each(&mut word),
            None => word(&entry.node),
        }
    }
    words.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    words
}

/// Of several words with one key the last counts, where the first stood.
pub(crate) fn unique(document: &mut Node) {
    walk(document, &mut Vec::new());
}

fn walk(node: &mut Node, path: &mut Vec<String>) {
    if let Value::List(list) = &mut node.value {
        let here: Vec<&str> = path.iter().map(String::as_str).collect();
        let same: fn(&Node, &Path<'_>) -> Option<String> = match here[..] {
            [
                "services",
                _,
                "configs" | "devices" | "env_file" | "extra_hosts" | "ports" | "secrets"
                | "volumes",
            ]
            | ["services", _, "build", "extra_hosts"] => list_key,
            ["services" | "networks", ..] if becomes_list(&here) => |word, _| key(word),
            _ => return,
        };
        one_of_a_key(list, |node| same(node, &here));
        return;
    }
    // No list with keys lies deeper.
    let Some(map) = node.as_map_mut().filter(|_| path.len() < 4) else {
        return;
    };
    for (key, child) in map.values_mut() {
        let is_jobs = path.is_empty() && key == "jobs";
        path.push(if is_jobs { "services" } else { key }.to_owned());
        walk(child, path);
        path.pop();
    }
}

fn one_of_a_key(list: &mut Vec<Node>, key: impl Fn(&Node) -> Option<String>) {
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<Node> = Vec::with_capacity(list.len());
    for node in std::mem::take(list) {
        match key(&node).map(|key| known.entry(key)) {
            Some(Entry::Occupied(at)) => kept[*at.get()] = node,
            Some(Entry::Vacant(new)) => {
                new.insert(kept.len());
                kept.push(node);
            }
            None => kept.push(node),
        }
    }
    *list = kept;
}
