//! `save` and `load`.

use crate::failure::{Failure, Outcome};
use crate::output::{self, progress::PullProgress, sink};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;

pub(crate) const SAVE: Verb = verb::<Save>(
    &["save", "image save"],
    "[OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
)
.at_least(1)
.examples("save -o redis.tar redis:7\nsave app | ssh host docker load     # every tag of app\nsave --platform linux/arm64 -o app-arm64.tar app:1");

pub(crate) const LOAD: Verb = verb::<Load>(
    &["load", "image load"],
    "[OPTIONS]",
    "Load an image from a tar archive or STDIN",
)
.examples("load -i redis.tar\nload < redis.tar.gz");

#[derive(Debug, Args)]
struct Save {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Save only the given platform, of images that have several here
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Run for Save {
    fn run(self, session: &Session) -> Outcome {
        let platform = crate::registry::platform(self.platform.as_deref())?;
        let store = session.engine()?.images()?;
        let names: Vec<&str> = self.images.iter().map(String::as_str).collect();
        sink::write(self.output.as_deref(), "save", |out| {
            let saved = match &platform {
                Some(platform) => store.save_for(&names, platform, out),
                None => store.save(&names, out),
            };
            Ok(saved.map_err(engine::Error::from)?)
        })?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Load {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string")]
    input: Option<PathBuf>,
    /// Load only the given platform(s)
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

impl Run for Load {
    fn run(self, session: &Session) -> Outcome {
        let platform = crate::registry::platform(self.platform.as_deref())?;
        let stream: Box<dyn Read + Send> = match &self.input {
            Some(path) => Box::new(
                File::open(path).map_err(Failure::system(format!("open {}", path.display())))?,
            ),
            None if std::io::stdin().is_terminal() => {
                return Err(
                    Failure::said("requested load from stdin, but stdin is empty")
                        .hint("use -i FILE or redirect"),
                );
            }
            None => Box::new(std::io::stdin()),
        };
        let ctx = session.engine()?;
        let progress = PullProgress::of_load(self.quiet);
        let loaded = ctx
            .images()?
            .load(stream, platform.as_ref(), &progress)
            .map_err(engine::Error::from)?;
        progress.finish();
        for one in &loaded {
            engine::images::emit(
                ctx,
                "load",
                &one.image.id.to_string(),
                &one.image.id.to_string(),
            );
            match one.names.as_slice() {
                [] => output::line(format_args!("Loaded image ID: {}", one.image.id))?,
                names => names.iter().try_for_each(|name| {
                    output::line(format_args!("Loaded image: {}", name.familiar()))
                })?,
            }
        }
        Ok(0)
    }
}
