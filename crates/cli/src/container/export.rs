//! `export`.

use crate::failure::Outcome;
use crate::output::sink;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use std::path::PathBuf;

pub(crate) const VERB: Verb = verb::<Export>(
    &["export", "container export"],
    "[OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
)
.exactly(1)
.examples("export -o web.tar web\nexport web | tar t");

#[derive(Debug, Args)]
struct Export {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    #[arg(required = true)]
    container: String,
}

impl Run for Export {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let container = super::find(session, &self.container)?;
        sink::write(self.output.as_deref(), "export", |out| {
            Ok(engine::container::export::export(ctx, &container, out)?)
        })?;
        engine::events::emit_container(ctx, "export", &container, &[]);
        Ok(0)
    }
}
