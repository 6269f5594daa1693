//! `diff`.

use crate::failure::Outcome;
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::diff::{Kind, diff};

pub(crate) const VERB: Verb = verb::<Diff>(
    &["diff", "container diff"],
    "CONTAINER",
    "Inspect changes to files or directories on a container's filesystem",
)
.exactly(1)
.examples("diff web       # A: added, C: changed, D: deleted");

#[derive(Debug, Args)]
struct Diff {
    #[arg(required = true)]
    container: String,
}

impl Run for Diff {
    fn run(self, session: &Session) -> Outcome {
        let container = super::find(session, &self.container)?;
        for (path, kind) in diff(session.engine()?, &container)? {
            let letter = match kind {
                Kind::Added => 'A',
                Kind::Changed => 'C',
                Kind::Deleted => 'D',
            };
            output::line(format_args!("{letter} {}", path.display()))?;
        }
        Ok(0)
    }
}
