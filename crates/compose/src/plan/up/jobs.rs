//! Jobs with schedules: registered, registered anew when something of them changed, taken out when the file has them no more.

use super::{ImageState, Planner, Start};
use crate::oneoff::{self, Changes};
use crate::plan::{Action, NewJob};
use crate::spec::ServiceSpec;
use crate::{labels, names};
use compose_file::{Project, Service};
use engine::Timestamp;
use engine::jobs::JobRecord;
use model::schedule::Schedule;
use std::collections::BTreeMap;

/// The record of a job of the project, as it is before it ever ran.
pub(crate) fn record(
    project: &Project,
    job: &Service,
    spec: &ServiceSpec,
    schedule: Option<Schedule>,
    separator: names::Separator,
) -> JobRecord {
    let changes = Changes {
        service_ports: true,
        tty: job.tty,
        labels: BTreeMap::from([(labels::JOB.to_owned(), job.name.clone())]),
        ..Changes::default()
    };
    let (prefix, spec_of_run) = oneoff::container(project, job, spec, &changes, "", separator);
    JobRecord {
        name: job_name(&project.name, &job.name),
        project: project.name.clone(),
        prefix,
        spec: spec_of_run,
        image_id: String::new(),
        hash: spec.hash.clone(),
        schedule,
        paused: false,
        registered: Timestamp::now(),
        last_fire: None,
        iterations: 0,
        runs: Vec::new(),
    }
}

/// What the engine calls it: projects have no dots in their names.
pub(crate) fn job_name(project: &str, job: &str) -> String {
    format!("{project}.{job}")
}

impl Planner<'_> {
    pub(super) fn job(&mut self, job: &Service, spec: &ServiceSpec, schedule: &Schedule) {
        let input = self.input;
        let image_id = match input.images.get(&job.name) {
            Some(ImageState::Present { id, .. }) => Some(id.clone()),
            _ => None,
        };
        let separator = input.options.separator;
        let record = record(input.project, job, spec, Some(schedule.clone()), separator);
        let before = input.observed.jobs.iter().find(|j| j.name == record.name);
        let Some(cause) = cause(before, &record, image_id.as_deref()) else {
            return;
        };
        let needs = self.needed_to_create(job, spec);
        let new = NewJob {
            record,
            files: spec.files.clone(),
            image_id,
        };
        let resource = format!("job:{}", job.name);
        self.plan
            .add(needs, resource, Action::RegisterJob(Box::new(new)), cause);
    }

    /// Jobs that are registered and that the file does not have, or that have no schedule in it any more; and a word on those that
    /// wait to be run.
    pub(super) fn retired_jobs(&mut self) {
        let (project, options) = (self.input.project, self.input.options);
        if !options.services.is_empty() || options.jobs_as_services {
            return;
        }
        let all = || {
            let services = project.services.iter().filter(|s| s.triggers.is_some());
            services.chain(&project.jobs).chain(&project.disabled_jobs)
        };
        for registered in &self.input.observed.jobs {
            let name = |job: &&Service| job_name(&project.name, &job.name) == registered.name;
            let cause = match all().find(name) {
                None => "no such job in the file",
                Some(job) if registered.schedule.is_some() && job.schedule().is_none() => {
                    "it has no schedule any more"
                }
                Some(_) => continue,
            };
            let short = registered.name.split_once('.').map_or("", |(_, job)| job);
            let action = Action::RemoveJob {
                name: registered.name.clone(),
            };
            self.plan
                .add(Vec::new(), format!("job:{short}"), action, cause);
        }
        let manual = project.jobs.iter().filter(|job| job.schedule().is_none());
        let manual: Vec<&str> = manual.map(|job| job.name.as_str()).collect();
        if !manual.is_empty() && options.start == Start::Yes {
            self.plan.warnings.push(format!(
                "jobs wait for `compose run`: {}",
                manual.join(", ")
            ));
        }
    }
}

/// Why a job is registered; `None`: it is, as it is.
fn cause(before: Option<&JobRecord>, now: &JobRecord, image_id: Option<&str>) -> Option<String> {
    let Some(before) = before else {
        return Some("not registered".into());
    };
    let text = |schedule: &Option<Schedule>| match schedule {
        Some(schedule) => schedule.cron.as_str().to_owned(),
        None => "manual".to_owned(),
    };
    if before.hash != now.hash {
        return Some("configuration changed".into());
    }
    if image_id.is_none_or(|id| before.image_id != id) {
        return Some("image changed".into());
    }
    if before.schedule != now.schedule {
        let (was, is) = (text(&before.schedule), text(&now.schedule));
        return Some(format!("schedule changed: {was} -> {is}"));
    }
    None
}
