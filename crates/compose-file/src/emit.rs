//! A project back to text: the canonical form `config` prints, as YAML or JSON.
//!
//! What is printed can be loaded again and means the same. Source: docker compose `config`.

mod build;
mod deploy;
mod mounts;
mod resource;
mod service;

use crate::project::{Extensions, Project, Service};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Why a project could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    #[error("cannot print the project as YAML: {0}")]
    Yaml(String),
    #[error("cannot print the project as JSON")]
    Json(#[source] serde_json::Error),
}

/// The canonical form as YAML.
pub fn to_yaml(project: &Project) -> Result<String, EmitError> {
    yaml(&escaped(to_value(project)))
}

/// The canonical form as JSON, indented by two blanks.
pub fn to_json(project: &Project) -> Result<String, EmitError> {
    serde_json::to_string_pretty(&escaped(to_value(project))).map_err(EmitError::Json)
}

/// Any tree as YAML (for [`crate::load_tree`]).
pub fn yaml(value: &Value) -> Result<String, EmitError> {
    let options =
        serde_saphyr::ser_options! { compact_list_indent: false, folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(value, options)
        .map_err(|error| EmitError::Yaml(error.to_string()))
}

/// The canonical form as data. Active services are sorted by name, as docker compose prints them.
pub fn to_value(project: &Project) -> Value {
    let mut object = Object::new();
    object.set("name", project.name.as_str());
    let mut services: Vec<&Service> = project.services.iter().collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let services = services.iter().map(|service| {
        (
            service.name.clone(),
            service_value(service, !project.environment_resolved),
        )
    });
    object
        .0
        .insert("services".into(), Value::Object(services.collect()));
    object.section("networks", &project.networks, resource::network);
    object.section("volumes", &project.volumes, resource::volume);
    object.section("secrets", &project.secrets, resource::file_object);
    object.section("configs", &project.configs, resource::file_object);
    object.section("models", &project.models, resource::ai_model);
    object.extensions(&project.extensions);
    object.into_value()
}

/// One service; `with_files` keeps `env_file` and `label_file`, whose contents are not read yet.
pub(crate) fn service_value(service: &Service, with_files: bool) -> Value {
    service::value(service, with_files).sorted()
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
        if !table.is_empty() {
            let entries = table
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into()));
            self.set(key, entries.collect::<Map<_, _>>());
        }
    }

    fn pairs(&mut self, key: &str, pairs: &BTreeMap<String, Option<String>>) {
        if !pairs.is_empty() {
            let value = |value: &Option<String>| value.as_deref().map_or(Value::Null, Value::from);
            let entries = pairs.iter().map(|(name, text)| (name.clone(), value(text)));
            self.set(key, entries.collect::<Map<_, _>>());
        }
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
        if !entries.is_empty() {
            let entries = entries
                .iter()
                .map(|(name, value)| (name.clone(), show(value).into_value()));
            self.set(key, entries.collect::<Map<_, _>>());
        }
    }

    fn extensions(&mut self, extensions: &Extensions) {
        self.0.extend(
            extensions
                .iter()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }

    /// Null when there is nothing to say.
    fn into_value(self) -> Value {
        if self.0.is_empty() {
            Value::Null
        } else {
            Value::Object(self.0)
        }
    }

    fn sorted(self) -> Value {
        let sorted: BTreeMap<String, Value> = self.0.into_iter().collect();
        Value::Object(sorted.into_iter().collect())
    }
}

/// Billionths of a CPU as a number of CPUs.
fn cpus(nanos: Option<u64>) -> Option<f64> {
    nanos.map(|nanos| nanos as f64 / 1e9)
}

#[cfg(test)]
mod tests;
