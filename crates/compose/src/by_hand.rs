//! A run of a job that somebody asked for (`run JOB`): remembered as those by schedule are.

use crate::names::Separator;
use crate::plan::up::jobs;
use crate::spec::ServiceSpec;
use compose_file::{Project, Service};
use engine::container::record::ContainerRecord;
use engine::jobs::JobRecord;
use engine::{Context, Error};

/// Why a job may not be run, where its triggers say so.
pub fn forbidden(project: &Project) -> Option<String> {
    let no = |job: &&Service| {
        let triggers = job.triggers.as_ref();
        triggers.is_some_and(|triggers| triggers.manual == Some(false))
    };
    let job = project.services.iter().find(no)?;
    Some(format!(
        "job {:?} is declared with manual: false, it cannot be run manually",
        job.name
    ))
}

/// Has a run remembered whose container is made and about to start.
pub fn remember(
    ctx: &Context,
    project: &Project,
    job: &Service,
    spec: &ServiceSpec,
    container: &ContainerRecord,
    separator: Separator,
) -> Result<(), Error> {
    let name = jobs::job_name(&project.name, &job.name);
    if let Err(Error::NoSuchJob(_)) = JobRecord::find(ctx, &name) {
        // Its schedule begins with `up`.
        let mut record = jobs::record(project, job, spec, None, separator);
        record.image_id = container.image.id.clone();
        engine::jobs::register(ctx, record)?;
    }
    engine::jobs::attend(ctx, &name, container.id.as_str())
}
