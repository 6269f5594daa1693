//! `artifact`: what lies in registries beside images. The verbs are those of oras.

use super::pull::platform;
use crate::failure::Outcome;
use crate::image::reference;
use crate::output::listing::{self, Field, Format, field, long_field};
use crate::output::units;
use crate::output::{self, progress::PullProgress};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use oci::Descriptor;
use serde_json::{Map, Value};
use std::path::PathBuf;

pub(crate) const PULL: Verb = verb::<Pull>(
    &["artifact pull"],
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download the files of an artifact into a directory",
)
.exactly(1)
.examples("artifact pull registry.example.com/team/model:1\nartifact pull -o /srv/model registry.example.com/team/model:1");

pub(crate) const DISCOVER: Verb = verb::<Discover>(
    &["artifact discover"],
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "List what refers to an image at its registry: signatures, lists of contents",
)
.exactly(1)
.examples("artifact discover registry.example.com/team/app:1\nartifact discover --artifact-type application/spdx+json registry.example.com/team/app:1");

#[derive(Debug, Args)]
struct Pull {
    /// The directory the files are written into
    #[arg(short, long, value_name = "directory", default_value = ".")]
    output: PathBuf,
    /// Of several platforms, the files for this one
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true)]
    name: String,
}

impl Run for Pull {
    fn run(self, session: &Session) -> Outcome {
        let name = reference(&self.name)?;
        let platform = platform(self.platform.as_deref())?;
        let progress = PullProgress::on_stdout(self.quiet);
        let files = session
            .engine()?
            .images()?
            .extract(&name, platform.as_ref(), &self.output, &progress)
            .map_err(engine::Error::from)?;
        progress.finish();
        for file in files {
            output::line(self.output.join(file.name).display())?;
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Discover {
    /// Those of one type alone
    #[arg(long, value_name = "string")]
    artifact_type: Option<String>,
    /// Pretty-print the list using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    #[arg(required = true)]
    name: String,
}

const FIELDS: [Field; 3] = [
    field("Digest", "DIGEST"),
    long_field("ArtifactType", "ARTIFACT TYPE"),
    field("Size", "SIZE"),
];

impl Run for Discover {
    fn run(self, session: &Session) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let name = reference(&self.name)?;
        let options = session.engine()?.registries();
        let wanted = self.artifact_type.as_deref();
        let found =
            image::artifact::referrers(&options, &name, wanted).map_err(engine::Error::from)?;
        let rows: Vec<_> = found.iter().map(row).collect();
        listing::print(&format, &FIELDS, &["Digest", "ArtifactType", "Size"], &rows)?;
        Ok(0)
    }
}

fn row(entry: &Descriptor) -> Map<String, Value> {
    let own = entry.other.get("artifactType").and_then(Value::as_str);
    let pairs: [(&str, Value); 3] = [
        ("Digest", entry.digest.to_string().into()),
        ("ArtifactType", own.unwrap_or_default().into()),
        ("Size", units::size(entry.size).into()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
