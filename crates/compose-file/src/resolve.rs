//! What services take from outside the Compose file: `env_file`, `label_file`, bare `KEY` entries, and
//! the variables behind configs and secrets.
//! Source: Compose Specification `05-services.md` "env_file", "environment", "label_file".

use crate::diagnostic::{Diagnostic, Severity};
use crate::env_file;
use crate::environment::{read_text, syntax};
use crate::files::Files;
use crate::options::Options;
use crate::project::{EnvFile, EnvFormat, FileSource, Project, Service};
use crate::template;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Variables = BTreeMap<String, Option<String>>;

/// Fills in every active service's environment and labels. A warning of `earlier` about an unset variable that an
/// `env_file` does set gets a hint: the two are easily confused.
pub(crate) fn environment(
    project: &mut Project,
    needed: &BTreeSet<String>,
    files: &dyn Files,
    earlier: &mut [Diagnostic],
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut services = std::mem::take(&mut project.services);
    let mut jobs = std::mem::take(&mut project.jobs);
    for service in services.iter_mut().chain(&mut jobs) {
        let mut found = Vec::new();
        service_environment(project, service, files, &mut found, earlier);
        service_labels(project, service, files, &mut found);
        if needed.contains(&service.name) {
            diagnostics.append(&mut found);
        }
    }
    project.services = services;
    project.jobs = jobs;
    let environment = &project.environment;
    for object in project
        .configs
        .values_mut()
        .chain(project.secrets.values_mut())
    {
        if let FileSource::Environment { variable, value } = &mut object.source {
            *value = environment.get(variable).cloned();
        }
    }
    diagnostics
}

/// The services whose environment the command needs whole.
pub(crate) fn needed(project: &Project, options: &Options) -> BTreeSet<String> {
    let all = options.services.is_empty() && options.needs_environment;
    let mut needed: BTreeSet<String> = match all {
        true => {
            let jobs = project.jobs.iter().map(|job| job.name.as_str());
            project
                .service_names()
                .chain(jobs)
                .map(str::to_owned)
                .collect()
        }
        false if options.needs_environment => options.services.iter().cloned().collect(),
        false => BTreeSet::new(),
    };
    loop {
        let all = project.services.iter().chain(&project.jobs);
        let services = all.filter(|s| needed.contains(&s.name));
        let further: Vec<String> = services
            .flat_map(|s| s.depends_on.keys())
            .filter(|name| !needed.contains(*name))
            .cloned()
            .collect();
        if further.is_empty() {
            return needed;
        }
        needed.extend(further);
    }
}

/// Which of the project's env files gives `name` its value: `path:line`. The last one that names it wins.
pub fn assigned_in(project: &Project, name: &str, files: &dyn Files) -> Option<String> {
    project.env_files.iter().rev().find_map(|path| {
        let text = read_text(path, files, "env file").ok()?;
        let lookup = |name: &str| project.environment.get(name).cloned();
        let parsed = env_file::parse(&text, &lookup).ok()?;
        parsed.assignments.iter().find(|(key, _)| key == name)?;
        let assigns = |line: &str| {
            let line = line.trim_start();
            let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
            let rest = line.strip_prefix(name).map(str::trim_start);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', ':']))
        };
        let line = text
            .lines()
            .collect::<Vec<_>>()
            .iter()
            .rposition(|line| assigns(line));
        Some(match line {
            Some(line) => format!("{}:{}", path.display(), line + 1),
            None => path.display().to_string(),
        })
    })
}

fn service_environment(
    project: &Project,
    service: &mut Service,
    files: &dyn Files,
    diagnostics: &mut Vec<Diagnostic>,
    earlier: &mut [Diagnostic],
) {
    let mut variables = Variables::new();
    for (number, env_file) in service.env_file.iter().enumerate() {
        if !env_file.required && !files.is_file(&env_file.path) {
            continue;
        }
        let path = format!("services.{}.env_file[{number}]", service.name);
        let known = |name: &str| {
            let here = || {
                service
                    .environment
                    .get(name)
                    .or_else(|| variables.get(name))
            };
            let outer = project.environment.get(name);
            outer.cloned().or_else(|| here().cloned().flatten())
        };
        match read_env_file(project, env_file, files, &known) {
            Ok((read, mut warnings)) => {
                explain_unset(&read, &env_file.path, earlier);
                variables.extend(read);
                diagnostics.append(&mut warnings);
            }
            Err(error) => diagnostics.push(located(project, *error, &path)),
        }
    }
    variables.extend(std::mem::take(&mut service.environment));
    for (key, value) in &mut variables {
        if value.is_none() {
            *value = project.environment.get(key).cloned();
        }
    }
    service.environment = variables;
}

fn explain_unset(read: &Variables, path: &Path, earlier: &mut [Diagnostic]) {
    for warning in earlier
        .iter_mut()
        .filter(|told| told.severity == Severity::Warning && told.hint.is_none())
    {
        if let Some(name) = read
            .keys()
            .find(|name| warning.message == template::unset_message(name))
        {
            warning.hint = Some(format!(
                "{} sets {name}, but an env_file only reaches the container; put {name} into .env, or give the file with --env-file",
                path.display()
            ));
        }
    }
}

/// A file sees the project's environment, then the service's, then the files before it, then its own earlier keys.
fn read_env_file(
    project: &Project,
    env_file: &EnvFile,
    files: &dyn Files,
    known: template::Lookup<'_>,
) -> Result<(Variables, Vec<Diagnostic>), Box<Diagnostic>> {
    let text = read_text(&env_file.path, files, "env file")?;
    if env_file.format == EnvFormat::Raw {
        return Ok((env_file::parse_raw(&text).into_iter().collect(), Vec::new()));
    }
    let (assignments, warnings) = parse(project, &env_file.path, &text, known)?;
    Ok((assignments.into_iter().collect(), warnings))
}

fn parse(
    project: &Project,
    path: &Path,
    text: &str,
    known: template::Lookup<'_>,
) -> Result<(Vec<env_file::Assignment>, Vec<Diagnostic>), Box<Diagnostic>> {
    let parsed = env_file::parse(text, known)
        .map_err(|error| syntax(path, text, &error, &mut project.places.sources.clone()))?;
    let warn = |name: String| {
        let message = template::unset_message(&name);
        let mut warning = Diagnostic::new(Severity::Warning, message);
        warning.file = Some(path.to_owned());
        warning
    };
    Ok((
        parsed.assignments,
        parsed.unset.into_iter().map(warn).collect(),
    ))
}

fn service_labels(
    project: &Project,
    service: &mut Service,
    files: &dyn Files,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut labels = BTreeMap::new();
    let known = |name: &str| project.environment.get(name).cloned();
    for (number, file) in service.label_file.iter().enumerate() {
        let read = read_text(file, files, "label file")
            .and_then(|text| parse(project, file, &text, &known));
        match read {
            Ok((assignments, mut warnings)) => {
                labels.extend(
                    assignments
                        .into_iter()
                        .map(|(key, value)| (key, value.unwrap_or_default())),
                );
                diagnostics.append(&mut warnings);
            }
            Err(error) => {
                let path = format!("services.{}.label_file[{number}]", service.name);
                diagnostics.push(located(project, *error, &path));
            }
        }
    }
    labels.extend(std::mem::take(&mut service.labels));
    service.labels = labels;
}

/// An error without a place of its own gets the one of the key that asked for the file.
fn located(project: &Project, error: Diagnostic, path: &str) -> Diagnostic {
    if error.file.is_some() {
        return error;
    }
    let mut placed = project.error_at(path, error.message);
    placed.hint = error.hint;
    placed
}
