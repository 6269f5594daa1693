//! What the `prune` verbs share: asking, filters, sums.

use crate::failure::{Failure, Outcome};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::prune;
use engine::prune_images::{self, Uses};
use image::remove::Removed;
use model::filter::Filters;
use std::io::{IsTerminal, Write};
use std::num::NonZeroUsize;

pub(crate) const VERB: Verb = verb::<Prune>(&["system prune"], "[OPTIONS]", "Remove unused data")
    .examples("system prune\nsystem prune -af --volumes");

#[derive(Debug, Default, Args)]
pub(crate) struct PruneFlags {
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
}

impl PruneFlags {
    pub(crate) fn filters(&self) -> Result<Filters, Failure> {
        Ok(Filters::parse(&self.filter, prune::FILTERS)?)
    }

    /// Asks, as Docker does, unless `-f`. Without anybody to answer the answer is no.
    pub(crate) fn confirmed(&self, _session: &Session, warning: &str) -> Result<bool, Failure> {
        self.filters()?;
        if self.force {
            return Ok(true);
        }
        let mut out = std::io::stdout().lock();
        write!(
            out,
            "WARNING! {warning}\nAre you sure you want to continue? [y/N] "
        )?;
        out.flush()?;
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .map_err(Failure::system("read the answer"))?;
        if !std::io::stdin().is_terminal() {
            writeln!(out)?;
        }
        Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
    }
}

/// What was removed, and the bytes that came free.
pub(crate) type Pruned = (Vec<String>, u64);

pub(crate) fn containers(session: &Session, flags: &PruneFlags) -> Result<Pruned, Failure> {
    let report = prune::containers(session.engine()?, &flags.filters()?)?;
    Ok((report.removed, report.freed))
}

pub(crate) fn networks(session: &Session, flags: &PruneFlags) -> Result<Vec<String>, Failure> {
    Ok(prune::networks(session.engine()?, &flags.filters()?)?.removed)
}

pub(crate) fn volumes(session: &Session, all: bool, flags: &PruneFlags) -> Result<Pruned, Failure> {
    let report = prune::volumes(session.engine()?, all, &flags.filters()?)?;
    Ok((report.removed, report.freed))
}

/// Forgets what projects could go back to, but for the last so many.
pub(crate) fn generations(session: &Session, keep: Option<NonZeroUsize>) -> Result<(), Failure> {
    let Some(keep) = keep else {
        return Ok(());
    };
    let gone = compose::generation::keep_last(session.engine()?, keep)
        .map_err(|error| Failure::of(&error))?;
    match gone.as_slice() {
        [] => Ok(()),
        gone => output::line(format_args!("Deleted Generations:\n{}\n", gone.join("\n"))),
    }
}

/// Removes images and what no image reaches any more; lines in Docker's words.
pub(crate) fn images(session: &Session, all: bool, flags: &PruneFlags) -> Result<Pruned, Failure> {
    let filters = flags.filters()?;
    let pruned = asking(session, |ctx, uses| {
        prune_images::images(ctx, all, &filters, uses)
    })?;
    let lines = pruned.steps.iter().map(|step| match step {
        Removed::Untagged(name) => format!("untagged: {name}"),
        Removed::Deleted(id) => format!("deleted: {id}"),
    });
    Ok((lines.collect(), pruned.freed))
}

/// Deletes the layers and blobs that neither an image, a container nor the build cache reaches; the bytes freed.
pub(crate) fn unreferenced(session: &Session) -> Result<u64, Failure> {
    asking(session, prune_images::unreferenced)
}

/// Does something that asks what is in use.
fn asking<T>(
    session: &Session,
    prune: impl FnOnce(&engine::Context, &Uses<'_, Failure>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let ctx = session.engine()?;
    let uses = Uses {
        images: &|| crate::image::in_use(session),
        roots: &|| build::cache::roots(&ctx.layout).map_err(|cause| Failure::of(&cause)),
    };
    prune(ctx, &uses)
}

#[derive(Debug, Args)]
struct Prune {
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
    /// Of every Compose project forget all generations but the last so many
    #[arg(long, value_name = "int")]
    keep_generations: Option<NonZeroUsize>,
    #[command(flatten)]
    flags: PruneFlags,
}

impl Prune {
    fn warning(&self) -> String {
        let mut lines = vec![
            "  - all stopped containers",
            "  - all networks not used by at least one container",
        ];
        if self.volumes {
            lines.push("  - all anonymous volumes not used by at least one container");
        }
        lines.push(match self.all {
            true => "  - all images without at least one container associated to them",
            false => "  - all dangling images",
        });
        if self.all {
            lines.push("  - all build cache");
        }
        lines.push("  - all Compose projects fetched from elsewhere that nothing is made from");
        lines.push("  - what killed commands left behind");
        format!("This will remove:\n{}\n", lines.join("\n"))
    }
}

impl Prune {
    /// All of the build cache with `-a`, else only what killed builds left.
    fn build_cache(&self, session: &Session) -> Result<u64, Failure> {
        let layout = &session.engine()?.layout;
        let freed = match self.all {
            true => build::cache::prune(layout, None).map(|pruned| pruned.bytes),
            false => build::sweep(layout),
        };
        freed.map_err(|cause| Failure::of(&cause))
    }
}

impl Run for Prune {
    fn run(self, session: &Session) -> Outcome {
        if !self.flags.confirmed(session, &self.warning())? {
            return Ok(0);
        }
        let ctx = session.engine()?;
        let mut total = 0;
        let section = |title: &str, lines: &[String]| match lines {
            [] => Ok(()),
            lines => output::line(format_args!("Deleted {title}:\n{}\n", lines.join("\n"))),
        };
        let (removed, bytes) = containers(session, &self.flags)?;
        total += bytes;
        section("Containers", &removed)?;
        section("Networks", &networks(session, &self.flags)?)?;
        if self.volumes {
            let (removed, bytes) = volumes(session, false, &self.flags)?;
            total += bytes;
            section("Volumes", &removed)?;
        }
        generations(session, self.keep_generations)?;
        // Before the images: what only the cache reached goes with theirs.
        total += self.build_cache(session)?;
        let (removed, bytes) = images(session, self.all, &self.flags)?;
        total += bytes;
        section("Images", &removed)?;
        let (removed, bytes) = compose::remote::prune(ctx)?;
        total += bytes;
        section("Fetched Projects", &removed)?;
        total += engine::sweep::sweep(ctx)?.bytes;
        total += build::sweep(&ctx.layout).map_err(|cause| Failure::of(&cause))?;
        output::line(format_args!(
            "Total reclaimed space: {}",
            units::size_long(total)
        ))?;
        Ok(0)
    }
}
