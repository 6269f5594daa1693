//! `service scale`, `service rollback`, and carrying out what `service update` was told.

use super::{declared, find};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::Run;
use clap::Args;
use compose::plan::up::{Options, Recreate};
use compose::swarm::changes::{Change, Changes};
use compose::swarm::view::Service;
use compose::up::Request;

/// Brings one service to what its file and the changes say, and keeps the changes when that went well.
pub(super) fn carry_out(
    session: &Session,
    service: &Service,
    wanted: &[Change],
    recreate: Recreate,
) -> Result<(), Failure> {
    let ctx = session.engine()?;
    let mut changes = Changes::load(ctx, &service.project)?;
    if !wanted.is_empty() {
        changes.add(&service.service, wanted);
    }
    bring(session, service, &changes, recreate)?;
    Ok(changes.save(ctx, &service.project)?)
}

fn bring(
    session: &Session,
    service: &Service,
    changes: &Changes,
    recreate: Recreate,
) -> Result<(), Failure> {
    let (call, project) = declared(session, service, changes)?;
    let request = Request {
        options: Options {
            services: vec![service.service.clone()],
            no_dependencies: true,
            ignore_orphans: true,
            recreate,
            ..Options::default()
        },
        ..Request::default()
    };
    let mut pending = None;
    call.bring(&project, &request, &mut |plan| {
        for warning in &plan.warnings {
            output::note(warning);
        }
        pending = plan.pending.first().map(|pending| pending.why.clone());
    })?;
    match pending {
        Some(why) => Err(Failure::said(format!(
            "service {} is pending: {why}",
            service.name()
        ))),
        None => Ok(()),
    }
}

/// How it ended, in Docker's words.
pub(super) fn converged(session: &Session, name: &str) -> Result<(), Failure> {
    let service = find(session, name)?;
    let (running, all) = (service.running(), service.tasks.len());
    output::line(format_args!(
        "overall progress: {running} out of {all} tasks"
    ))?;
    output::line(format_args!("verify: Service {} converged", service.name()))
}

#[derive(Debug, Args)]
pub(super) struct Scale {
    /// Accepted as Docker's: it returns when the tasks were started
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    detach: Option<String>,
    #[arg(required = true)]
    services: Vec<String>,
}

impl Run for Scale {
    fn run(self, session: &Session) -> Outcome {
        let mut wanted = Vec::new();
        // All are read before the first is changed.
        for entry in &self.services {
            let (name, count) = entry.split_once('=').ok_or_else(|| {
                Failure::said(format!("invalid scale specifier '{entry}'"))
                    .hint("write SERVICE=REPLICAS, as in vote_web=3")
            })?;
            let count: u32 = count.parse().map_err(|_| {
                Failure::said(format!(
                    "{name}: invalid replicas value {count}: a number from 0 on"
                ))
            })?;
            wanted.push((find(session, name)?, count));
        }
        for (service, count) in wanted {
            carry_out(
                session,
                &service,
                &[Change::Replicas(count)],
                Recreate::Never,
            )?;
            output::line(format_args!("{} scaled to {count}", service.name()))?;
            // Scaled to nothing there is no container by which it could be found again.
            if count > 0 && self.detach.as_deref() != Some("true") {
                converged(session, &service.name())?;
            }
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// Accepted as Docker's
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    detach: Option<String>,
    /// Suppress progress output
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true)]
    service: String,
}

impl Run for Rollback {
    fn run(self, session: &Session) -> Outcome {
        rollback(session, &find(session, &self.service)?)?;
        output::line(self.service)?;
        Ok(0)
    }
}

/// Back to what was said before the last `service update` or `service scale`, as Docker does.
pub(super) fn rollback(session: &Session, service: &Service) -> Result<(), Failure> {
    let ctx = session.engine()?;
    let mut changes = Changes::load(ctx, &service.project)?;
    if !changes.roll_back(&service.service) {
        return Err(Failure::said(format!(
            "service {} does not have a previous spec",
            service.name()
        ))
        .hint("it is as its files say; `compose rollback` goes back to an earlier `up`"));
    }
    bring(session, service, &changes, Recreate::Diverged)?;
    Ok(changes.save(ctx, &service.project)?)
}
