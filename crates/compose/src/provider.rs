//! Services that a program of the user's brings up (`provider`): it is executed with the project's and the service's name, and
//! answers with lines of JSON, among them variables for the services that depend on it.
//!
//! ```text
//! <type> compose --project-name=shop up --size=10 --kind=a --kind=b database
//! {"type":"info","message":"…"}      also debug, error
//! {"type":"setenv","message":"URL=…"}     dependents get DATABASE_URL; with rawsetenv URL
//! ```
//! `docker-<type>` is tried first, as Docker's plug-ins are called. Source: docker/compose `docs/extension.md`.

mod remembered;

use crate::progress::{Event, Progress, State};
use compose_file::project::Provider;
use compose_file::{Project, Service};
use engine::Context;
use remembered::{Answer, Remembered};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "provider {kind:?} of service {service} is not there: neither docker-{kind} nor {kind} is in PATH"
    )]
    Missing { service: String, kind: String },
    #[error("cannot run provider {kind:?} of service {service}")]
    Run {
        service: String,
        kind: String,
        source: io::Error,
    },
    #[error("provider {kind:?} of service {service} failed to {verb}: {why}")]
    Failed {
        service: String,
        kind: String,
        verb: &'static str,
        why: String,
    },
    #[error(transparent)]
    Engine(Box<engine::Error>),
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// One line of the program.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

/// Brings up those of the services that have a provider, in dependency order. Gives the project with what their dependents get.
pub(crate) fn up<'a>(
    ctx: &Context,
    project: &'a Project,
    services: &[&Service],
    progress: &dyn Progress,
) -> Result<Cow<'a, Project>, Error> {
    let mut result = Cow::Borrowed(project);
    if services.iter().all(|service| service.provider.is_none()) {
        return Ok(result);
    }
    let mut remembered = Remembered::load(ctx, &project.name)?;
    for service in services {
        let Some(provider) = &service.provider else {
            continue;
        };
        let answer = Answer {
            arguments: arguments(project, service, provider, Verb::UP.word),
            variables: call(project, service, provider, Verb::UP, progress)?,
        };
        give(result.to_mut(), service, &answer.variables);
        remembered.services.insert(service.name.clone(), answer);
    }
    remembered.save(ctx, &project.name)?;
    Ok(result)
}

/// The project with what the dependents of providers were given the last time, no program being asked. One that was never asked, or
/// asked otherwise, gives nothing.
pub(crate) fn as_last<'a>(
    ctx: &Context,
    project: &'a Project,
    services: &[&Service],
) -> Result<Cow<'a, Project>, Error> {
    let mut result = Cow::Borrowed(project);
    let remembered = Remembered::load(ctx, &project.name)?;
    for service in services {
        let Some(provider) = &service.provider else {
            continue;
        };
        let words = arguments(project, service, provider, Verb::UP.word);
        let answer = remembered.services.get(&service.name);
        if let Some(answer) = answer.filter(|answer| answer.arguments == words) {
            give(result.to_mut(), service, &answer.variables);
        }
    }
    Ok(result)
}

/// Hands variables to those who depend on a service.
fn give(project: &mut Project, service: &Service, variables: &BTreeMap<String, String>) {
    let dependents = project.services.iter_mut();
    for dependent in dependents.filter(|s| s.depends_on.contains_key(&service.name)) {
        for (name, value) in variables {
            // What the file itself says is nearer.
            let entry = dependent.environment.entry(name.clone());
            entry.or_insert_with(|| Some(value.clone()));
        }
    }
}

/// Takes down what `up` brought up, dependents first.
pub fn down(ctx: &Context, project: &Project, progress: &dyn Progress) -> Result<(), Error> {
    every(project, Verb::DOWN, &[], progress)?;
    Ok(Remembered::forget(ctx, &project.name)?)
}

/// Stops the services named (none: all).
pub fn stop(project: &Project, named: &[String], progress: &dyn Progress) -> Result<(), Error> {
    every(project, Verb::STOP, named, progress)
}

fn every(
    project: &Project,
    verb: Verb,
    named: &[String],
    progress: &dyn Progress,
) -> Result<(), Error> {
    for service in project.in_dependency_order().into_iter().rev() {
        let wanted = named.is_empty() || named.contains(&service.name);
        if let Some(provider) = service.provider.as_ref().filter(|_| wanted) {
            call(project, service, provider, verb, progress)?;
        }
    }
    Ok(())
}

/// A command of the protocol, and what it is called while it goes on and after.
#[derive(Debug, Clone, Copy)]
struct Verb {
    word: &'static str,
    working: &'static str,
    done: &'static str,
}

impl Verb {
    const UP: Self = Self {
        word: "up",
        working: "Starting",
        done: "Started",
    };
    const DOWN: Self = Self {
        word: "down",
        working: "Removing",
        done: "Removed",
    };
    const STOP: Self = Self {
        word: "stop",
        working: "Stopping",
        done: "Stopped",
    };
}

fn call(
    project: &Project,
    service: &Service,
    provider: &Provider,
    verb: Verb,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, String>, Error> {
    let id = format!("Provider {}", service.name);
    let tell = |text: &str, state| {
        progress.event(Event {
            id: &id,
            text,
            state,
        });
    };
    tell(verb.working, State::Working);
    let mut heard = Heard::new(&service.name);
    let words = arguments(project, service, provider, verb.word);
    let mut line = |text: &str| {
        if let Some(message) = heard.hear(text) {
            tell(&message, State::Working);
        }
    };
    let plugin = format!("docker-{}", provider.kind);
    let mut ended = sys::helper::converse(&plugin, &words, &project.working_dir, &mut line);
    if matches!(&ended, Err(e) if e.kind() == io::ErrorKind::NotFound) {
        ended = sys::helper::converse(&provider.kind, &words, &project.working_dir, &mut line);
    }
    let (name, kind) = (service.name.clone(), provider.kind.clone());
    let failed = match ended {
        Ok(status) if status.success() && heard.error.is_none() => {
            tell(verb.done, State::Done);
            return Ok(heard.variables);
        }
        Ok(status) => Error::Failed {
            service: name,
            kind,
            verb: verb.word,
            why: heard.error.unwrap_or_else(|| status.to_string()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Error::Missing {
            service: name,
            kind,
        },
        Err(source) => Error::Run {
            service: name,
            kind,
            source,
        },
    };
    tell("Error", State::Failed);
    Err(failed)
}

fn arguments(project: &Project, service: &Service, provider: &Provider, verb: &str) -> Vec<String> {
    let mut words = vec![
        "compose".to_owned(),
        format!("--project-name={}", project.name),
        verb.to_owned(),
    ];
    for (key, values) in &provider.options {
        words.extend(values.iter().map(|value| format!("--{key}={value}")));
    }
    words.push(service.name.clone());
    words
}

/// What the program has said so far.
#[derive(Debug)]
struct Heard {
    prefix: String,
    variables: BTreeMap<String, String>,
    error: Option<String>,
}

impl Heard {
    fn new(service: &str) -> Self {
        Self {
            prefix: format!("{}_", service.to_uppercase().replace(['-', '.'], "_")),
            variables: BTreeMap::new(),
            error: None,
        }
    }

    /// Takes one line; gives what is to be shown.
    fn hear(&mut self, line: &str) -> Option<String> {
        if line.trim().is_empty() {
            return None;
        }
        let Ok(Message { kind, message }) = serde_json::from_str(line) else {
            self.error = Some(format!("it said what is no message: {line:?}"));
            return None;
        };
        match kind.as_str() {
            "info" => return Some(message),
            "error" => self.error = Some(message),
            "setenv" | "rawsetenv" => match message.split_once('=') {
                Some((key, value)) if !key.is_empty() => {
                    let prefix = if kind == "setenv" { &self.prefix } else { "" };
                    self.variables
                        .insert(format!("{prefix}{key}"), value.to_owned());
                }
                _ => self.error = Some(format!("{message:?} is no KEY=value")),
            },
            // `debug` is for those who write providers; what later versions add is not for us.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_says_becomes_variables_and_errors() {
        let mut heard = Heard::new("my-db");
        assert_eq!(
            heard
                .hear(r#"{"type":"info","message":"preparing"}"#)
                .as_deref(),
            Some("preparing")
        );
        for line in [
            r#"{"type":"setenv","message":"URL=a=b"}"#,
            r#"{"type":"rawsetenv","message":"PLAIN=1"}"#,
            r#"{"type":"debug","message":"x"}"#,
            r#"{"type":"of-later","other":1}"#,
            "",
        ] {
            assert_eq!(heard.hear(line), None);
        }
        let expected = [("MY_DB_URL", "a=b"), ("PLAIN", "1")];
        assert_eq!(
            heard.variables,
            expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        );
        assert_eq!(heard.error, None);
        for wrong in [
            "no json",
            r#"{"type":"setenv","message":"none"}"#,
            r#"{"type":"error","message":"x"}"#,
        ] {
            let mut heard = Heard::new("a");
            heard.hear(wrong);
            assert!(heard.error.is_some(), "{wrong}");
        }
    }
}
