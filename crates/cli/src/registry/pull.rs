//! `pull`.

use crate::failure::{Failure, Outcome};
use crate::image::reference;
use crate::output::{self, progress::PullProgress};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;

pub(crate) const VERB: Verb = verb::<Pull>(
    &["pull", "image pull"],
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
)
.exactly(1)
.examples("pull redis:7\npull --platform linux/arm64 debian:12");

#[derive(Debug, Args)]
struct Pull {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Skip image verification
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true)]
    image: String,
}

impl Run for Pull {
    fn run(self, session: &Session) -> Outcome {
        if self.all_tags {
            return Err(Failure::said("--all-tags is not supported")
                .hint("name the tags you want, one pull each"));
        }
        let ctx = session.engine()?;
        let name = reference(&self.image)?;
        let platform = self
            .platform
            .as_deref()
            .map(|text| {
                text.parse::<oci::Platform>()
                    .map_err(|error| Failure::said(error.to_string()))
            })
            .transpose()?;
        if !self.quiet && name.tag().is_none() && name.digest().is_none() {
            output::line("Using default tag: latest")?;
        }
        let progress = PullProgress::on_stdout(self.quiet);
        let (name, pulled) = ctx
            .images()?
            .pull_named(&self.image, platform.as_ref(), &progress)
            .map_err(engine::Error::from)?;
        progress.finish();
        engine::images::emit(ctx, "pull", &pulled.image.id.to_string(), &name.familiar());
        output::line(name)?;
        Ok(0)
    }
}
