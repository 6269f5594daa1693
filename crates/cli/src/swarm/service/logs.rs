//! `service logs`.

use super::super::{node, tasks};
use super::find;
use crate::compose::{Call, Origin, ShowLogs, TaskNames, tail};
use crate::container::time;
use crate::failure::Outcome;
use crate::output::terminal;
use crate::session::Session;
use crate::verb::Run;
use clap::Args;
use compose::swarm::view;
use engine::logs::Query;

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Do not map IDs to Names in output
    #[arg(long)]
    no_resolve: bool,
    /// Do not include task IDs in output
    #[arg(long)]
    no_task_ids: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Do not neatly format logs
    #[arg(long)]
    raw: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    #[arg(required = true)]
    service: String,
}

impl Run for Logs {
    fn run(self, session: &Session) -> Outcome {
        let service = find(session, &self.service)?;
        let ids = service.tasks.iter().map(|task| {
            let id = tasks::id(task);
            let id = if self.no_trunc {
                id.as_str()
            } else {
                super::short(&id)
            };
            (view::number(task), id.to_owned())
        });
        let ids = if self.no_task_ids {
            Default::default()
        } else {
            ids.collect()
        };
        let names = TaskNames {
            service: service.name(),
            node: node::shown(session, !self.no_resolve)?,
            ids,
        };
        let query = Query {
            since: time("since", self.since.as_deref())?,
            until: None,
            tail: tail(&self.tail),
            follow: self.follow,
        };
        let call = Call::of(
            session,
            Origin {
                project: service.project.clone(),
                ..Origin::default()
            },
        );
        ShowLogs {
            services: vec![service.service.clone()],
            index: None,
            query,
            colour: !self.raw && terminal::stdout_has_colour(),
            prefix: !self.raw,
            timestamps: self.timestamps,
            names: Some(names),
        }
        .show(&call, &call.by_name(&service.project))
    }
}
