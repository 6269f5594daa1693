//! `watch`: what `develop.watch` says is done when files of the host change.
//!
//! [`rule`] decides, [`tree`] hears of changes, and here is done what is to be done: files are copied into running containers,
//! containers restarted, commands run in them. Building an image anew and replacing containers is the caller's.
//! Source: Compose Develop Specification; docker/compose `pkg/compose/watch.go`.

mod rule;
mod tree;

use crate::execute;
use crate::observe::{self, Container, Status};
use crate::plan::{hooks, lifecycle};
use crate::up;
use compose_file::{Diagnostic, Project, Service};
use engine::Context;
use engine::container::names;
use engine::copy::{View, sync};
use rule::{Deed, Rule};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tree::Tree;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Rules that cannot be followed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Diagnostic>),
    #[error("none of the selected services is configured for watch: add develop.watch to one")]
    Nothing,
    #[error("cannot watch files")]
    Files(#[source] std::io::Error),
}

/// What happens while watching, for whoever shows it.
#[derive(Debug)]
pub enum News<'a> {
    Begun,
    /// Files were copied into a service's containers.
    Synced {
        service: &'a str,
        files: usize,
    },
    Restarted {
        service: &'a str,
    },
    Executed {
        service: &'a str,
        command: String,
    },
    Rebuilding {
        service: &'a str,
    },
    /// Something could not be done; the watching goes on.
    Failed {
        service: &'a str,
        why: String,
    },
}

/// What watching needs.
pub struct Watching<'a> {
    pub run: execute::Run<'a>,
    pub project: &'a Project,
    pub services: &'a [&'a Service],
    /// Builds a service's image and replaces its containers.
    pub rebuild: &'a (dyn Fn(&str) -> Result<(), String> + Sync),
    pub tell: &'a (dyn Fn(News<'_>) + Sync),
    /// Set from outside: it is over.
    pub over: &'a AtomicBool,
}

impl std::fmt::Debug for Watching<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watching")
            .field("run", &self.run)
            .field("project", &self.project.name)
            .finish_non_exhaustive()
    }
}

/// Finds what is wrong with the rules before anything is done.
pub fn check(project: &Project, services: &[&Service]) -> Result<(), Error> {
    let rules = Rule::all(project, services).map_err(Error::Invalid)?;
    if rules.is_empty() {
        return Err(Error::Nothing);
    }
    Ok(())
}

impl Watching<'_> {
    /// Watches until it is over.
    pub fn watch(&self) -> Result<(), Error> {
        let rules = Rule::all(self.project, self.services).map_err(Error::Invalid)?;
        if rules.is_empty() {
            return Err(Error::Nothing);
        }
        let roots: BTreeSet<PathBuf> = rules.iter().map(|r| r.watch.path.clone().into()).collect();
        // A directory is walked when some rule is about it.
        let skip = |path: &Path| {
            let mut about = rules
                .iter()
                .filter(|rule| path.starts_with(&rule.watch.path))
                .peekable();
            about.peek().is_some() && about.all(|rule| rule.leaves_out(path))
        };
        let mut tree = Tree::new(roots.into_iter().collect(), &skip).map_err(Error::Files)?;
        self.all(rule::initial(&rules));
        (self.tell)(News::Begun);
        while let Some(changed) = tree.changes(self.over).map_err(Error::Files)? {
            self.all(rule::decide(&rules, &changed));
        }
        Ok(())
    }

    fn all(&self, deeds: BTreeMap<String, Deed>) {
        for (service, deed) in deeds {
            if let Err(why) = self.one(&service, &deed) {
                (self.tell)(News::Failed {
                    service: &service,
                    why,
                });
            }
        }
    }

    fn one(&self, service: &str, deed: &Deed) -> Result<(), String> {
        if deed.rebuild {
            // The new image has the files, and the new containers have been started.
            (self.tell)(News::Rebuilding { service });
            return (self.rebuild)(service);
        }
        let ctx = self.run.ctx;
        let mut containers =
            observe::containers(ctx, &self.project.name).map_err(|error| told(&error))?;
        containers.retain(|c| c.service == service && !c.oneoff && c.status == Status::Running);
        if containers.is_empty() {
            return Ok(());
        }
        if !deed.sync.is_empty() {
            for container in &containers {
                copy(ctx, container, &deed.sync).map_err(|error| told(&error))?;
            }
            (self.tell)(News::Synced {
                service,
                files: deed.sync.len(),
            });
        }
        self.execute(service, &containers, deed)?;
        if deed.restart {
            let all: Vec<&Container> = containers.iter().collect();
            let mut plan = lifecycle::restart(None, &all, None);
            hooks::insert(&mut plan, self.project);
            // Another command may be replacing the same containers.
            let _lock = up::lock(ctx, &self.project.name).map_err(|error| told(&error))?;
            execute::execute(self.run, &plan).map_err(|error| told(&error))?;
            (self.tell)(News::Restarted { service });
        }
        Ok(())
    }

    fn execute(&self, service: &str, containers: &[Container], deed: &Deed) -> Result<(), String> {
        for hook in &deed.execs {
            for container in containers {
                let command = hook.command.join(" ");
                let code = execute::run_hook(self.run.ctx, &container.name, hook)
                    .map_err(|error| format!("cannot run {command:?}: {error}"))?;
                if code != 0 {
                    return Err(format!("{command:?} exited with status {code}"));
                }
            }
            (self.tell)(News::Executed {
                service,
                command: hook.command.join(" "),
            });
        }
        Ok(())
    }
}

fn copy(
    ctx: &Context,
    container: &Container,
    files: &BTreeMap<PathBuf, PathBuf>,
) -> engine::Result<()> {
    let record = names::resolve(ctx, &container.name)?;
    let view = View::container(ctx, &record)?;
    files
        .iter()
        .try_for_each(|(source, target)| sync(&view, source, target))
}

fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", told(source)),
        None => error.to_string(),
    }
}
