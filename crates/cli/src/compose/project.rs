//! Finding the project a call is about: from its files, or by name alone from what exists.

use super::{Call, failed};
use crate::failure::Failure;
use crate::output::{self, terminal};
use anstyle::AnsiColor;
use compose::observe::{self, Container};
use compose::remote::ProjectFiles;
use compose_file::{Diagnostic, Files, Options, Project, Severity};
use engine::Context;
use std::collections::BTreeMap;

/// The project by its name, with its file where there is one.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) project: Option<Project>,
}

impl Target {
    /// Whether a service is one of the file's, also with a profile that is not active; without a file every service is.
    pub(crate) fn has(&self, service: &str) -> bool {
        let Some(project) = &self.project else {
            return true;
        };
        let disabled = &project.disabled_services;
        project.service(service).is_some() || disabled.iter().any(|s| s.name == service)
    }
}

impl Call<'_> {
    pub(crate) fn ctx(&self) -> Result<&Context, Failure> {
        self.session.engine()
    }

    /// How the loader is called. Naming services makes them active.
    pub(crate) fn options(&self, services: &[String]) -> Result<Options, Failure> {
        let current_dir =
            std::env::current_dir().map_err(Failure::system("find the current directory"))?;
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        let mut environment: BTreeMap<String, String> =
            std::env::vars_os().filter_map(text).collect();
        // A shell sets it, cron and an init do not; many files say ${PWD}/data.
        if !environment.contains_key("PWD")
            && let Some(here) = current_dir.to_str()
        {
            environment.insert("PWD".to_owned(), here.to_owned());
        }
        Ok(Options {
            current_dir,
            files: self.globals.files.clone(),
            project_directory: self.globals.project_directory.clone(),
            project_name: self.globals.project_name.clone(),
            profiles: self.globals.profiles.clone(),
            env_files: self.globals.env_files.clone(),
            environment,
            services: services.to_vec(),
            ..Options::default()
        })
    }

    /// Calls with the files a project is read from: the host's, and those elsewhere.
    pub(crate) fn with_files<T>(&self, options: &Options, act: impl FnOnce(&dyn Files) -> T) -> T {
        let engine = || self.ctx().map_err(|failure| failure.chain());
        act(&ProjectFiles {
            engine: &engine,
            environment: &options.environment,
        })
    }

    /// Loads the project; its warnings are told.
    pub(crate) fn load(&self, services: &[String]) -> Result<Project, Failure> {
        self.load_with(&self.options(services)?)
    }

    /// The same where its warnings were told before, when it was deployed.
    pub(crate) fn load_quietly(&self, services: &[String]) -> Result<Project, Failure> {
        let options = self.options(services)?;
        match self.with_files(&options, |files| compose_file::load(&options, files)) {
            Ok(loaded) => Ok(loaded.project),
            Err(error) => Err(self.refused(error.diagnostics)),
        }
    }

    /// A stack's file: it must have the `version` that Compose calls obsolete.
    pub(crate) fn load_stack(&self) -> Result<Project, Failure> {
        let options = self.options(&[])?;
        match self.with_files(&options, |files| compose_file::load(&options, files)) {
            Ok(mut loaded) => {
                let obsolete = "the attribute `version` is obsolete";
                loaded.warnings.retain(|w| !w.message.contains(obsolete));
                self.tell(&loaded.warnings);
                Ok(loaded.project)
            }
            Err(error) => Err(self.refused(error.diagnostics)),
        }
    }

    /// A project by what exists of it alone.
    pub(crate) fn by_name(&self, name: &str) -> Target {
        Target {
            name: name.to_owned(),
            project: None,
        }
    }

    pub(crate) fn load_with(&self, options: &Options) -> Result<Project, Failure> {
        match self.with_files(options, |files| compose_file::load(options, files)) {
            Ok(loaded) => {
                self.tell(&loaded.warnings);
                Ok(loaded.project)
            }
            Err(error) => Err(self.refused(error.diagnostics)),
        }
    }

    /// Warnings are told, errors become the failure.
    pub(crate) fn refused(&self, diagnostics: Vec<Diagnostic>) -> Failure {
        let (warnings, errors): (Vec<_>, Vec<_>) = diagnostics
            .into_iter()
            .partition(|d| d.severity == Severity::Warning);
        self.tell(&warnings);
        Failure::said(
            errors
                .iter()
                .map(Diagnostic::render)
                .collect::<Vec<_>>()
                .join("\n"),
        )
    }

    /// Tells warnings on standard error.
    pub(crate) fn tell(&self, warnings: &[Diagnostic]) {
        for warning in warnings {
            self.warn(&warning.render());
        }
    }

    pub(crate) fn warn(&self, text: &str) {
        let colour = self
            .globals
            .colour
            .unwrap_or_else(terminal::stderr_has_colour);
        output::note(format_args!(
            "{} {text}",
            terminal::paint("Warning:", AnsiColor::Yellow, colour)
        ));
    }

    /// The project by its files; without a file, by the name that was given.
    pub(crate) fn target(&self, services: &[String]) -> Result<Target, Failure> {
        // Of what exists already nobody needs the variables again.
        let options = Options {
            needs_environment: false,
            ..self.options(services)?
        };
        let named = options
            .project_name
            .clone()
            .or_else(|| options.environment.get("COMPOSE_PROJECT_NAME").cloned());
        match self.with_files(&options, |files| compose_file::load(&options, files)) {
            Ok(loaded) => {
                self.tell(&loaded.warnings);
                Ok(Target {
                    name: loaded.project.name.clone(),
                    project: Some(loaded.project),
                })
            }
            Err(error) => match named {
                Some(name) if error.diagnostics.iter().any(is_missing_file) => Ok(Target {
                    name,
                    project: None,
                }),
                _ => Err(self.refused(error.diagnostics)),
            },
        }
    }

    /// The project's containers, those of `run` only on request; of the services named, or all.
    pub(crate) fn containers(
        &self,
        target: &Target,
        services: &[String],
        oneoff: bool,
    ) -> Result<Vec<Container>, Failure> {
        let mut containers = observe::containers(self.ctx()?, &target.name)?;
        self.check_services(target, services, &containers)?;
        containers.retain(|c| {
            (oneoff || !c.oneoff) && (services.is_empty() || services.contains(&c.service))
        });
        Ok(containers)
    }

    fn check_services(
        &self,
        target: &Target,
        services: &[String],
        containers: &[Container],
    ) -> Result<(), Failure> {
        let known = |name: &String| match &target.project {
            Some(project) => project
                .services
                .iter()
                .chain(&project.disabled_services)
                .any(|s| s.name == *name),
            None => false,
        };
        match services
            .iter()
            .find(|name| !known(name) && !containers.iter().any(|c| c.service == **name))
        {
            Some(unknown) => Err(no_such_service(target.project.as_ref(), unknown)),
            None => Ok(()),
        }
    }

    /// The container of a service with an index (`--index`), or its first.
    pub(crate) fn one(&self, service: &str, index: Option<u32>) -> Result<Container, Failure> {
        let index = index.filter(|index| *index > 0);
        let numbered = |c: &Container| !c.oneoff && index.is_none_or(|index| c.number == index);
        let found = self.of_service(service)?.into_iter().find(|c| numbered(c));
        found.ok_or_else(|| not_running(service, index))
    }

    /// The same of those that run; where the service itself does not, one of `run`, which has no number.
    pub(crate) fn one_running(
        &self,
        service: &str,
        index: Option<u32>,
    ) -> Result<Container, Failure> {
        let index = index.filter(|index| *index > 0);
        let mut containers = self.of_service(service)?;
        containers.retain(|c| c.status.is_active());
        containers.sort_by_key(|c| c.oneoff);
        let wanted = |c: &Container| index.is_none_or(|index| !c.oneoff && c.number == index);
        let found = containers.into_iter().find(|c| wanted(c));
        found.ok_or_else(|| not_running(service, index))
    }

    /// Its containers, those of `run` too.
    fn of_service(&self, service: &str) -> Result<Vec<Container>, Failure> {
        let names = [service.to_owned()];
        let target = self.target(&names)?;
        self.containers(&target, &names, true)
    }
}

/// In Compose's words, which scripts look for.
pub(crate) fn not_running(service: &str, index: Option<u32>) -> Failure {
    let which = index.map_or_else(String::new, |index| format!(" container #{index}"));
    Failure::said(format!("service {service:?} is not running{which}"))
        .hint("start it with `up -d`")
}

pub(crate) fn no_such_service(project: Option<&Project>, name: &str) -> Failure {
    if project.is_some_and(|project| project.has_job(name)) {
        return Failure::said(format!(
            "{name} is a job: it is started by `compose run {name}`"
        ));
    }
    let failure = Failure::said(format!("no such service: {name}"));
    match project.and_then(|p| crate::argv::nearest(name, p.service_names())) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure,
    }
}

fn is_missing_file(diagnostic: &Diagnostic) -> bool {
    diagnostic
        .message
        .starts_with("no configuration file provided")
}

/// The failure of a step of `up`, with a hint where the engine has one.
pub(crate) fn up_failure(error: compose::up::Error) -> Failure {
    use compose::up::Error;
    match error {
        Error::Engine(error) => error.into(),
        Error::Failed(failed) => steps_failure(failed),
        Error::Roll(error) => roll_failure(*error),
        other => failed(other),
    }
}

/// What failed of a rolling update, then what was done about it.
fn roll_failure(error: compose::rollback::Error) -> Failure {
    use compose::rollback::Outcome;
    let said = crate::failure::chain(&error);
    let hint = match error.outcome {
        Outcome::Paused => Some(
            "correct it and run `up -d` again, or go back to the version before with `rollback`",
        ),
        Outcome::RolledBack => None,
        Outcome::NotRolledBack(_) => Some("run `up -d` with a version that is known to work"),
    };
    let failure = match steps_failure(error.failed) {
        Failure::Said { message, .. } => Failure::said(format!("{message}\n{said}")),
        other => other,
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Every step that failed, one line each.
pub(crate) fn steps_failure(failed: compose::execute::Failed) -> Failure {
    if failed.errors.is_empty() {
        return Failure::Silent(130);
    }
    let mut lines: Vec<String> = Vec::new();
    let mut hint = None;
    for error in &failed.errors {
        let line = crate::failure::chain(error);
        if !lines.contains(&line) {
            lines.push(line);
        }
        if let compose::execute::Cause::Engine { source, .. } = &error.source {
            hint = hint.or_else(|| source.hint());
        }
    }
    let failure = Failure::said(lines.join("\n"));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
