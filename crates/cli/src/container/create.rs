//! `create`, and what `run` shares with it: image, record, `--cidfile`.

use crate::args::ContainerFlags;
use crate::failure::{Failure, Outcome};
use crate::output::{self, progress::PullProgress};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::create::{self, BaseImage};
use engine::container::record::ContainerRecord;
use image::PullPolicy;
use model::ContainerSpec;
use model::id::Id;
use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) const VERB: Verb = verb::<Create>(
    &["create", "container create"],
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
)
.at_least(1)
.flags_first()
.examples("create --name web -p 8080:80 nginx\nstart web");

/// The flags about the making, not the made.
#[derive(Debug, Default, Args)]
pub(super) struct CreateFlags {
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// Write the container ID to the file
    #[arg(long, value_name = "string")]
    cidfile: Option<PathBuf>,
    /// Pull image before creating ("always", "missing", "never")
    #[arg(long, value_name = "string", default_value = "missing")]
    pull: String,
    /// Suppress the pull output
    #[arg(short, long)]
    quiet: bool,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list")]
    pub(super) attach: Vec<String>,
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    making: CreateFlags,
    #[command(flatten)]
    container: ContainerFlags,
    #[arg(required = true)]
    image: String,
    arguments: Vec<String>,
}

impl Run for Create {
    fn run(self, session: &Session) -> Outcome {
        let spec = self.container.spec(self.image, self.arguments)?;
        // Docker tells a failed `run` by code 125, a failed `create` by 1.
        let image = self.making.image(session, &spec);
        let record = image
            .and_then(|image| {
                let id = engine::random_id();
                let record = self.making.create(session, id, spec, &image)?;
                self.container.hand_accounts(session, &record)?;
                Ok(record)
            })
            .map_err(|failure| match failure {
                Failure::Start(error) => Failure::Engine(error),
                other => other,
            })?;
        output::line(&record.id)?;
        Ok(0)
    }
}

fn policy(text: &str) -> Result<PullPolicy, Failure> {
    match text {
        "always" => Ok(PullPolicy::Always),
        "missing" | "" => Ok(PullPolicy::Missing),
        "never" => Ok(PullPolicy::Never),
        _ => Err(Failure::said(format!(
            "invalid pull option: '{text}': must be one of \"always\", \"missing\" or \"never\""
        ))
        .code(125)),
    }
}

impl CreateFlags {
    /// The image, fetched where needed.
    pub(super) fn image(
        &self,
        session: &Session,
        spec: &ContainerSpec,
    ) -> Result<BaseImage, Failure> {
        if let Some(path) = &self.cidfile
            && path.exists()
        {
            return Err(Failure::said(format!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            ))
            .code(125));
        }
        let policy = policy(&self.pull)?;
        let ctx = session.engine().map_err(as_start)?;
        let progress = PullProgress::on_stderr(self.quiet);
        let platform = spec.platform.as_deref();
        let image = engine::images::base(ctx, &spec.image, policy, platform, &progress)
            .map_err(|error| no_such_image(error, &spec.image, policy))?;
        progress.finish();
        let mut lines = engine::container::warnings::warnings(spec);
        // A network that is not there is refused where the container is made.
        lines.extend(engine::networks::warnings(ctx, spec).unwrap_or_default());
        for line in lines {
            output::warn(line);
        }
        Ok(image)
    }

    /// Makes the container.
    pub(super) fn create(
        &self,
        session: &Session,
        id: Id,
        spec: ContainerSpec,
        image: &BaseImage,
    ) -> Result<ContainerRecord, Failure> {
        let ctx = session.engine().map_err(as_start)?;
        let record = create::create_as(ctx, id, spec, self.name.as_deref(), image)
            .map_err(Failure::Start)?;
        if let Some(path) = &self.cidfile {
            write_id(path, record.id.as_str())?;
        }
        Ok(record)
    }
}

fn as_start(failure: Failure) -> Failure {
    match failure {
        Failure::Engine(error) => Failure::Start(error),
        other => other,
    }
}

/// `--pull never` is answered in Docker's words.
fn no_such_image(error: engine::Error, image: &str, policy: PullPolicy) -> Failure {
    match (&error, policy) {
        (engine::Error::Image(image::Error::NoSuchImage(_)), PullPolicy::Never) => {
            Failure::said(format!("No such image: {image}"))
                .hint("leave out --pull never, or pull it first")
                .code(125)
        }
        _ => Failure::Start(error),
    }
}

fn write_id(path: &Path, id: &str) -> Result<(), Failure> {
    std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(id.as_bytes()))
        .map_err(Failure::system(format!(
            "write the container ID file {}",
            path.display()
        )))
}
