//! The schema check: closed keys, kinds of values, and explanations of what went wrong where.
//!
//! It runs on each file by itself, before anything is merged, so that a mistake is shown where it was
//! written. Values (is this a port?) are checked when they are decoded.

mod explain;
mod extensions;
mod nearest;
mod order;
mod outline;
mod shapes;

pub(crate) use explain::looks_like_service;
pub use extensions::Within;
pub(crate) use extensions::within;
pub(crate) use nearest::nearest;
pub(crate) use order::{sort_project, sort_service};
pub use outline::{Outline, outline};

use crate::diagnostic::{Diagnostic, Place, Severity, Sources};
use crate::tree::{Entry, Map, Node, Value, join};
use shapes::{PROJECT, Record, Shape};

/// Checks one document; the answer holds errors only.
pub(crate) fn check(document: &Node, sources: &Sources) -> Vec<Diagnostic> {
    let mut checker = Checker {
        sources,
        errors: Vec::new(),
    };
    match document.as_map() {
        Some(root) => {
            checker.record(root, &PROJECT, "");
            checker.section(root, "services", "service");
            checker.section(root, "jobs", "job");
        }
        None => checker.error(
            document.place,
            "",
            format!(
                "a Compose file is a mapping with the key \"services\", but this is {}",
                document.kind()
            ),
        ),
    }
    checker.errors
}

/// Services and jobs of the finished document with nothing below them in any file.
pub(crate) fn empty_services(document: &Node, sources: &Sources) -> Vec<Diagnostic> {
    let sections = [("services", "service"), ("jobs", "job")];
    let empty = sections.iter().flat_map(|(section, what)| {
        let entries = document.get(section).and_then(Node::as_map);
        let empty = entries.into_iter().flatten().filter(|e| e.node.is_null());
        empty.map(move |entry| {
            let message = format!("a {what} is a mapping, but there is nothing below it");
            sources
                .diagnostic(
                    Severity::Error,
                    entry.place,
                    &join(section, &entry.key),
                    message,
                )
                .with_hint("give it an image or a build, indented deeper than its name")
        })
    });
    empty.collect()
}

/// More than this many errors of one file help nobody.
const MAX_ERRORS: usize = 50;

pub(super) struct Checker<'a> {
    sources: &'a Sources,
    errors: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn error(&mut self, place: Place, path: &str, message: String) {
        self.push(place, path, message, None);
    }

    pub(super) fn push(&mut self, place: Place, path: &str, message: String, hint: Option<String>) {
        if self.errors.len() < MAX_ERRORS {
            let mut error = self
                .sources
                .diagnostic(Severity::Error, place, path, message);
            error.hint = hint;
            self.errors.push(error);
        }
    }

    /// What the tables cannot say: a service, or a job, is a mapping, and its name is well formed.
    fn section(&mut self, root: &Map, section: &str, what: &str) {
        let empty = |node: &Node| node.is_null() && node.tag == crate::tree::MergeTag::Merge;
        if let Some(entry) = root.entry(section).filter(|entry| empty(&entry.node)) {
            self.push(
                entry.place,
                section,
                format!("{section} must be a mapping, but there is nothing below it"),
                Some(format!(
                    "add a {what}, indented deeper, or leave the key out"
                )),
            );
        }
        let Some(entries) = root.get(section).and_then(Node::as_map) else {
            return;
        };
        for entry in entries {
            let path = join(section, &entry.key);
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            let well_formed = !entry.key.is_empty() && entry.key.chars().all(allowed);
            if !well_formed {
                self.push(
                    entry.place,
                    &path,
                    format!("\"{}\" is no {what} name", entry.key),
                    Some("use letters, digits, \".\", \"_\" and \"-\"".into()),
                );
            }
        }
    }

    fn node(&mut self, node: &Node, shape: &Shape, path: &str, parent: Place) {
        if node.is_null() {
            return;
        }
        match (shape, &node.value) {
            (Shape::OneOf(alternatives), _) => {
                match alternatives.iter().find(|shape| fits(shape, node)) {
                    Some(shape) => self.node(node, shape, path, parent),
                    None => self.wrong_kind(node, shape, path, parent),
                }
            }
            (Shape::List(inner), Value::List(list)) => {
                for (number, item) in list.iter().enumerate() {
                    self.node(item, inner, &format!("{path}[{number}]"), node.place);
                }
            }
            (Shape::Pairs, Value::List(list)) => {
                for (number, item) in list.iter().enumerate() {
                    self.pair(item, &format!("{path}[{number}]"), node.place);
                }
            }
            (Shape::Pairs, Value::Map(map)) => self.table(map, &Shape::Scalar, path),
            (Shape::Table(inner), Value::Map(map)) => self.table(map, inner, path),
            (Shape::Record(record), Value::Map(map)) => {
                match explain::service_instead(node, record, path, parent) {
                    Some((message, hint)) => self.push(parent, path, message, hint),
                    None => self.record(map, record, path),
                }
            }
            _ if fits(shape, node) => {}
            _ => self.wrong_kind(node, shape, path, parent),
        }
    }

    fn pair(&mut self, item: &Node, path: &str, parent: Place) {
        match item.as_map() {
            // `- KEY: value` is the usual slip in a list of KEY=value.
            Some(map) if map.len() == 1 => {
                let entry = map.iter().next();
                let hint = entry.map(|entry| match entry.node.scalar_text() {
                    Some(value) => format!(
                        "write it as - {}={value}, or leave out the dash for a mapping",
                        entry.key
                    ),
                    None => "write each entry as KEY=value".to_owned(),
                });
                self.push(
                    item.place,
                    path,
                    "must be a KEY=value string, but is a mapping".into(),
                    hint,
                );
            }
            _ => self.node(item, &Shape::Scalar, path, parent),
        }
    }

    fn table(&mut self, map: &Map, inner: &Shape, path: &str) {
        for entry in map {
            self.node(&entry.node, inner, &join(path, &entry.key), entry.place);
        }
    }

    fn record(&mut self, map: &Map, record: &Record, path: &str) {
        for entry in map {
            match record.shape(&entry.key) {
                Some(shape) => self.node(&entry.node, shape, &join(path, &entry.key), entry.place),
                None if entry.key.starts_with("x-") => {}
                None => self.unknown_key(entry, record, path),
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, record: &Record, path: &str) {
        let (message, hint) = explain::unknown_key(entry, record, path);
        self.push(entry.place, path, message, hint);
    }

    fn wrong_kind(&mut self, node: &Node, shape: &Shape, path: &str, parent: Place) {
        let (message, hint) = explain::wrong_kind(node, &describe(shape), path, parent);
        self.push(
            if node.as_map().is_some() {
                parent
            } else {
                node.place
            },
            path,
            message,
            hint,
        );
    }
}

/// Whether a node's kind is right; what is inside is looked at afterwards.
fn fits(shape: &Shape, node: &Node) -> bool {
    let scalar = || !matches!(node.value, Value::List(_) | Value::Map(_));
    match shape {
        Shape::Text => matches!(
            node.value,
            Value::String(_) | Value::Int(_) | Value::Bool(_)
        ),
        Shape::Scalar => scalar(),
        Shape::Bool => matches!(node.value, Value::Bool(_) | Value::String(_)),
        Shape::Integer | Shape::Number | Shape::Size => {
            matches!(
                node.value,
                Value::Int(_) | Value::Float(_) | Value::String(_)
            )
        }
        Shape::Duration => matches!(node.value, Value::String(_) | Value::Int(0)),
        Shape::List(_) => matches!(node.value, Value::List(_)),
        Shape::Table(_) | Shape::Record(_) => matches!(node.value, Value::Map(_)),
        Shape::Pairs => matches!(node.value, Value::List(_) | Value::Map(_)),
        Shape::OneOf(alternatives) => alternatives.iter().any(|shape| fits(shape, node)),
    }
}

fn describe(shape: &Shape) -> String {
    match shape {
        Shape::Text => "a string".into(),
        Shape::Scalar => "a string, a number or a boolean".into(),
        Shape::Bool => "true or false".into(),
        Shape::Integer => "an integer".into(),
        Shape::Number => "a number".into(),
        Shape::Size => "a size such as 512m".into(),
        Shape::Duration => "a duration such as 1m30s".into(),
        Shape::List(_) => "a list".into(),
        Shape::Table(_) | Shape::Record(_) => "a mapping".into(),
        Shape::Pairs => "a mapping or a list of KEY=value".into(),
        Shape::OneOf(alternatives) => {
            let words: Vec<_> = alternatives.iter().map(|shape| describe(shape)).collect();
            words.join(" or ")
        }
    }
}

#[cfg(test)]
mod tests;
