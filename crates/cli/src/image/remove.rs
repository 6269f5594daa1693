//! `rmi` and `image prune`.

use super::in_use;
use crate::failure::Outcome;
use crate::output::{self, units};
use crate::session::Session;
use crate::system::prune::{self, PruneFlags};
use crate::verb::{Run, Verb, verb};
use clap::Args;
use image::remove::{RemoveOptions, Removed};
use std::num::NonZeroUsize;

pub(crate) const RMI: Verb = verb::<Remove>(
    &["rmi", "image rm", "image remove"],
    "[OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
)
.at_least(1)
.examples("rmi redis:6\nrmi $(dockless images -q --filter dangling=true)");

pub(crate) const PRUNE: Verb = verb::<Prune>(&["image prune"], "[OPTIONS]", "Remove unused images")
    .examples(
        "image prune\nimage prune -a --filter until=240h\nimage prune -a --keep-generations 2",
    );

#[derive(Debug, Args)]
struct Remove {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents
    #[arg(long)]
    no_prune: bool,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Run for Remove {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let store = ctx.images()?;
        let users = in_use(session)?;
        let options = RemoveOptions {
            force: self.force,
            in_use: &users,
        };
        let mut deleted = false;
        let outcome = session.each(&self.images, |name| {
            let removed = match store.remove(name, options) {
                // With -f an image that is not there is no failure.
                Err(error @ image::Error::NoSuchImage(_)) if self.force => {
                    session.report(&engine::Error::from(error).into());
                    return Ok(());
                }
                other => other.map_err(engine::Error::from)?,
            };
            for step in &removed {
                match step {
                    Removed::Untagged(name) => {
                        engine::images::emit(ctx, "untag", name, name);
                        output::line(format_args!("Untagged: {name}"))?;
                    }
                    Removed::Deleted(id) => {
                        deleted = true;
                        engine::images::emit(ctx, "delete", id, id);
                        output::line(format_args!("Deleted: {id}"))?;
                    }
                }
            }
            Ok(())
        });
        if deleted {
            engine::trash::delete_images_later(ctx)?;
        }
        outcome
    }
}

#[derive(Debug, Args)]
struct Prune {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Of every Compose project forget all generations but the last so many, so that images only older ones need can go
    #[arg(long, value_name = "int")]
    keep_generations: Option<NonZeroUsize>,
    #[command(flatten)]
    flags: PruneFlags,
}

impl Run for Prune {
    fn run(self, session: &Session) -> Outcome {
        let warning = match self.all {
            true => {
                "This will remove all images without at least one container associated to them."
            }
            false => "This will remove all dangling images.",
        };
        if !self.flags.confirmed(session, warning)? {
            return Ok(0);
        }
        prune::generations(session, self.keep_generations)?;
        let (lines, bytes) = prune::images(session, self.all, &self.flags)?;
        if !lines.is_empty() {
            output::line(format_args!("Deleted Images:\n{}\n", lines.join("\n")))?;
        }
        output::line(format_args!(
            "Total reclaimed space: {}",
            units::size_long(bytes)
        ))?;
        Ok(0)
    }
}
