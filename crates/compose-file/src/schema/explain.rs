//! Why a key or value is wrong, and what was probably meant: misspelt, misplaced, or wrongly indented.

use super::nearest::nearest;
use super::shapes::{BUILD, DEPLOY, JOB, PROJECT, Record, SERVICE};
use crate::diagnostic::Place;
use crate::tree::{Entry, Node, Value};

type Explanation = (String, Option<String>);

/// An unknown key: first its indentation, then its place, then its spelling.
pub(super) fn unknown_key(entry: &Entry, record: &Record, path: &str) -> Explanation {
    if let Some(explanation) = misindented_service(entry, path) {
        return explanation;
    }
    let key = &entry.key;
    let message = format!("unknown key \"{key}\" in {}", record.name);
    if let Some(hint) = misplaced(entry, record, path) {
        return (message, Some(hint));
    }
    let hint = match nearest(key, record.keys.iter().map(|(known, _)| *known)) {
        Some(known) => format!("did you mean \"{known}\"?"),
        None => format!("keys of your own begin with x-: \"x-{key}\""),
    };
    (message, Some(hint))
}

/// A value of the wrong kind; a service that slipped into a mapping by its indentation says so.
pub(super) fn wrong_kind(node: &Node, expected: &str, path: &str, parent: Place) -> Explanation {
    if let Some(explanation) = misindented_at(node, path, parent) {
        return explanation;
    }
    let message = format!("must be {expected}, but is {}", node.kind());
    let hint = match &node.value {
        Value::Float(_) if expected.contains("string") => {
            Some("put it in quotes, so that no digit is lost".to_owned())
        }
        Value::List(_) if expected == "a mapping" => Some("leave out the dashes".to_owned()),
        Value::Map(_) if expected.contains("number") => None,
        Value::Map(map) if expected.contains("list") => match map.is_empty() {
            true => Some("write an empty list as []".to_owned()),
            false => Some("put \"- \" before each entry".to_owned()),
        },
        Value::String(text) if expected == "a list" => {
            Some(format!("write it as a list: [{text:?}]"))
        }
        Value::Int(number) if expected.contains("duration") => {
            Some(format!("add a unit: {number}s"))
        }
        _ => None,
    };
    (message, hint)
}

/// Whether a mapping has what only services have.
pub(crate) fn looks_like_service(node: &Node) -> bool {
    const TELLING: [&str; 11] = [
        "image",
        "build",
        "command",
        "entrypoint",
        "ports",
        "environment",
        "volumes",
        "depends_on",
        "restart",
        "container_name",
        "env_file",
    ];
    let Some(map) = node.as_map() else {
        return false;
    };
    let telling = map
        .iter()
        .filter(|entry| TELLING.contains(&entry.key.as_str()))
        .count();
    let known = map
        .iter()
        .filter(|entry| SERVICE.shape(&entry.key).is_some())
        .count();
    (map.contains("image") || map.contains("build") || telling >= 2) && known * 2 > map.len()
}

/// A service that its indentation put inside another one, or beside `services`.
fn misindented_service(entry: &Entry, path: &str) -> Option<Explanation> {
    if !looks_like_service(&entry.node) {
        return None;
    }
    let name = &entry.key;
    let column = entry.place.column;
    if path.is_empty() {
        let message = format!(
            "\"{name}\" looks like a service, but stands beside \"services\" and not below it"
        );
        return Some((
            message,
            Some("indent it, and everything below it, under \"services:\"".into()),
        ));
    }
    let (outer, _) = path
        .strip_prefix("services.")
        .map(|rest| rest.split_once('.').unwrap_or((rest, "")))?;
    let message = format!(
        "\"{name}\" looks like a service, but its indentation puts it inside service \"{outer}\""
    );
    let hint = format!(
        "move \"{name}:\" and everything below it left from column {column} to the column of \"{outer}:\""
    );
    Some((message, Some(hint)))
}

/// A service where another mapping of a service is meant (`depends_on: {redis: {image: …}}`).
pub(super) fn service_instead(
    node: &Node,
    record: &Record,
    path: &str,
    parent: Place,
) -> Option<Explanation> {
    let has_source = node.get("image").is_some() || node.get("build").is_some();
    let may_have = record.shape("image").is_some() || record.shape("build").is_some();
    let is_listed = path.ends_with(']');
    if !has_source || may_have || is_listed || !path.starts_with("services.") {
        return None;
    }
    misindented_at(node, path, parent)
}

/// The node at `path`, whose key stands at `parent`, as a service with the wrong indentation.
fn misindented_at(node: &Node, path: &str, parent: Place) -> Option<Explanation> {
    let key = path.rsplit('.').next()?;
    let above = path[..path.len() - key.len()].trim_end_matches('.');
    let is_key = SERVICE.shape(key).is_some() && !above.contains('.');
    let entry = Entry {
        key: key.to_owned(),
        place: parent,
        node: node.clone(),
    };
    if is_key {
        None
    } else {
        misindented_service(&entry, above)
    }
}

/// A key that exists, but elsewhere.
fn misplaced(entry: &Entry, record: &Record, path: &str) -> Option<String> {
    let key = entry.key.as_str();
    if std::ptr::eq(record, &SERVICE) {
        let name = path.strip_prefix("services.").unwrap_or(path);
        if matches!(name, "networks" | "volumes" | "configs" | "secrets") {
            return Some(format!(
                "\"{name}\" stands below \"services\" and is read as a service; move it to column 1 if the top-level \"{name}\" is meant"
            ));
        }
        if DEPLOY.shape(key).is_some() {
            return Some(format!("\"{key}\" belongs under \"deploy\""));
        }
        if BUILD.shape(key).is_some() {
            return Some(format!("\"{key}\" belongs under \"build\""));
        }
        if matches!(key, "services" | "include" | "version") {
            return Some(format!("\"{key}\" is a top-level key; move it to column 1"));
        }
        return None;
    }
    if std::ptr::eq(record, &JOB) {
        return SERVICE
            .shape(key)
            .map(|_| format!("a job runs to its end: \"{key}\" is for services only"));
    }
    if std::ptr::eq(record, &PROJECT) {
        return SERVICE
            .shape(key)
            .map(|_| format!("\"{key}\" is a key of a service; indent it below the service"));
    }
    if path.starts_with("services.") && SERVICE.shape(key).is_some() {
        return Some(format!(
            "\"{key}\" is a key of the service; move it left from column {}, out of {}",
            entry.place.column, record.name
        ));
    }
    None
}
