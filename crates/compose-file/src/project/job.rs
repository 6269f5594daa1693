//! Jobs: containers that run to their end, when somebody asks for one or when it is time.
//!
//! Source: Compose Specification, pull request 642; docs.docker.com, Compose file reference, `jobs`.

use super::{Condition, Project, Service};
use model::schedule::Schedule;
use std::borrow::Cow;

/// What makes a job run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Triggers {
    /// Whether `run` may start it; `None`: it may.
    pub manual: Option<bool>,
    pub schedule: Option<Schedule>,
}

impl Service {
    /// Whether it is a job that runs by a schedule.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.triggers.as_ref()?.schedule.as_ref()
    }
}

impl Project {
    /// The active job called `name`.
    pub fn job(&self, name: &str) -> Option<&Service> {
        self.jobs.iter().find(|job| job.name == name)
    }

    /// Whether the file has a job of that name, active or not.
    pub fn has_job(&self, name: &str) -> bool {
        let mut all = self.jobs.iter().chain(&self.disabled_jobs);
        all.any(|job| job.name == name)
    }

    /// The project with its scheduled jobs among the services: what `up` looks after.
    pub fn with_scheduled_jobs(&self) -> Self {
        let mut project = self.clone();
        let scheduled = |job: &Service| job.schedule().is_some();
        for mut job in project.jobs.extract_if(.., |job| scheduled(job)) {
            // When it is time nothing is started for it and nothing waited for.
            job.depends_on.clear();
            project.services.push(job);
        }
        project
    }

    /// The project with a job, and the jobs it needs, among the services: for `run`.
    pub fn with_job(&self, name: &str) -> Self {
        let mut project = self.clone();
        let mut wanted = vec![name.to_owned()];
        while let Some(name) = wanted.pop() {
            let Some(at) = project.jobs.iter().position(|job| job.name == name) else {
                continue;
            };
            let mut job = project.jobs.remove(at);
            for (needed, dependency) in &mut job.depends_on {
                if self.has_job(needed) {
                    // A job is there for its end.
                    dependency.condition = Condition::CompletedSuccessfully;
                    wanted.push(needed.clone());
                }
            }
            project.services.push(job);
        }
        project
    }

    /// The path of a job where it is spoken of as a service.
    pub(super) fn of_job<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let Some(rest) = path.strip_prefix("services.") else {
            return path.into();
        };
        let is_job = |name: &str| {
            let section = format!("jobs.{name}");
            self.places.by_path.contains_key(&section)
                && !self
                    .places
                    .by_path
                    .contains_key(&format!("services.{name}"))
        };
        // A name may have dots: the longest that is known counts.
        let ends = rest.match_indices('.').map(|(at, _)| at);
        let found = ends
            .chain([rest.len()])
            .rev()
            .any(|end| is_job(&rest[..end]));
        match found {
            true => format!("jobs.{rest}").into(),
            false => path.into(),
        }
    }
}
