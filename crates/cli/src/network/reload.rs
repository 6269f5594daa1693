//! `network reload`: the packet filter's table anew, and what others block.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;

pub(crate) const VERB: Verb = verb::<Reload>(
    &["network reload"],
    "",
    "Make the packet filter's rules of all networks and ports anew, and name what blocks them",
)
.exactly(0)
.examples("network reload");

#[derive(Debug, Args)]
struct Reload {}

impl Run for Reload {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        network::reload(&ctx.layout).map_err(engine::Error::from)?;
        warn_of_blocks(ctx)?;
        Ok(0)
    }
}

/// Names what on this host keeps packets from containers, each with the way out.
pub(crate) fn warn_of_blocks(ctx: &engine::Context) -> Result<(), Failure> {
    for finding in network::diagnose(&ctx.layout).map_err(engine::Error::from)? {
        output::warn(format_args!(
            "{}: {}\nHint: {}",
            finding.what, finding.blocks, finding.hint
        ));
    }
    Ok(())
}
