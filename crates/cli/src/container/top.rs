//! `top`.

use crate::failure::{Failure, Outcome};
use crate::output::{self, table};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::top::{processes, table as ef};

pub(crate) const VERB: Verb = verb::<Top>(
    &["top", "container top"],
    "CONTAINER [ps OPTIONS]",
    "Display the running processes of a container",
)
.at_least(1)
.flags_first()
.examples("top web");

#[derive(Debug, Args)]
struct Top {
    #[arg(required = true)]
    container: String,
    options: Vec<String>,
}

impl Run for Top {
    fn run(self, session: &Session) -> Outcome {
        // What is shown is `ps -ef`, read from /proc; other views of ps(1) are not imitated.
        if !matches!(
            self.options
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice(),
            [] | ["-ef"] | ["-e", "-f"]
        ) {
            return Err(Failure::said(format!(
                "ps options {:?} are not supported: only the columns of -ef",
                self.options.join(" ")
            ))
            .hint("leave them out"));
        }
        let record = super::find(session, &self.container)?;
        let shown = ef(&processes(session.engine()?, &record)?);
        let mut rows = vec![shown.titles];
        rows.extend(shown.rows);
        output::text(&table::layout(rows, &[], None))?;
        Ok(0)
    }
}
