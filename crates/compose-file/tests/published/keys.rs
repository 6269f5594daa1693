//! Keys and kinds of value, in both directions.

use crate::places::places;
use serde_json::Value;

/// Places of ours that the schema does not have, and why there are such.
const EXTRAS: [(&str, &str); 11] = [
    ("jobs", "newer than this schema"),
    (
        "configs.*.driver",
        "compose-go reads it: a config and a secret are one type there",
    ),
    ("configs.*.driver_opts", "with driver"),
    ("services.*.build.no_cache_filter", "newer than this schema"),
    ("services.*.pre_start", "newer than this schema"),
    (
        "services.*.storage_opt.*",
        "the schema leaves open what is below storage_opt",
    ),
    ("services.*.dockerfile", "version 1"),
    ("services.*.log_driver", "version 1"),
    ("services.*.log_opt", "version 1"),
    ("services.*.net", "version 1"),
    ("services.*.volume_driver", "version 1"),
];

fn is_extra(path: &str) -> bool {
    EXTRAS.iter().any(|(extra, _)| {
        path.strip_prefix(extra)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// Takes the extras out of a project, so that the schema can judge the rest.
pub(crate) fn remove_extras(project: &mut Value) {
    for (path, _) in EXTRAS {
        let steps: Vec<&str> = path.split('.').collect();
        remove(project, &steps);
    }
}

fn remove(value: &mut Value, steps: &[&str]) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    match steps {
        [] => {}
        ["*", rest @ ..] => map.values_mut().for_each(|inner| remove(inner, rest)),
        [last] => drop(map.remove(*last)),
        [key, rest @ ..] => map
            .get_mut(*key)
            .into_iter()
            .for_each(|inner| remove(inner, rest)),
    }
}

pub(crate) fn every_key_is_known_here(schema: &Value) {
    let ours = compose_file::outline();
    let missing: Vec<String> = places(schema)
        .into_keys()
        .filter(|path| !ours.contains_key(path))
        .collect();
    assert!(missing.is_empty(), "the loader does not know {missing:#?}");
}

pub(crate) fn every_key_here_is_known_there(schema: &Value) {
    let theirs = places(schema);
    let more: Vec<String> = compose_file::outline()
        .into_keys()
        .filter(|path| !theirs.contains_key(path) && !is_extra(path))
        .collect();
    assert!(more.is_empty(), "the schema does not know {more:#?}");
    let stale: Vec<&str> = EXTRAS
        .iter()
        .map(|(path, _)| *path)
        .filter(|path| theirs.contains_key(*path))
        .collect();
    assert!(stale.is_empty(), "no extras any more: {stale:?}");
}

pub(crate) fn every_kind_of_value_is_taken(schema: &Value) {
    let ours = compose_file::outline();
    let refused = |(path, kinds): (String, std::collections::BTreeSet<String>)| {
        let taken = ours.get(&path)?;
        let refused: Vec<String> = kinds
            .into_iter()
            .filter(|kind| !taken.contains(kind.as_str()))
            .collect();
        (!refused.is_empty()).then(|| format!("{path}: {}", refused.join(", ")))
    };
    let refused: Vec<String> = places(schema).into_iter().filter_map(refused).collect();
    assert!(
        refused.is_empty(),
        "valid there and refused here: {refused:#?}"
    );
}
