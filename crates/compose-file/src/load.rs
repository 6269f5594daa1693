//! The whole way from what the command says to a checked [`Project`]: the order of the phases, and nothing else.

use crate::assemble::{Loader, Scope};
use crate::canonical::Form;
use crate::decode;
use crate::diagnostic::{Diagnostic, Severity};
use crate::emit;
use crate::environment::{self, Environment};
use crate::files::Files;
use crate::lookup;
use crate::normalise;
use crate::options::{LoadError, Loaded, Options};
use crate::profiles;
use crate::resolve;
use crate::schema;
use crate::template::{self, Variable};
use crate::tree::Node;
use crate::validate;
use std::path::{Path, PathBuf};

/// Loads a project.
pub fn load(options: &Options, files: &dyn Files) -> Result<Loaded, LoadError> {
    let mut loader = Loader::new(options, files, Form::Long);
    match run(&mut loader) {
        Ok(mut loaded) => {
            loaded.warnings = loader.diagnostics;
            Ok(loaded)
        }
        Err(Stop) => Err(LoadError {
            diagnostics: loader.diagnostics,
        }),
    }
}

/// The merged tree as JSON, before anything is typed: `config --no-interpolate`, whose values may be variables. Of the
/// short forms only those are lifted that docker compose lifts there.
pub fn load_tree(
    options: &Options,
    files: &dyn Files,
) -> Result<(serde_json::Value, Vec<Diagnostic>), LoadError> {
    let mut loader = Loader::new(options, files, Form::AsWritten);
    match ready(&mut loader).and_then(|ready| merged(&mut loader, ready)) {
        Ok((ready, root)) => {
            let mut tree = decode::to_json(&root);
            if let Some(map) = tree.as_object_mut() {
                let known = normalise::tree::Known {
                    name: &ready.name,
                    context: match options.resolve_paths {
                        true => &ready.project_dir,
                        false => Path::new("."),
                    },
                };
                known.defaults(map);
                if options.normalize {
                    known.normalise(map);
                }
            }
            Ok((emit::by_name(tree), loader.diagnostics))
        }
        Err(Stop) => Err(LoadError {
            diagnostics: loader.diagnostics,
        }),
    }
}

/// Every variable the project's files use, by name (`config --variables`). What else is wrong does not matter here.
pub fn variables(options: &Options, files: &dyn Files) -> Result<Vec<Variable>, LoadError> {
    let mut loader = Loader::new(options, files, Form::Long);
    match ready(&mut loader) {
        Ok(ready) => {
            let _ = merged(&mut loader, ready);
            Ok(loader.interpolation.variables.into_iter().collect())
        }
        Err(Stop) => Err(LoadError {
            diagnostics: loader.diagnostics,
        }),
    }
}

/// Errors were reported to the loader.
#[derive(Debug)]
struct Stop;

/// Everything known before the first value is looked at.
#[derive(Debug)]
struct Ready {
    name: String,
    project_dir: PathBuf,
    files: Vec<PathBuf>,
    env_files: Vec<PathBuf>,
    environment: Environment,
    parsed: Vec<(PathBuf, Vec<Node>)>,
}

fn stop(loader: &mut Loader<'_>, error: Diagnostic) -> Stop {
    loader.diagnostics.push(error);
    Stop
}

/// Finds and parses the files, reads the environment, settles the name.
fn ready(loader: &mut Loader<'_>) -> Result<Ready, Stop> {
    let (options, files) = (loader.options, loader.files);
    // The `.env` of the current directory may say where the Compose file is.
    let env_files = environment::env_files(options, None, files);
    let early = read_environment(loader, &env_files, false)?;
    let found = lookup::find(options, &early, files).map_err(|error| stop(loader, *error))?;
    loader.diagnostics.extend(found.warnings);
    let env_files = environment::env_files(options, Some(&found.project_dir), files);
    let mut environment = read_environment(loader, &env_files, true)?;

    let mut parsed = Vec::with_capacity(found.files.len());
    for file in &found.files {
        if let Some(documents) = loader.parse(file, None) {
            parsed.push((file.clone(), documents));
        }
    }
    if loader.has_errors() {
        return Err(Stop);
    }
    if parsed.iter().all(|(_, documents)| documents.is_empty()) {
        let mut error = Diagnostic::new(Severity::Error, "empty compose file")
            .with_hint("add \"services:\" with at least one service");
        error.file = found.files.first().cloned();
        return Err(stop(loader, error));
    }
    let from_files = name_in_files(&parsed, &environment);
    let name = lookup::project_name(
        options,
        &environment,
        from_files.as_deref(),
        &found.named_after,
    )
    .map_err(|error| stop(loader, *error))?;
    environment.insert("COMPOSE_PROJECT_NAME".into(), name.clone());
    Ok(Ready {
        name,
        project_dir: found.project_dir,
        files: found.files,
        env_files,
        environment,
        parsed,
    })
}

fn read_environment(
    loader: &mut Loader<'_>,
    env_files: &[PathBuf],
    tell: bool,
) -> Result<Environment, Stop> {
    let mut warnings = Vec::new();
    let outer = &loader.options.environment;
    let read = environment::load(
        env_files,
        outer,
        loader.files,
        &mut loader.sources,
        &mut warnings,
    );
    if tell {
        loader.diagnostics.append(&mut warnings);
    }
    read.map_err(|error| stop(loader, *error))
}

/// The top-level `name` of the last file that has one, with its variables.
fn name_in_files(parsed: &[(PathBuf, Vec<Node>)], environment: &Environment) -> Option<String> {
    let documents = parsed.iter().flat_map(|(_, documents)| documents);
    let name = documents
        .filter_map(|document| document.get("name"))
        .next_back()?
        .scalar_text()?;
    let lookup = |name: &str| environment.get(name).cloned();
    template::substitute(&name, &lookup)
        .ok()
        .map(|result| result.text)
}

fn merged(loader: &mut Loader<'_>, mut ready: Ready) -> Result<(Ready, Node), Stop> {
    let parsed = std::mem::take(&mut ready.parsed);
    let scope = Scope {
        base_dir: &ready.project_dir,
        environment: &ready.environment,
    };
    let root = loader.assemble(parsed, scope, &mut Vec::new());
    match root {
        Some(root) if !loader.has_errors() => Ok((ready, root)),
        _ => Err(Stop),
    }
}

fn run(loader: &mut Loader<'_>) -> Result<Loaded, Stop> {
    let options = loader.options;
    let ready = ready(loader)?;
    let (ready, root) = merged(loader, ready)?;
    let empty = schema::empty_services(&root, &loader.sources);
    loader.diagnostics.extend(empty);
    let (mut project, errors) = decode::decode(&root, &loader.sources);
    loader.diagnostics.extend(errors);
    if loader.has_errors() {
        return Err(Stop);
    }
    project.name = ready.name;
    project.working_dir = ready.project_dir;
    project.files = ready.files;
    project.env_files = ready.env_files;
    project.profiles = lookup::profiles(options, &ready.environment);
    project.environment = ready.environment;

    loader
        .diagnostics
        .extend(profiles::select(&mut project, &options.services));
    if options.resolve_environment {
        project.environment_resolved = true;
        let needed = resolve::needed(&project, options);
        let found =
            resolve::environment(&mut project, &needed, loader.files, &mut loader.diagnostics);
        loader.diagnostics.extend(found);
    }
    if options.normalize {
        normalise::normalise(&mut project);
    }
    if options.check_consistency {
        loader.diagnostics.extend(validate::validate(&project));
    }
    match loader.has_errors() {
        true => Err(Stop),
        false => Ok(Loaded {
            project,
            warnings: Vec::new(),
        }),
    }
}

#[cfg(test)]
mod tests;
