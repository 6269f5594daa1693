//! `builder prune`.

use crate::failure::{Failure, Outcome};
use crate::output::{self, units};
use crate::session::Session;
use crate::system::prune::{self, PruneFlags};
use crate::verb::{Run, Verb, verb};
use clap::Args;

pub(super) const VERB: Verb = verb::<Prune>(
    &["builder prune", "buildx prune"],
    "[OPTIONS]",
    "Remove build cache",
)
.examples("builder prune -f");

#[derive(Debug, Args)]
struct Prune {
    /// Remove all unused build cache, not just dangling ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    flags: PruneFlags,
}

impl Run for Prune {
    fn run(self, session: &Session) -> Outcome {
        let filters = self.flags.filters()?;
        if !self
            .flags
            .confirmed(session, "This will remove all build cache.")?
        {
            return Ok(0);
        }
        let before = filters
            .get("until")
            .first()
            .map(|text| engine::prune::moment(text))
            .transpose()?;
        let pruned = build::cache::prune(&session.engine()?.layout, before)
            .map_err(|cause| Failure::of(&cause))?;
        // What only the cache kept goes with the next look at what no image reaches.
        let freed = pruned.bytes + prune::unreferenced(session)?;
        for name in &pruned.removed {
            output::line(name)?;
        }
        output::line(format_args!("Total:\t{}", units::size_long(freed)))?;
        Ok(0)
    }
}
