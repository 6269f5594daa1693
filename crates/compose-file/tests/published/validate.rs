//! JSON Schema as far as the Compose Specification uses it. A keyword that is not known here is a failure, so that
//! a newer schema cannot be half understood. Source: JSON Schema draft 7, "Validation".

use crate::places::{resolved, types};
use serde_json::Value;

/// What is wrong with `value`, each with its place; nothing when it is valid.
pub(crate) fn errors(root: &Value, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    check(root, root, value, "", &mut errors);
    errors
}

fn check(root: &Value, schema: &Value, value: &Value, path: &str, errors: &mut Vec<String>) {
    let schema = resolved(root, schema);
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let wrong = match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" | "definitions" | "deprecated"
            | "default" => None,
            // These are looked at together with "properties" below.
            "patternProperties" | "additionalProperties" => None,
            "type" => {
                (!types(schema).iter().any(|kind| is(kind, value))).then(|| format!("is no {rule}"))
            }
            "enum" => (!rule.as_array().is_some_and(|words| words.contains(value)))
                .then(|| format!("is not one of {rule}")),
            "pattern" => value
                .as_str()
                .filter(|text| !matches(rule, text))
                .map(|_| format!("does not match {rule}")),
            "minimum" => value
                .as_f64()
                .filter(|number| *number < rule.as_f64().unwrap_or(f64::NAN))
                .map(|_| format!("is below {rule}")),
            "maximum" => value
                .as_f64()
                .filter(|number| *number > rule.as_f64().unwrap_or(f64::NAN))
                .map(|_| format!("is above {rule}")),
            "uniqueItems" => value
                .as_array()
                .filter(|list| *rule == Value::Bool(true) && repeats(list))
                .map(|_| "has an entry twice".into()),
            "required" => missing(rule, value).map(|key| format!("lacks {key}")),
            "oneOf" => one_of(root, rule, value, path),
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{path}[{number}]"), errors);
                }
                None
            }
            "properties" => None,
            other => panic!("the schema has a keyword that is not known here: {other}"),
        };
        errors.extend(wrong.map(|wrong| format!("{path}: {wrong}")));
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        member(root, schema, key, inner, path, errors);
    }
}

/// One entry of a mapping, by whichever of the three rules for keys fits it.
fn member(
    root: &Value,
    schema: &Value,
    key: &str,
    value: &Value,
    path: &str,
    errors: &mut Vec<String>,
) {
    let path = format!("{path}.{key}");
    let mut known = false;
    if let Some(rule) = schema.get("properties").and_then(|keys| keys.get(key)) {
        known = true;
        check(root, rule, value, &path, errors);
    }
    for (pattern, rule) in schema
        .get("patternProperties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if key_matches(pattern, key) {
            known = true;
            check(root, rule, value, &path, errors);
        }
    }
    if !known && schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        errors.push(format!("{path}: is no known key"));
    }
}

fn one_of(root: &Value, rule: &Value, value: &Value, path: &str) -> Option<String> {
    let alternatives = rule.as_array()?;
    let mut found = Vec::new();
    let mut fitting = 0;
    for alternative in alternatives {
        let mut errors = Vec::new();
        check(root, alternative, value, path, &mut errors);
        fitting += usize::from(errors.is_empty());
        found.extend(errors);
    }
    (fitting != 1).then(|| {
        format!(
            "fits {fitting} of {} forms ({})",
            alternatives.len(),
            found.join("; ")
        )
    })
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the schema has a type that is not known here: {other}"),
    }
}

fn repeats(list: &[Value]) -> bool {
    list.iter()
        .enumerate()
        .any(|(at, item)| list[..at].contains(item))
}

fn missing(rule: &Value, value: &Value) -> Option<String> {
    let map = value.as_object()?;
    let mut keys = rule.as_array()?.iter().filter_map(Value::as_str);
    keys.find(|key| !map.contains_key(*key)).map(str::to_owned)
}

/// The patterns for keys that the schema has.
fn key_matches(pattern: &str, key: &str) -> bool {
    match pattern {
        "^x-" => key.starts_with("x-"),
        ".+" | "^.+$" => !key.is_empty(),
        "^[a-z]+$" => !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase()),
        "^[a-zA-Z0-9._-]+$" => {
            !key.is_empty()
                && key
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }
        other => panic!("the schema has a pattern that is not known here: {other}"),
    }
}

/// The patterns for values that the schema has; none is anchored.
fn matches(rule: &Value, text: &str) -> bool {
    let pattern = rule.as_str().unwrap_or_default();
    if pattern == "[a-zA-Z0-9][a-zA-Z0-9_.-]+" {
        let rest = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        return text
            .as_bytes()
            .windows(2)
            .any(|two| two[0].is_ascii_alphanumeric() && rest(two[1]));
    }
    let words = pattern
        .split('|')
        .map(|word| word.split('(').next().unwrap_or(word));
    assert!(
        pattern.starts_with("always|never|"),
        "the schema has a pattern that is not known here: {pattern}"
    );
    words.into_iter().any(|word| text.contains(word))
}
