//! The published schema laid flat, in the words of [`compose_file::outline`].

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of value by place.
pub(crate) type Places = BTreeMap<String, BTreeSet<String>>;

/// Calls `see` for every place with each schema that rules there.
pub(crate) fn walk<'s>(schema: &'s Value, see: &mut dyn FnMut(&str, &'s Value)) {
    step(schema, schema, "", see);
}

/// The schema that `$ref` names, or the schema itself.
pub(crate) fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let pointer = reference
                .strip_prefix('#')
                .expect("references stay in the file");
            root.pointer(pointer)
                .unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => schema,
    }
}

fn step<'s>(root: &'s Value, schema: &'s Value, path: &str, see: &mut dyn FnMut(&str, &'s Value)) {
    let schema = resolved(root, schema);
    see(path, schema);
    for alternative in schema
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        step(root, alternative, path, see);
    }
    if let Some(items) = schema.get("items") {
        step(root, items, &format!("{path}[]"), see);
    }
    for (key, inner) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        step(root, inner, &path, see);
    }
    for (pattern, inner) in schema
        .get("patternProperties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        // Keys that begin with x- are free everywhere.
        if pattern != "^x-" {
            step(root, inner, &format!("{path}.*"), see);
        }
    }
}

/// The types that a schema names.
pub(crate) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Every place of the schema but the root; null counts nowhere, and a number may be whole.
pub(crate) fn places(schema: &Value) -> Places {
    let mut places = Places::new();
    walk(schema, &mut |path, schema| {
        if path.is_empty() {
            return;
        }
        let kinds = places.entry(path.to_owned()).or_default();
        for kind in types(schema).into_iter().filter(|kind| *kind != "null") {
            kinds.insert(kind.to_owned());
            if kind == "number" {
                kinds.insert("integer".to_owned());
            }
        }
    });
    places
}
