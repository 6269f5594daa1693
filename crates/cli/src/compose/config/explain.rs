//! `config --explain`: where a variable, or the value of a key, comes from.

use crate::failure::{Failure, Outcome};
use crate::output;
use compose::files::HostFiles;
use compose_file::{Options, Project};

/// `name` is a path of the project (`services.web.image`), else a variable.
pub(super) fn explain(name: &str, project: &Project, options: &Options) -> Outcome {
    let text = match name.contains('.') {
        true => key(name, project)?,
        false => variable(name, project, options)?,
    };
    output::line(text)?;
    Ok(0)
}

fn key(path: &str, project: &Project) -> Result<String, Failure> {
    match project.written_at(path) {
        Some(place) => Ok(place.render()),
        None => {
            let tree = compose_file::to_value(project);
            let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
            match tree.pointer(&pointer) {
                Some(value) => Ok(format!("{path}: {value} is a default: no file says it")),
                None => Err(Failure::said(format!("{path} is not in the project"))
                    .hint("`config` prints every key there is")),
            }
        }
    }
}

/// The environment of the process wins over the env files, and a later file over an earlier one.
fn variable(name: &str, project: &Project, options: &Options) -> Result<String, Failure> {
    let Some(value) = project.environment.get(name) else {
        return Ok(format!(
            "{name} is not set: neither in the environment nor in {}",
            files(project)
        ));
    };
    if options.environment.contains_key(name) {
        return Ok(format!(
            "{name}={value}\n  from the environment of this command"
        ));
    }
    match compose_file::assigned_in(project, name, &HostFiles) {
        Some(place) => Ok(format!("{name}={value}\n  from {place}")),
        None => Ok(format!(
            "{name}={value}\n  set by compose: the name of the project"
        )),
    }
}

fn files(project: &Project) -> String {
    let names: Vec<String> = project
        .env_files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    match names.is_empty() {
        true => "an env file (there is none)".into(),
        false => names.join(", "),
    }
}
