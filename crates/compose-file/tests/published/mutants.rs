//! Values that the schema refuses by more than their kind: each put into a file of its own, which must be refused
//! at that place.

use crate::places::{types, walk};
use crate::validate;
use compose_file::{MemoryFiles, Options, Severity};
use serde_json::{Value, json};

/// What must stand beside a value for it to be looked at.
fn beside(path: &str) -> Value {
    let kind = |kind: &str| json!({"type": kind, "source": "/b", "target": "/t"});
    match path {
        "services.*.volumes[].bind" | "services.*.volumes[].type" => kind("bind"),
        "services.*.volumes[].image" => kind("image"),
        "services.*.volumes[].tmpfs" => json!({"type": "tmpfs", "target": "/t"}),
        "services.*.volumes[].volume" => json!({"type": "volume", "target": "/t"}),
        "services.*.develop.watch[].exec" => {
            json!({"path": ".", "action": "sync+exec", "target": "/t"})
        }
        _ if path.starts_with("services.*.") && path.matches('.').count() == 2 => {
            json!({"image": "x"})
        }
        _ => json!({}),
    }
}

pub(crate) fn what_the_schema_refuses_is_refused(schema: &Value) {
    let mut mutants = Vec::new();
    walk(schema, &mut |path, rules| {
        mutants.extend(
            bad_values(rules)
                .into_iter()
                .map(|bad| (path.to_owned(), bad)),
        );
    });
    // Another alternative of the same place may allow it. The obsolete version is dropped whatever it says.
    mutants.retain(|(path, bad)| {
        !matches!(path.as_str(), "" | "version")
            && !validate::errors(schema, &document(path, bad.clone())).is_empty()
    });
    assert!(mutants.len() > 300, "only {} values", mutants.len());
    let taken: Vec<String> = mutants
        .iter()
        .filter(|(path, bad)| !is_refused(path, &document(path, bad.clone())))
        .map(|(path, bad)| format!("{path}: {bad}"))
        .collect();
    assert!(
        taken.is_empty(),
        "{} of {} are taken: {taken:#?}",
        taken.len(),
        mutants.len()
    );
}

/// Values that break one rule each. That an entry stands twice breaks none: lists are made unique before the
/// schema is asked, by compose-go as here.
fn bad_values(rules: &Value) -> Vec<Value> {
    let mut bad = Vec::new();
    if rules.get("enum").is_some() || rules.get("pattern").is_some() {
        bad.push(json!("?"));
    }
    for (limit, by) in [("minimum", -1.0), ("maximum", 1.0)] {
        bad.extend(
            rules
                .get(limit)
                .and_then(Value::as_f64)
                .map(|number| json!((number + by) as i64)),
        );
    }
    if rules.get("additionalProperties") == Some(&Value::Bool(false))
        && rules.get("properties").is_some()
    {
        bad.push(json!({"no_such_key": "x"}));
    }
    if rules.get("required").is_some() {
        bad.push(json!({}));
    }
    let kinds = types(rules);
    if !kinds.is_empty() {
        bad.extend([json!(["x", ["x"]]), json!({"x": {"x": {"x": ["x"]}}})]);
    }
    bad
}

/// The smallest project that has `value` at `path`.
fn document(path: &str, value: Value) -> Value {
    let mut document = value;
    let mut rest = path;
    while !rest.is_empty() {
        let (above, step) = rest.rsplit_once('.').unwrap_or(("", rest));
        let (key, lists) = (step.trim_end_matches("[]"), step.matches("[]").count());
        let mut object = beside(rest.trim_end_matches("[]"));
        for _ in 0..lists {
            document = json!([document]);
        }
        object[if key == "*" { "a" } else { key }] = document;
        document = object;
        rest = above;
    }
    if document.get("services").is_none() {
        document["services"] = json!({"a": {"image": "x"}});
    }
    document
}

/// Whether the loader has an error at that place or below it.
fn is_refused(path: &str, document: &Value) -> bool {
    let text = compose_file::yaml(document).expect("a value is text");
    let files = MemoryFiles::new([("/p/compose.yaml", text.as_str())]);
    let options = Options {
        current_dir: "/p".into(),
        ..Options::default()
    };
    let Err(error) = compose_file::load(&options, &files) else {
        return false;
    };
    let place = path.replace("[]", "[0]").replace(".*", ".a");
    let mut errors = error
        .diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error);
    errors.any(|one| one.path.starts_with(&place))
}
