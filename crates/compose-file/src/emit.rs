//! A project back to text: the canonical form `config` prints, as YAML or JSON.
//!
//! What is printed can be loaded again and means the same. Source: docker compose `config`.

mod build;
mod deploy;
mod job;
mod json;
mod mounts;
mod resource;
mod service;
mod yaml;

pub use json::config_json;
pub(crate) use json::hashed;

use crate::project::{Extensions, Project, Service};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Why a project could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    #[error("cannot print the project as JSON")]
    Json(#[source] serde_json::Error),
}

/// The canonical form as YAML.
pub fn to_yaml(project: &Project) -> Result<String, EmitError> {
    yaml(&escaped(to_value(project)))
}

/// The canonical form as JSON, indented by two blanks: what the YAML says, to be loaded again.
pub fn to_json(project: &Project) -> Result<String, EmitError> {
    serde_json::to_string_pretty(&escaped(to_value(project))).map_err(EmitError::Json)
}

/// Any tree as JSON (for [`crate::load_tree`]).
pub fn json(value: &Value) -> Result<String, EmitError> {
    let text = serde_json::to_string_pretty(value).map_err(EmitError::Json)?;
    Ok(json::as_go(&text))
}

/// Any tree as YAML (for [`crate::load_tree`]).
pub fn yaml(value: &Value) -> Result<String, EmitError> {
    Ok(yaml::document(value))
}

/// The canonical form as data. Active services are sorted by name, as docker compose prints them.
pub fn to_value(project: &Project) -> Value {
    let mut object = Object::new();
    object.set("name", project.name.as_str());
    // A job that is among the services for a while (`up`, `run`) is still one.
    let (jobs, services): (Vec<&Service>, Vec<&Service>) = project
        .services
        .iter()
        .chain(&project.jobs)
        .partition(|service| service.triggers.is_some());
    let with_files = !project.environment_resolved;
    object.set("services", service_values(services, with_files));
    if !jobs.is_empty() {
        object.set("jobs", service_values(jobs, with_files));
    }
    object.section("networks", &project.networks, resource::network);
    object.section("volumes", &project.volumes, resource::volume);
    object.section("secrets", &project.secrets, resource::file_object);
    object.section("configs", &project.configs, resource::file_object);
    object.section("models", &project.models, resource::ai_model);
    object.extensions(&project.extensions);
    let mut value = object.into_value();
    project
        .within
        .iter()
        .for_each(|within| within.put_into(&mut value));
    value
}

fn service_values(mut services: Vec<&Service>, with_files: bool) -> Map<String, Value> {
    services.sort_by(|a, b| yaml::natural(&a.name, &b.name));
    let value = |service: &&Service| (service.name.clone(), service_value(service, with_files));
    services.iter().map(value).collect()
}

/// One service; `with_files` keeps `env_file` and `label_file`, whose contents are not read yet.
pub(crate) fn service_value(service: &Service, with_files: bool) -> Value {
    service::value(service, with_files).in_order(&service::ORDER)
}

/// Every mapping in the order of its keys.
pub(crate) fn by_name(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(by_name).collect(),
        Value::Object(map) => {
            let entries = map.into_iter().map(|(key, value)| (key, by_name(value)));
            Object(entries.collect()).in_order(&[])
        }
        other => other,
    }
}

/// `$` in values doubled, so that the text is read again as it is.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('$', "$$")),
        Value::Array(list) => list.into_iter().map(escaped).collect(),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, escaped(value)))
                .collect(),
        ),
        other => other,
    }
}

/// A mapping under construction that leaves out what was not said.
#[derive(Debug, Default)]
struct Object(Map<String, Value>);

impl Object {
    fn new() -> Self {
        Self::default()
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn option<T: Into<Value>>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    fn text(&mut self, key: &str, value: &Option<String>) {
        self.option(key, value.as_deref());
    }

    /// Only `true` is worth saying.
    fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.set(key, true);
        }
    }

    fn list<T>(&mut self, key: &str, items: &[T], show: impl Fn(&T) -> Value) {
        if !items.is_empty() {
            self.set(key, items.iter().map(show).collect::<Vec<_>>());
        }
    }

    fn texts(&mut self, key: &str, items: &[String]) {
        self.list(key, items, |text| text.as_str().into());
    }

    fn shown<T: ToString>(&mut self, key: &str, items: &[T]) {
        self.list(key, items, |item| item.to_string().into());
    }

    fn table(&mut self, key: &str, table: &BTreeMap<String, String>) {
        let entries = table
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()));
        self.entries(key, entries);
    }

    /// A mapping whose keys are the user's.
    fn entries(&mut self, key: &str, entries: impl Iterator<Item = (String, Value)>) {
        let map = Object(entries.collect());
        if !map.0.is_empty() {
            self.set(key, map.in_order(&[]));
        }
    }

    fn pairs(&mut self, key: &str, pairs: &BTreeMap<String, Option<String>>) {
        let value = |value: &Option<String>| value.as_deref().map_or(Value::Null, Value::from);
        self.entries(
            key,
            pairs.iter().map(|(name, text)| (name.clone(), value(text))),
        );
    }

    /// Bytes, as a decimal text.
    fn size(&mut self, key: &str, value: Option<u64>) {
        self.option(key, value.map(|bytes| bytes.to_string()));
    }

    fn duration(&mut self, key: &str, value: Option<Duration>) {
        self.option(key, value.map(model::duration::format));
    }

    fn object(&mut self, key: &str, object: Object) {
        if !object.0.is_empty() {
            self.set(key, object.0);
        }
    }

    fn section<T>(
        &mut self,
        key: &str,
        entries: &BTreeMap<String, T>,
        show: impl Fn(&T) -> Object,
    ) {
        let shown = entries
            .iter()
            .map(|(name, value)| (name.clone(), show(value).into_value()));
        self.entries(key, shown);
    }

    fn extensions(&mut self, extensions: &Extensions) {
        let mut sorted: Vec<_> = extensions.iter().collect();
        sorted.sort_by(|(a, _), (b, _)| yaml::natural(a, b));
        let entries = sorted.into_iter();
        self.0
            .extend(entries.map(|(key, value)| (key.clone(), by_name(value.clone()))));
    }

    /// Null when there is nothing to say.
    fn into_value(self) -> Value {
        if self.0.is_empty() {
            Value::Null
        } else {
            Value::Object(self.0)
        }
    }

    /// Keys in the order of a list, then the others by name.
    fn in_order(self, order: &[&str]) -> Value {
        let rank = |key: &str| {
            order
                .iter()
                .position(|known| *known == key)
                .unwrap_or(order.len())
        };
        let mut entries: Vec<(String, Value)> = self.0.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| yaml::natural(a, b)));
        Value::Object(entries.into_iter().collect())
    }
}

/// Billionths of a CPU as a number of CPUs.
fn cpus(nanos: Option<u64>) -> Option<f64> {
    nanos.map(|nanos| nanos as f64 / 1e9)
}

#[cfg(test)]
mod tests;
