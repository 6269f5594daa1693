//! `update`.

use crate::args::{parse_all, parse_some, resources::BasicLimits};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::update::{Changes, update};
use model::access::parse_published;
use model::restart::RestartPolicy;
use model::unpublish::Unpublish;
use std::str::FromStr;

pub(crate) const VERB: Verb = verb::<Update>(
    &["update", "container update"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Update configuration of one or more containers",
)
.at_least(1)
.examples("update --memory 1g --cpus 2 db\nupdate --restart unless-stopped web\nupdate --publish-add 8080:80 --publish-rm 8081 web");

#[derive(Debug, Args)]
struct Update {
    #[command(flatten)]
    limits: BasicLimits,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    restart: Option<String>,
    /// Publish one more port, at once when the container runs
    #[arg(long, value_name = "port")]
    publish_add: Vec<String>,
    /// Publish a port no more: 8080:80, or the number on the host (else in the container)
    #[arg(long, value_name = "port")]
    publish_rm: Vec<String>,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Run for Update {
    fn run(self, session: &Session) -> Outcome {
        let mut changes = Changes::default();
        self.limits.apply(&mut changes.resources)?;
        changes.restart = parse_some("restart", self.restart.as_ref(), RestartPolicy::from_str)?;
        for (ports, access) in parse_all("publish-add", &self.publish_add, parse_published)? {
            changes.publish.bindings.extend(ports);
            changes.publish.access.extend(access);
        }
        changes.unpublish = parse_all("publish-rm", &self.publish_rm, Unpublish::from_str)?;
        if changes.is_empty() {
            return Err(Failure::said(
                "you must provide one or more flags when using this command",
            )
            .code(1));
        }
        let ctx = session.engine()?;
        session.each(&self.containers, |name| {
            update(ctx, &super::find(session, name)?, &changes)?;
            output::line(name)
        })
    }
}
