//! `rm` and `container prune`.

use crate::failure::{Failure, Outcome};
use crate::output::{self, units};
use crate::session::Session;
use crate::system::prune;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::names::resolve;
use engine::container::remove::{RemoveOptions, remove};
use std::collections::BTreeMap;

pub(crate) const RM: Verb = verb::<Remove>(
    &["rm", "container rm", "container remove"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers",
)
.at_least(1)
.examples("rm web\nrm -fv web db         # running or not, with their anonymous volumes");

pub(crate) const PRUNE: Verb = verb::<Prune>(
    &["container prune"],
    "[OPTIONS]",
    "Remove all stopped containers",
)
.examples("container prune -f");

#[derive(Debug, Args)]
struct Remove {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove the specified link
    #[arg(short, long)]
    link: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Run for Remove {
    fn run(self, session: &Session) -> Outcome {
        if self.link {
            return Err(Failure::said(
                "--link is not supported: links are names in this container's DNS only",
            )
            .hint("use `network disconnect` instead"));
        }
        let options = RemoveOptions {
            force: self.force,
            volumes: self.volumes,
        };
        let mut records = BTreeMap::new();
        let mut names = Vec::new();
        for name in &self.containers {
            match super::find(session, name) {
                // With -f a container that is not there is told, and is no failure.
                Err(failure @ Failure::Engine(engine::Error::NoSuchContainer(_))) if self.force => {
                    session.report(&failure);
                    continue;
                }
                Ok(record) => drop(records.insert(name.as_str(), record)),
                // Found out, and told, when it is its turn.
                Err(_) => {}
            }
            names.push(name);
        }
        session.each_at_once(&names, |ctx, name| match records.get(name) {
            Some(record) => Ok(remove(ctx, record, options)?),
            None => Ok(remove(ctx, &resolve(ctx, name)?, options)?),
        })
    }
}

#[derive(Debug, Args)]
struct Prune {
    #[command(flatten)]
    flags: prune::PruneFlags,
}

impl Run for Prune {
    fn run(self, session: &Session) -> Outcome {
        if !self
            .flags
            .confirmed(session, "This will remove all stopped containers.")?
        {
            return Ok(0);
        }
        let (removed, bytes) = prune::containers(session, &self.flags)?;
        if !removed.is_empty() {
            output::line(format_args!(
                "Deleted Containers:\n{}\n",
                removed.join("\n")
            ))?;
        }
        output::line(format_args!(
            "Total reclaimed space: {}",
            units::size_long(bytes)
        ))?;
        Ok(0)
    }
}
