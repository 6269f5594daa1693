//! `include`: whole Compose files, with their own directory and variables, under this one.
//! Source: Compose Specification `14-include.md`.

use super::{Loader, Scope};
use crate::canonical::Form;
use crate::diagnostic::Place;
use crate::environment::{self, Environment};
use crate::merge;
use crate::paths;
use crate::tree::{Map, Node, Value};
use std::path::{Path, PathBuf};

/// One entry of `include`.
#[derive(Debug)]
struct Include {
    place: Place,
    /// How the entry is called in messages.
    at: String,
    files: Vec<String>,
    project_directory: Option<String>,
    env_files: Option<Vec<String>>,
}

/// An error was reported.
#[derive(Debug)]
pub(super) struct Failed;

impl Loader<'_> {
    /// Takes `include` out of a document and loads what it names.
    pub(super) fn include(
        &mut self,
        document: &mut Node,
        scope: Scope<'_>,
        including: &mut Vec<PathBuf>,
    ) -> Result<Option<Node>, Failed> {
        let Some(entry) = document
            .as_map_mut()
            .and_then(|root| root.remove("include"))
        else {
            return Ok(None);
        };
        let Value::List(list) = entry.node.value else {
            return Ok(None);
        };
        let mut merged: Option<Node> = None;
        let mut failed = false;
        for (number, item) in list.iter().enumerate() {
            let include = read(item, format!("include[{number}]"));
            let Some(included) = self.included(&include, scope, including) else {
                failed = true;
                continue;
            };
            merged = Some(match merged {
                Some(base) => merge_different(self.form, base, included),
                None => included,
            });
        }
        if failed { Err(Failed) } else { Ok(merged) }
    }

    fn included(
        &mut self,
        include: &Include,
        scope: Scope<'_>,
        including: &mut Vec<PathBuf>,
    ) -> Option<Node> {
        let resolve = |path: &str| paths::resolve(scope.base_dir, path, None);
        let mut files = Vec::with_capacity(include.files.len());
        for file in &include.files {
            files.push(match paths::is_remote(file) {
                true => self.fetch(file, include.place, &include.at)?,
                false => resolve(file),
            });
        }
        let first = self.includable(include, &files, including)?;
        let directory = match &include.project_directory {
            Some(directory) => resolve(directory),
            None => first
                .parent()
                .map(Path::to_owned)
                .unwrap_or_else(|| scope.base_dir.to_owned()),
        };
        let environment = self.included_environment(include, &directory, scope)?;
        let mut parsed = Vec::with_capacity(files.len());
        for file in files {
            let documents = self.parse(&file, Some((include.place, &include.at)))?;
            parsed.push((file, documents));
        }
        let mut node = self.assemble(
            parsed,
            Scope {
                base_dir: &directory,
                environment: &environment,
            },
            including,
        )?;
        if let Some(map) = node.as_map_mut() {
            map.remove("name");
            contexts(map, &directory);
        }
        Some(node)
    }

    /// The first of the files, when all of them can be included here.
    fn includable<'f>(
        &mut self,
        include: &Include,
        files: &'f [PathBuf],
        including: &[PathBuf],
    ) -> Option<&'f PathBuf> {
        let mut refuse = |message: String, hint| {
            self.error(include.place, &include.at, message, hint);
            None
        };
        if let Some(again) = files.iter().find(|file| including.contains(file)) {
            let chain: Vec<_> = including
                .iter()
                .chain([again])
                .map(|file| file.display().to_string())
                .collect();
            let message = format!(
                "files include each other in a circle: {}",
                chain.join(" -> ")
            );
            return refuse(message, "take the common part into a file of its own");
        }
        files
            .first()
            .or_else(|| refuse("names no file".into(), "add \"path: FILE\""))
    }

    /// The included project's `.env` or `env_file`, over which the variables of this project win.
    fn included_environment(
        &mut self,
        include: &Include,
        directory: &Path,
        scope: Scope<'_>,
    ) -> Option<Environment> {
        let files: Vec<PathBuf> = match &include.env_files {
            Some(named) => named
                .iter()
                .map(|file| paths::resolve(scope.base_dir, file, None))
                .collect(),
            None => {
                let default = directory.join(".env");
                if self.files.is_file(&default) {
                    vec![default]
                } else {
                    Vec::new()
                }
            }
        };
        let mut warnings = Vec::new();
        let loaded = environment::load(
            &files,
            scope.environment,
            self.files,
            &mut self.sources,
            &mut warnings,
        );
        self.diagnostics.append(&mut warnings);
        loaded.map_err(|error| self.diagnostics.push(*error)).ok()
    }
}

/// A build without a context is one of the included project's directory.
fn contexts(root: &mut Map, directory: &Path) {
    let services = root.get_mut("services").and_then(Node::as_map_mut);
    for (_, service) in services.into_iter().flat_map(Map::values_mut) {
        let build = service.as_map_mut().and_then(|map| map.get_mut("build"));
        let Some(place) = build.as_ref().map(|build| build.place) else {
            continue;
        };
        if let Some(build) = build.and_then(Node::as_map_mut)
            && !build.contains("context")
        {
            let context = Node::string(directory.to_string_lossy(), place);
            build.insert("context", place, context);
        }
    }
}

fn read(item: &Node, at: String) -> Include {
    let texts = |node: &Node| match node.as_list() {
        Some(list) => list.iter().filter_map(Node::scalar_text).collect(),
        None => node.scalar_text().into_iter().collect::<Vec<_>>(),
    };
    Include {
        place: item.place,
        at,
        files: item.get("path").map(texts).unwrap_or_else(|| texts(item)),
        project_directory: item.get("project_directory").and_then(Node::scalar_text),
        env_files: item.get("env_file").map(texts),
    }
}

/// Merges two included models. What came in twice the same way (two files include a third) stays single.
fn merge_different(form: Form, base: Node, mut over: Node) -> Node {
    if let Some(sections) = over.as_map_mut() {
        for (section, node) in sections.values_mut() {
            let Some(known) = base.get(section).and_then(Node::as_map) else {
                continue;
            };
            if let Some(map) = node.as_map_mut() {
                map.retain(|entry| match known.get(&entry.key) {
                    Some(same) => merge::value_text(same) != merge::value_text(&entry.node),
                    None => true,
                });
            }
        }
    }
    merge::merge(form, base, over, &[])
}
