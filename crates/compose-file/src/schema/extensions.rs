//! `x-` keys deep inside: below which keys of the finished tree they stand, so that the canonical form has them too.
//!
//! Only mappings whose keys the specification names can have any: `x-a` among labels is a label.

use super::fits;
use super::shapes::{PROJECT, Record, Shape};
use crate::decode::extensions;
use crate::project::Extensions;
use crate::tree::{Map, Node, Value};
use serde_json::Value as Json;

/// One step down: into a mapping, or into a list of so many entries.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// A key of the specification's: it can be made where nothing else stood below it.
    Known(String),
    /// A key of the user's.
    Key(String),
    Entry {
        at: usize,
        of: usize,
    },
}

/// The `x-` keys of one mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Within {
    path: Vec<Step>,
    found: Extensions,
}

/// Every mapping of a document that has `x-` keys.
pub(crate) fn within(root: &Node) -> Vec<Within> {
    let mut all = Vec::new();
    if let Some(map) = root.as_map() {
        record(map, &PROJECT, &mut Vec::new(), &mut all);
    }
    all.retain(|within| !within.path.is_empty());
    all
}

fn record(map: &Map, known: &Record, path: &mut Vec<Step>, all: &mut Vec<Within>) {
    let found = extensions(map);
    if !found.is_empty() {
        let path = path.clone();
        all.push(Within { path, found });
    }
    for entry in map {
        if let Some(shape) = known.shape(&entry.key) {
            step(
                Step::Known(entry.key.clone()),
                &entry.node,
                shape,
                path,
                all,
            );
        }
    }
}

fn step(step: Step, node: &Node, shape: &Shape, path: &mut Vec<Step>, all: &mut Vec<Within>) {
    path.push(step);
    walk(node, shape, path, all);
    path.pop();
}

fn walk(node: &Node, shape: &Shape, path: &mut Vec<Step>, all: &mut Vec<Within>) {
    match (shape, &node.value) {
        (Shape::OneOf(alternatives), _) => {
            if let Some(shape) = alternatives.iter().find(|shape| fits(shape, node)) {
                walk(node, shape, path, all);
            }
        }
        (Shape::List(inner), Value::List(list)) => {
            let of = list.len();
            for (at, item) in list.iter().enumerate() {
                step(Step::Entry { at, of }, item, inner, path, all);
            }
        }
        (Shape::Table(inner), Value::Map(map)) => {
            for entry in map {
                step(Step::Key(entry.key.clone()), &entry.node, inner, path, all);
            }
        }
        (Shape::Record(known), Value::Map(map)) => record(map, known, path, all),
        _ => {}
    }
}

impl Within {
    /// Puts the keys into the canonical form, where their mapping is still there and has them not.
    pub(crate) fn put_into(&self, root: &mut Json) {
        let Some(mapping) = self.mapping(root) else {
            return;
        };
        if mapping.is_null() {
            *mapping = Json::Object(Extensions::new());
        }
        let Some(mapping) = mapping.as_object_mut() else {
            return;
        };
        let Json::Object(sorted) = crate::emit::by_name(Json::Object(self.found.clone())) else {
            return;
        };
        for (key, value) in sorted {
            mapping.entry(key).or_insert(value);
        }
    }

    fn mapping<'j>(&self, root: &'j mut Json) -> Option<&'j mut Json> {
        let known = |step: &Step| matches!(step, Step::Known(_));
        let made = self.path.iter().rposition(|step| !known(step));
        let (there, rest) = self.path.split_at(made.map_or(0, |last| last + 1));
        let parent = there.iter().try_fold(root, |json, step| match step {
            Step::Known(key) | Step::Key(key) => json.get_mut(key),
            // A list that lost an entry has its others elsewhere.
            Step::Entry { at, of } => json
                .as_array_mut()
                .filter(|list| list.len() == *of)?
                .get_mut(*at),
        })?;
        rest.iter().try_fold(parent, |json, step| match step {
            Step::Known(key) => Some(
                json.as_object_mut()?
                    .entry(key.clone())
                    .or_insert(Json::Null),
            ),
            _ => None,
        })
    }
}
