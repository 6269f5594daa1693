//! `system migrate`: the layer store in its other form.

use crate::failure::{Failure, Outcome};
use crate::output::{self, progress::PullProgress};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::{Args, ValueEnum};
use engine::container::record::ContainerRecord;
use image::Form;
use image::remove::User;
use oci::Digest;

pub(crate) const VERB: Verb = verb::<Migrate>(
    &["system migrate"],
    "[OPTIONS]",
    "Keep the layers in the store as EROFS images, or as directories",
)
.examples("system migrate\nsystem migrate --to erofs\nsystem migrate --to directories");

#[derive(Debug, Args)]
struct Migrate {
    /// What layers shall be; without it, what new ones become (`layer-store` in the configuration). May be cut at any point, and
    /// called again
    #[arg(long, value_name = "form")]
    to: Option<Wanted>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wanted {
    Erofs,
    Directories,
}

impl Run for Migrate {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let store = ctx.images()?;
        let to = match self.to {
            Some(Wanted::Erofs) => Form::Erofs,
            Some(Wanted::Directories) => Form::Directories,
            None => store
                .layers()
                .form()
                .map_err(image::Error::from)
                .map_err(engine::Error::from)?,
        };
        let progress = PullProgress::on_stdout(false);
        let done = store.migrate(to, &progress);
        progress.finish();
        let done = done.map_err(engine::Error::from)?;
        let kept = store
            .drop_converted(&running(session)?)
            .map_err(engine::Error::from)?;
        for layer in &done.without_archive {
            output::line(format_args!(
                "Layer {} stays as it is: its archive is not in the store",
                layer.short()
            ))?;
        }
        let word = match to {
            Form::Erofs => "EROFS images",
            Form::Directories => "directories",
        };
        let count = done.converted.len();
        output::line(format_args!(
            "{count} layer{} converted to {word}",
            if count == 1 { "" } else { "s" }
        ))?;
        if !kept.is_empty() {
            output::line(format_args!(
                "{} of them keep their directories too, for containers that run on them: call this again when those have stopped",
                kept.len()
            ))?;
        }
        Ok(0)
    }
}

/// The layers of containers that run. What starts just now is waited for: it has looked its layers up already.
fn running(session: &Session) -> Result<Vec<Digest>, Failure> {
    let ctx = session.engine()?;
    for record in ContainerRecord::list(ctx)? {
        drop(ContainerRecord::lock(ctx, record.id.as_str())?);
    }
    let users = crate::image::in_use(session)?.into_iter();
    let running = users.filter(|used| matches!(used.user, User::Container { running: true, .. }));
    Ok(running.flat_map(|used| used.layers).collect())
}
