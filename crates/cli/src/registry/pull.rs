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
.examples(
    "pull redis:7\npull --platform linux/arm64 debian:12\npull -a registry.example.com/team/app",
);

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
        let ctx = session.engine()?;
        let name = reference(&self.image)?;
        let platform = platform(self.platform.as_deref())?;
        let store = ctx.images()?;
        let is_whole = name.tag().is_some() || name.digest().is_some();
        if !self.all_tags {
            if !self.quiet && !is_whole {
                output::line("Using default tag: latest")?;
            }
            let name = one(ctx, &store, &self.image, platform.as_ref(), self.quiet)?;
            output::line(name)?;
            return Ok(0);
        }
        if is_whole {
            return Err(Failure::said("tag can't be used with --all-tags/-a"));
        }
        for tag in store.tags(&self.image).map_err(engine::Error::from)? {
            one(ctx, &store, &tag.to_string(), platform.as_ref(), self.quiet)?;
        }
        output::line(name.repository())?;
        Ok(0)
    }
}

/// What `--platform` says.
pub(crate) fn platform(text: Option<&str>) -> Result<Option<oci::Platform>, Failure> {
    let parsed = text.map(|text| text.parse::<oci::Platform>()).transpose();
    parsed.map_err(|error| Failure::said(error.to_string()))
}

/// Pulls what a typed name stands for, and tells which name that is.
fn one(
    ctx: &engine::Context,
    store: &image::Store,
    typed: &str,
    platform: Option<&oci::Platform>,
    quiet: bool,
) -> Result<oci::Reference, Failure> {
    let progress = PullProgress::on_stdout(quiet);
    let (name, pulled) = store
        .pull_named(typed, platform, &progress)
        .map_err(engine::Error::from)?;
    progress.finish();
    engine::images::emit(ctx, "pull", &pulled.image.id.to_string(), &name.familiar());
    Ok(name)
}
