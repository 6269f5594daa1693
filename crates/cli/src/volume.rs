//! `docker volume …`.

use crate::args::key_value;
use crate::failure::{Failure, Outcome};
use crate::output::listing::{self, Field, Format, field, join_labels};
use crate::output::{self, units};
use crate::session::Session;
use crate::system::prune::{self, PruneFlags};
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::volume::{self, VolumeRecord, VolumeSpec};
use model::filter::Filters;
use serde_json::{Map, Value};

/// Every verb of this noun.
pub(crate) const VERBS: &[Verb] = &[
    verb::<Create>(&["volume create"], "[OPTIONS] [VOLUME]", "Create a volume")
        .between(0, 1)
        .examples("volume create data\nvolume create --opt type=none --opt o=bind --opt device=/srv/data data"),
    verb::<List>(&["volume ls", "volume list"], "[OPTIONS]", "List volumes").examples("volume ls -q --filter dangling=true"),
    verb::<Remove>(&["volume rm", "volume remove"], "[OPTIONS] VOLUME [VOLUME...]", "Remove one or more volumes")
        .at_least(1)
        .examples("volume rm data"),
    verb::<Prune>(&["volume prune"], "[OPTIONS]", "Remove unused local volumes").examples("volume prune\nvolume prune -a"),
    verb::<Exists>(&["volume exists"], "VOLUME", "Exit with 0 if the volume exists, with 1 if not").exactly(1),
];

#[derive(Debug, Args)]
struct Create {
    /// Specify volume driver name
    #[arg(short, long, value_name = "string", default_value = "local")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Specify volume name
    #[arg(long, value_name = "string", hide = true)]
    name: Option<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    volume: Option<String>,
}

impl Run for Create {
    fn run(self, session: &Session) -> Outcome {
        if self.name.is_some() && self.volume.is_some() {
            return Err(Failure::said(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
            ));
        }
        let spec = VolumeSpec {
            name: self.volume.or(self.name),
            driver: Some(self.driver),
            options: key_value::strict_map("opt", &self.opt)?,
            labels: key_value::map(&self.label),
        };
        output::line(volume::create(session.engine()?, &spec)?.name)?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct List {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

const FIELDS: [Field; 9] = [
    field("Driver", "DRIVER"),
    field("Name", "VOLUME NAME"),
    field("Scope", "SCOPE"),
    field("Mountpoint", "MOUNTPOINT"),
    field("Labels", "LABELS"),
    field("Links", "LINKS"),
    field("Size", "SIZE"),
    field("Availability", "AVAILABILITY"),
    field("Group", "GROUP"),
];

impl Run for List {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let filters = Filters::parse(&self.filter, volume::FILTERS)?;
        let volumes = volume::selected(ctx, &filters)?;
        if self.quiet {
            for record in &volumes {
                output::line(&record.name)?;
            }
            return Ok(0);
        }
        print(ctx, &volumes, self.format.as_deref())?;
        Ok(0)
    }
}

/// Volumes as `--format` wants them.
pub(crate) fn print(
    ctx: &engine::Context,
    volumes: &[VolumeRecord],
    format: Option<&str>,
) -> Result<(), Failure> {
    let rows: Vec<_> = volumes.iter().map(|record| row(ctx, record)).collect();
    let format = Format::parse(format)?;
    listing::print(&format, &FIELDS, &["Driver", "Name"], &rows)
}

fn row(ctx: &engine::Context, record: &VolumeRecord) -> Map<String, Value> {
    let pairs: [(&str, Value); 10] = [
        ("Availability", "N/A".into()),
        ("Driver", "local".into()),
        ("Group", "N/A".into()),
        ("Labels", join_labels(&record.labels).into()),
        ("Links", "N/A".into()),
        (
            "Mountpoint",
            record.mountpoint(ctx).display().to_string().into(),
        ),
        ("Name", record.name.clone().into()),
        ("Scope", "local".into()),
        ("Size", "N/A".into()),
        ("Status", "N/A".into()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[derive(Debug, Args)]
struct Remove {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    force: bool,
    #[arg(required = true)]
    volumes: Vec<String>,
}

impl Run for Remove {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.volumes, |name| {
            volume::remove(ctx, name, self.force)?;
            output::line(name)
        })
    }
}

#[derive(Debug, Args)]
struct Prune {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    flags: PruneFlags,
}

impl Run for Prune {
    fn run(self, session: &Session) -> Outcome {
        let warning = match self.all {
            true => "This will remove all local volumes not used by at least one container.",
            false => "This will remove anonymous local volumes not used by at least one container.",
        };
        if !self.flags.confirmed(session, warning)? {
            return Ok(0);
        }
        let (removed, bytes) = prune::volumes(session, self.all, &self.flags)?;
        if !removed.is_empty() {
            output::line(format_args!("Deleted Volumes:\n{}\n", removed.join("\n")))?;
        }
        output::line(format_args!(
            "Total reclaimed space: {}",
            units::size_long(bytes)
        ))?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Exists {
    #[arg(required = true)]
    volume: String,
}

impl Run for Exists {
    fn run(self, session: &Session) -> Outcome {
        Ok(u8::from(
            volume::load(session.engine()?, &self.volume)?.is_none(),
        ))
    }
}
