//! `rm` and `container prune`.

use crate::failure::{Failure, Outcome};
use crate::output::{self, units};
use crate::session::Session;
use crate::system::prune;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::names::resolve;
use engine::container::remove::{RemoveOptions, remove};

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
        // With -f a container that is not there is told, and is no failure.
        let (there, missing): (Vec<&String>, Vec<&String>) = match self.force {
            true => self
                .containers
                .iter()
                .partition(|name| exists(session, name)),
            false => (self.containers.iter().collect(), Vec::new()),
        };
        for name in missing {
            session.report(&engine::Error::NoSuchContainer(name.clone()).into());
        }
        session.each_at_once(&there, |ctx, name| {
            Ok(remove(ctx, &resolve(ctx, name)?, options)?)
        })
    }
}

/// Any other trouble than its absence is found out, and told, when it is removed.
fn exists(session: &Session, name: &str) -> bool {
    !matches!(
        super::find(session, name),
        Err(Failure::Engine(engine::Error::NoSuchContainer(_)))
    )
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
