//! The finished tree to the typed [`Project`](crate::Project): every value is read here once, by `model`'s
//! parsers where it has one, and every error names the value's own place.
//!
//! Names, defaults and what one key implies for another are left to `normalise`.

mod build;
mod deploy;
mod devices;
mod healthcheck;
mod hint;
mod hooks;
mod job;
mod mounts;
mod namespaces;
mod networks;
mod resource;
mod service;

use crate::diagnostic::{Diagnostic, Place, Severity, Sources};
use crate::project::{Extensions, Places, Project};
use crate::schema;
use crate::tree::{Map, Node, Value, join};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// Decodes a finished tree. With errors the project is incomplete.
pub(crate) fn decode(root: &Node, sources: &Sources) -> (Project, Vec<Diagnostic>) {
    let mut decoder = Decoder {
        sources,
        diagnostics: Vec::new(),
    };
    let mut project = Project::default();
    let top = Cursor {
        node: root,
        path: String::new(),
    };
    for (name, cursor) in decoder.entries(&top, "services") {
        let service = decoder.service(name, &cursor);
        project.services.push(service);
    }
    for (name, cursor) in decoder.entries(&top, "jobs") {
        let job = decoder.job(name, &cursor);
        project.jobs.push(job);
    }
    project.networks = decoder.section(&top, "networks", Decoder::network);
    project.volumes = decoder.section(&top, "volumes", Decoder::volume);
    project.configs = decoder.section(&top, "configs", Decoder::file_object);
    project.secrets = decoder.section(&top, "secrets", Decoder::file_object);
    project.models = decoder.section(&top, "models", Decoder::ai_model);
    project.extensions = extensions_of(root);
    project.within = schema::within(root);
    project.places = places(root, sources);
    (project, decoder.diagnostics)
}

fn places(root: &Node, sources: &Sources) -> Places {
    let mut by_path = BTreeMap::new();
    note_places(root, "", &mut by_path);
    Places {
        sources: sources.clone(),
        by_path,
    }
}

fn note_places(node: &Node, path: &str, by_path: &mut BTreeMap<String, Place>) {
    match &node.value {
        Value::Map(map) => {
            for entry in map {
                let path = join(path, &entry.key);
                // A mapping is known by its key, a value by itself.
                let place = if entry.node.as_map().is_some() {
                    entry.place
                } else {
                    entry.node.place
                };
                by_path.insert(path.clone(), place);
                note_places(&entry.node, &path, by_path);
            }
        }
        Value::List(list) => {
            for (number, item) in list.iter().enumerate() {
                let path = format!("{path}[{number}]");
                by_path.insert(path.clone(), item.place);
                note_places(item, &path, by_path);
            }
        }
        _ => {}
    }
}

/// A node with the path that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
}

impl<'n> Cursor<'n> {
    /// The value under a key, unless it is absent or null.
    pub(crate) fn child(&self, key: &str) -> Option<Cursor<'n>> {
        Some(Cursor {
            node: self.node.get(key)?,
            path: join(&self.path, key),
        })
    }

    fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some()
    }

    fn items(&self) -> impl Iterator<Item = Cursor<'n>> + use<'n> {
        let path = self.path.clone();
        let items = self.node.as_list().unwrap_or_default().iter().enumerate();
        items.map(move |(number, node)| Cursor {
            node,
            path: format!("{path}[{number}]"),
        })
    }
}

/// Reads values and collects errors.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    sources: &'a Sources,
    diagnostics: Vec<Diagnostic>,
}

impl Decoder<'_> {
    fn error(&mut self, at: &Cursor<'_>, message: impl Into<String>) {
        let error = self
            .sources
            .diagnostic(Severity::Error, at.node.place, &at.path, message);
        self.diagnostics.push(match hint::of(&at.path) {
            Some(hint) => error.with_hint(hint),
            None => error,
        });
    }

    fn error_with_hint(
        &mut self,
        at: &Cursor<'_>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let error = self
            .sources
            .diagnostic(Severity::Error, at.node.place, &at.path, message);
        self.diagnostics.push(error.with_hint(hint));
    }

    fn warn_with_hint(&mut self, at: &Cursor<'_>, message: String, hint: &str) {
        let warning = self
            .sources
            .diagnostic(Severity::Warning, at.node.place, &at.path, message);
        self.diagnostics.push(warning.with_hint(hint));
    }

    /// The entries of a mapping under a key, null values included.
    fn entries<'n>(&self, at: &Cursor<'n>, key: &str) -> Vec<(&'n str, Cursor<'n>)> {
        let Some(child) = at.child(key) else {
            return Vec::new();
        };
        let map = child.node.as_map().into_iter().flatten();
        map.map(|entry| {
            (
                entry.key.as_str(),
                Cursor {
                    node: &entry.node,
                    path: join(&child.path, &entry.key),
                },
            )
        })
        .collect()
    }

    fn section<T>(
        &mut self,
        at: &Cursor<'_>,
        key: &str,
        read: impl Fn(&mut Self, &Cursor<'_>) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let entries = self.entries(at, key);
        entries
            .into_iter()
            .filter_map(|(name, cursor)| Some((name.to_owned(), read(self, &cursor)?)))
            .collect()
    }

    /// The text of a scalar.
    fn text(&mut self, at: &Cursor<'_>, key: &str) -> Option<String> {
        let child = at.child(key)?;
        let text = child.node.scalar_text();
        if text.is_none() {
            self.error(
                &child,
                format!("must be a string, but is {}", child.node.kind()),
            );
        }
        text
    }

    /// As [`Decoder::text`]; an empty text counts as not said.
    fn filled(&mut self, at: &Cursor<'_>, key: &str) -> Option<String> {
        self.text(at, key).filter(|text| !text.is_empty())
    }

    /// A scalar read by a parser; an empty text counts as not said.
    fn parsed<T, E: Display>(
        &mut self,
        at: &Cursor<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.filled(at, key)?;
        let child = at.child(key)?;
        parse(&text)
            .map_err(|error| self.error(&child, error.to_string()))
            .ok()
    }

    fn typed<T: FromStr<Err: Display>>(&mut self, at: &Cursor<'_>, key: &str) -> Option<T> {
        self.parsed(at, key, T::from_str)
    }

    fn flag(&mut self, at: &Cursor<'_>, key: &str) -> Option<bool> {
        self.parsed(at, key, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "1" => Ok(true),
            "false" | "no" | "off" | "n" | "0" => Ok(false),
            _ => Err(format!("must be true or false, but is {text:?}")),
        })
    }

    fn integer<T: FromStr>(&mut self, at: &Cursor<'_>, key: &str) -> Option<T> {
        let range = format!("between {} and {}", bounds::<T>().0, bounds::<T>().1);
        self.parsed(at, key, |text| {
            text.parse()
                .map_err(|_| format!("{text:?} is not a whole number {range}"))
        })
    }

    fn number(&mut self, at: &Cursor<'_>, key: &str) -> Option<f64> {
        self.parsed(at, key, |text| match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("{text:?} is not a number")),
        })
    }

    fn size(&mut self, at: &Cursor<'_>, key: &str) -> Option<u64> {
        self.parsed(at, key, model::size::parse)
    }

    fn duration(&mut self, at: &Cursor<'_>, key: &str) -> Option<Duration> {
        self.parsed(at, key, model::duration::parse_with_days)
    }

    fn cpus(&mut self, at: &Cursor<'_>, key: &str) -> Option<u64> {
        self.parsed(at, key, model::limits::parse_cpus)
    }

    /// One of a few words.
    fn word<T: Copy>(&mut self, at: &Cursor<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.filled(at, key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let child = at.child(key)?;
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = match schema::nearest(&text, known.iter().copied()) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => format!("use one of {}", known.join(", ")),
        };
        self.error_with_hint(&child, format!("unknown value {text:?}"), hint);
        None
    }

    fn texts(&mut self, at: &Cursor<'_>, key: &str) -> Vec<String> {
        self.list(at, key, |decoder, item| {
            let text = item.node.scalar_text();
            if text.is_none() {
                decoder.error(
                    item,
                    format!("must be a string, but is {}", item.node.kind()),
                );
            }
            text
        })
    }

    /// Every item of a list, as far as it can be read.
    fn list<T>(
        &mut self,
        at: &Cursor<'_>,
        key: &str,
        mut read: impl FnMut(&mut Self, &Cursor<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(child) = at.child(key) else {
            return Vec::new();
        };
        child.items().filter_map(|item| read(self, &item)).collect()
    }

    /// Every item of a list of strings, read by a parser.
    fn parsed_list<T, E: Display>(
        &mut self,
        at: &Cursor<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        self.list(at, key, |decoder, item| {
            let text = item.node.scalar_text().unwrap_or_default();
            parse(&text)
                .map_err(|error| decoder.error(item, error.to_string()))
                .ok()
        })
    }

    /// `None`, or the words of a command line: empty means "cleared".
    fn words(&mut self, at: &Cursor<'_>, key: &str) -> Option<Vec<String>> {
        at.child(key)?;
        Some(self.texts(at, key))
    }

    /// A mapping of scalars; null stays `None`.
    fn pairs(&mut self, at: &Cursor<'_>, key: &str) -> BTreeMap<String, Option<String>> {
        let mut pairs = BTreeMap::new();
        for (name, cursor) in self.entries(at, key) {
            if name.is_empty() {
                self.error(&cursor, "a name is empty");
                continue;
            }
            pairs.insert(name.to_owned(), cursor.node.scalar_text());
        }
        pairs
    }

    /// A mapping of scalars; null is the empty text.
    fn table(&mut self, at: &Cursor<'_>, key: &str) -> BTreeMap<String, String> {
        self.pairs(at, key)
            .into_iter()
            .map(|(name, value)| (name, value.unwrap_or_default()))
            .collect()
    }
}

/// The smallest and largest value of an integer type, as text.
fn bounds<T>() -> (String, String) {
    match std::any::type_name::<T>() {
        "u16" => ("0".into(), u16::MAX.to_string()),
        "u32" => ("0".into(), u32::MAX.to_string()),
        "u64" => ("0".into(), u64::MAX.to_string()),
        "i32" => (i32::MIN.to_string(), i32::MAX.to_string()),
        _ => (i64::MIN.to_string(), i64::MAX.to_string()),
    }
}

/// Permission bits: a number as YAML read it, or octal text.
fn mode(node: &Node) -> Option<u32> {
    let bits = match &node.value {
        Value::Int(number) => u32::try_from(*number).ok()?,
        Value::String(text) => {
            u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok()?
        }
        _ => return None,
    };
    (bits <= 0o7777).then_some(bits)
}

fn extensions_of(node: &Node) -> Extensions {
    node.as_map().map(extensions).unwrap_or_default()
}

/// The `x-` keys of a mapping.
pub(crate) fn extensions(map: &Map) -> Extensions {
    map.iter()
        .filter(|entry| entry.key.starts_with("x-"))
        .map(|entry| (entry.key.clone(), to_json(&entry.node)))
        .collect()
}

/// A node as JSON, word for word.
pub(crate) fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => {
            serde_json::Number::from_f64(*value).map_or(serde_json::Value::Null, Into::into)
        }
        Value::String(text) => text.as_str().into(),
        Value::List(list) => list.iter().map(to_json).collect(),
        Value::Map(map) => serde_json::Value::Object(
            map.iter()
                .map(|entry| (entry.key.clone(), to_json(&entry.node)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests;
