//! `network reload`: the packet filter's table anew, and what others block.

use crate::failure::Outcome;
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
        let layout = &session.engine()?.layout;
        network::reload(layout).map_err(engine::Error::from)?;
        for finding in network::diagnose(layout).map_err(engine::Error::from)? {
            output::warn(format_args!(
                "{}: {}\nHint: {}",
                finding.what, finding.blocks, finding.hint
            ));
        }
        Ok(0)
    }
}
