//! The canonical form of one document: every short form lifted to its long one, lists of `KEY=value` to
//! mappings, relative paths made absolute. After it, merging and decoding know a single form of each key.
//!
//! Source: Compose Specification chapters on short syntax; compose-go `transform` and `paths`.

mod legacy;
mod mounts;
mod service;

use crate::diagnostic::{Diagnostic, Place, Severity, Sources};
use crate::paths;
use crate::tree::{Map, Node, Value, join};
use std::path::Path;

pub(crate) use legacy::lift_version_one;

/// Which short forms are lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// All of them: what can be typed.
    Long,
    /// Those that docker compose lifts before it knows any type (`config --no-interpolate`): commands and lists of
    /// `KEY=value` stay as they are written.
    AsWritten,
}

/// What lifting needs to know, and what it has to say.
#[derive(Debug)]
pub(crate) struct Canonical<'a> {
    /// Where relative paths of this document begin.
    pub(crate) base_dir: &'a Path,
    pub(crate) home: Option<&'a str>,
    pub(crate) resolve_paths: bool,
    /// Without interpolation, what cannot be read may still hold a variable: it is left as it is.
    pub(crate) interpolated: bool,
    pub(crate) form: Form,
    pub(crate) sources: &'a Sources,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Canonical<'_> {
    /// Lifts a whole document.
    pub(crate) fn document(&mut self, document: &mut Node) {
        let Some(root) = document.as_map_mut() else {
            return;
        };
        for (name, service) in children(root, "services") {
            self.service(service, &join("services", name));
        }
        for (name, job) in children(root, "jobs") {
            self.service(job, &join("jobs", name));
            if self.form == Form::Long {
                schedules(job);
            }
        }
        for (name, network) in children(root, "networks") {
            self.external(network, &join("networks", name));
            self.pairs(network, "labels");
        }
        for (name, volume) in children(root, "volumes") {
            self.external(volume, &join("volumes", name));
            self.pairs(volume, "labels");
            self.bind_device(volume);
        }
        for section in ["configs", "secrets"] {
            for (name, object) in children(root, section) {
                self.external(object, &join(section, name));
                self.pairs(object, "labels");
                self.absolute(object, "file");
            }
        }
    }

    /// A list of `KEY=value` becomes a mapping.
    fn pairs(&self, node: &mut Node, key: &str) {
        if self.form == Form::Long {
            pairs_to_map(node, key);
        }
    }

    pub(crate) fn warn(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.diagnostics.push(
            self.sources
                .diagnostic(Severity::Warning, place, path, message),
        );
    }

    fn error(&mut self, place: Place, path: &str, message: impl Into<String>, hint: &str) {
        let error = self
            .sources
            .diagnostic(Severity::Error, place, path, message);
        self.diagnostics.push(if hint.is_empty() {
            error
        } else {
            error.with_hint(hint)
        });
    }

    /// An absolute path for a path of the file; one that is absolute stays as it is written.
    fn resolve(&self, path: &str) -> String {
        match self.resolve_paths && !paths::is_absolute(path) {
            true => paths::resolve(self.base_dir, path, self.home)
                .to_string_lossy()
                .into_owned(),
            false => path.to_owned(),
        }
    }

    /// Makes the path under `key` absolute.
    fn absolute(&self, node: &mut Node, key: &str) {
        if let Some(Value::String(path)) = node
            .as_map_mut()
            .and_then(|map| map.get_mut(key))
            .map(|node| &mut node.value)
        {
            *path = self.resolve(path);
        }
    }

    /// `external: {name: x}` of older files becomes `external: true` and `name: x`.
    fn external(&mut self, node: &mut Node, path: &str) {
        let Some(map) = node.as_map_mut() else { return };
        let Some(external) = map
            .get_mut("external")
            .filter(|node| node.as_map().is_some())
        else {
            return;
        };
        let place = external.place;
        let name = external.as_map_mut().and_then(|inner| inner.remove("name"));
        external.value = Value::Bool(true);
        if let Some(name) = name.filter(|_| !map.contains("name")) {
            map.insert("name", name.place, name.node);
        }
        self.warn(
            place,
            &join(path, "external.name"),
            "external.name is deprecated; write name and external: true",
        );
    }

    /// A relative `device` of a bind-mounted volume (`driver_opts: {o: bind, device: ./data}`).
    fn bind_device(&self, volume: &mut Node) {
        let Some(options) = volume
            .as_map_mut()
            .and_then(|map| map.get_mut("driver_opts"))
        else {
            return;
        };
        let is_bind = options
            .get("o")
            .and_then(Node::as_str)
            .is_some_and(|o| o.split(',').any(|word| word == "bind"));
        if is_bind {
            self.absolute(options, "device");
        }
    }
}

/// The entries of a section that are mappings, or could become ones.
fn children<'m>(root: &'m mut Map, section: &str) -> impl Iterator<Item = (&'m str, &'m mut Node)> {
    root.get_mut(section)
        .and_then(Node::as_map_mut)
        .into_iter()
        .flat_map(Map::values_mut)
}

/// The value under `key`, to be lifted; nothing when it is absent or null.
fn child<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    node.as_map_mut()?
        .get_mut(key)
        .filter(|node| !node.is_null())
}

/// A mapping of one entry.
fn single(key: &str, value: Node) -> Value {
    let mut map = Map::new();
    map.insert(key, value.place, value);
    Value::Map(map)
}

/// `- "0 3 * * *"` becomes `- cron: "0 3 * * *"`.
fn schedules(job: &mut Node) {
    let Some(triggers) = child(job, "triggers") else {
        return;
    };
    to_list(triggers, "schedule");
    let Some(Value::List(schedules)) = child(triggers, "schedule").map(|node| &mut node.value)
    else {
        return;
    };
    for schedule in schedules {
        if let Some(text) = schedule.scalar_text() {
            schedule.value = single("cron", Node::string(text, schedule.place));
        }
    }
}

/// `x` becomes `[x]`.
fn to_list(node: &mut Node, key: &str) {
    if let Some(child) = child(node, key)
        && child.scalar_text().is_some()
    {
        let inner = Node::new(
            std::mem::replace(&mut child.value, Value::Null),
            child.place,
        );
        child.value = Value::List(vec![inner]);
    }
}

/// A list of `KEY=value` becomes a mapping; of equal keys the last wins. A bare `KEY` gets null.
fn pairs_to_map(node: &mut Node, key: &str) {
    let Some(child) = child(node, key) else {
        return;
    };
    let Value::List(list) = &mut child.value else {
        return;
    };
    let mut map = Map::new();
    for item in std::mem::take(list) {
        let Some(text) = item.scalar_text() else {
            continue;
        };
        match text.split_once('=') {
            Some((name, value)) => map.insert(name, item.place, Node::string(value, item.place)),
            None => map.insert(text, item.place, Node::new(Value::Null, item.place)),
        }
    }
    child.value = Value::Map(map);
}

#[cfg(test)]
mod tests;
