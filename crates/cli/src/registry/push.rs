//! `push`.

use crate::failure::{Failure, Outcome};
use crate::image::reference;
use crate::output::{self, progress::PullProgress};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use oci::Reference;

pub(crate) const VERB: Verb = verb::<Push>(
    &["push", "image push"],
    "[OPTIONS] NAME[:TAG]",
    "Upload an image to a registry",
)
.exactly(1)
.examples("push registry.example.com/team/app:1.2\npush -a localhost:5000/app");

#[derive(Debug, Args)]
struct Push {
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Skip image signing
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    /// Push a platform-specific manifest as a single-platform image
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true)]
    image: String,
}

impl Run for Push {
    fn run(self, session: &Session) -> Outcome {
        let platform = super::pull::platform(self.platform.as_deref())?;
        let ctx = session.engine()?;
        let store = ctx.images()?;
        let name = reference(&self.image)?;
        let names = if self.all_tags {
            tags(&store, &name)?
        } else {
            vec![name]
        };
        for name in names {
            let progress = PullProgress::on_stdout(self.quiet);
            if !self.quiet && !self.all_tags && name.tag().is_none() && name.digest().is_none() {
                output::line("Using default tag: latest")?;
            }
            let pushed = store
                .push_for(&name, platform.as_ref(), &progress)
                .map_err(engine::Error::from)?;
            progress.finish();
            engine::images::emit(
                ctx,
                "push",
                &pushed.digest.to_string(),
                &pushed.reference.familiar(),
            );
            if self.quiet {
                output::line(&pushed.reference)?;
            }
        }
        Ok(0)
    }
}

/// All names of one repository.
fn tags(store: &image::Store, name: &Reference) -> Result<Vec<Reference>, Failure> {
    if name.tag().is_some() {
        return Err(Failure::said("tag can't be used with --all-tags/-a"));
    }
    let images = store.list().map_err(engine::Error::from)?;
    let tags: Vec<Reference> = images
        .into_iter()
        .flat_map(|image| image.names)
        .filter(|known| known.repository() == name.repository() && known.tag().is_some())
        .collect();
    if tags.is_empty() {
        return Err(Failure::said(format!(
            "An image does not exist locally with the tag: {}",
            name.familiar_repository()
        )));
    }
    Ok(tags)
}
