//! `commit`.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::commit::{Options, commit, configuration};

pub(crate) const VERB: Verb = verb::<Commit>(
    &["commit", "container commit"],
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
)
.between(1, 2)
.examples("commit web web:patched\ncommit -c 'CMD [\"serve\"]' -m 'as it runs' web web:1");

#[derive(Debug, Args)]
struct Commit {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string")]
    author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Commit message
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Pause container during commit (the default)
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set, hide = true)]
    pause: bool,
    /// Disable pausing container during commit
    #[arg(long)]
    no_pause: bool,
    #[arg(required = true)]
    container: String,
    reference: Option<String>,
}

impl Run for Commit {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let name = self
            .reference
            .as_deref()
            .map(crate::image::reference)
            .transpose()?;
        let container = super::find(session, &self.container)?;
        let config = build::change(configuration(ctx, &container)?, &self.change)
            .map_err(|error| Failure::said(error.to_string()))?;
        let options = Options {
            name,
            author: self.author.unwrap_or_default(),
            comment: self.message.unwrap_or_default(),
            no_pause: self.no_pause || !self.pause,
        };
        output::line(commit(ctx, &container, config, &options)?.id)?;
        Ok(0)
    }
}
