//! `system df`. The sizes are what lies on disk, each file counted once: together they are what du(1) says of the data root. An
//! image's own size, as `images` tells it, is that of its files; images share layers.

use crate::failure::{Failure, Outcome};
use crate::output::listing::{self, Field, Format, field};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::list::{self, Listed};
use engine::{usage, volume};
use model::filter::Filters;
use serde_json::{Map, Value};

pub(crate) const VERB: Verb = verb::<DiskUsage>(&["system df"], "[OPTIONS]", "Show disk usage")
    .examples("system df\nsystem df -v");

#[derive(Debug, Args)]
struct DiskUsage {
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

const FIELDS: [Field; 5] = [
    field("Type", "TYPE"),
    field("TotalCount", "TOTAL"),
    field("Active", "ACTIVE"),
    field("Size", "SIZE"),
    field("Reclaimable", "RECLAIMABLE"),
];
const COLUMNS: [&str; 5] = ["Type", "TotalCount", "Active", "Size", "Reclaimable"];

/// One kind of thing.
#[derive(Debug, Default)]
struct Sum {
    total: usize,
    active: usize,
    bytes: u64,
    reclaimable: u64,
    /// One line each for `-v`: name, bytes, users.
    each: Vec<(String, u64, usize)>,
}

impl Sum {
    fn add(&mut self, name: String, bytes: u64, users: usize) {
        self.total += 1;
        self.bytes += bytes;
        if users > 0 {
            self.active += 1;
        } else {
            self.reclaimable += bytes;
        }
        self.each.push((name, bytes, users));
    }

    fn row(&self, kind: &str) -> Map<String, Value> {
        let percent = match self.bytes {
            0 => String::new(),
            all => format!(" ({}%)", self.reclaimable * 100 / all),
        };
        let pairs: [(&str, Value); 5] = [
            ("Active", self.active.to_string().into()),
            (
                "Reclaimable",
                format!("{}{percent}", units::size_long(self.reclaimable)).into(),
            ),
            ("Size", units::size_long(self.bytes).into()),
            ("TotalCount", self.total.to_string().into()),
            ("Type", kind.into()),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

impl Run for DiskUsage {
    fn run(self, session: &Session) -> Outcome {
        if self.verbose && self.format.is_some() {
            return Err(Failure::said("the verbose and the format options conflict"));
        }
        let format = Format::parse(self.format.as_deref())?;
        let ctx = session.engine()?;
        let containers = list::list(ctx, true, &Filters::default())?;
        let mut kinds = vec![
            ("Images", images(session, &containers)?),
            ("Containers", of_containers(ctx, &containers)),
            ("Local Volumes", volumes(ctx)?),
            ("Build Cache", build_cache(ctx)?),
        ];
        // Docker has no such line: it is there once there is something to say.
        let fetched = fetched(ctx)?;
        if fetched.total > 0 {
            kinds.push(("Fetched Projects", fetched));
        }
        let listed: u64 = kinds.iter().map(|(_, sum)| sum.bytes).sum();
        kinds.push(("Other", other(ctx, listed)));
        if self.verbose {
            for (kind, sum) in &kinds {
                output::line(format_args!(
                    "{kind} space usage: {}\n",
                    units::size_long(sum.bytes)
                ))?;
                let mut rows = vec![["NAME", "SIZE", "USERS"].map(str::to_owned).to_vec()];
                rows.extend(sum.each.iter().map(|(name, bytes, users)| {
                    vec![name.clone(), units::size(*bytes), users.to_string()]
                }));
                output::line(output::table::layout(rows, &[], None))?;
            }
            return Ok(0);
        }
        let rows: Vec<_> = kinds.iter().map(|(kind, sum)| sum.row(kind)).collect();
        listing::print(&format, &FIELDS, &COLUMNS, &rows)?;
        Ok(0)
    }
}

fn images(session: &Session, containers: &[Listed]) -> Result<Sum, Failure> {
    let store = session.engine()?.images()?;
    let mut sum = Sum::default();
    for image in store.list().map_err(engine::Error::from)? {
        let id = image.id.to_string();
        let users = containers
            .iter()
            .filter(|container| container.record.image.id == id)
            .count();
        let name = image
            .repo_tags()
            .into_iter()
            .next()
            .unwrap_or_else(|| image.id.short().to_owned());
        sum.add(name, store.size(&image), users);
    }
    let layout = &session.engine()?.layout;
    sum.bytes = usage::disk_usage(&layout.images()) + usage::disk_usage(&layout.layers());
    let unused = store
        .reclaimable(&crate::image::in_use(session)?)
        .map_err(engine::Error::from)?;
    sum.reclaimable = unused.iter().map(|path| usage::disk_usage(path)).sum();
    Ok(sum)
}

fn of_containers(ctx: &engine::Context, containers: &[Listed]) -> Sum {
    let mut sum = Sum::default();
    for container in containers {
        let bytes = usage::disk_usage(&ctx.layout.container(container.record.id.as_str()));
        sum.add(
            container.record.name.clone(),
            bytes,
            usize::from(container.state.is_active()),
        );
    }
    sum.bytes = usage::disk_usage(&ctx.layout.containers());
    sum
}

fn volumes(ctx: &engine::Context) -> Result<Sum, Failure> {
    let mut sum = Sum::default();
    for record in volume::list(ctx)? {
        // Not what a volume is that binds a directory of the host.
        let bytes = usage::disk_usage(&ctx.layout.volume(&record.name));
        let users = volume::users(ctx, &record.name)?.len();
        sum.add(record.name, bytes, users);
    }
    sum.bytes = usage::disk_usage(&ctx.layout.volumes());
    Ok(sum)
}

/// Compose files, and what is beside them, from git and registries.
fn fetched(ctx: &engine::Context) -> Result<Sum, Failure> {
    let mut sum = Sum::default();
    for checkout in compose::remote::checkouts(ctx)? {
        sum.add(checkout.name, checkout.bytes, checkout.users);
    }
    Ok(sum)
}

/// The records and cache mounts of builds; the layers they made are counted with the images.
fn build_cache(ctx: &engine::Context) -> Result<Sum, Failure> {
    let steps = build::cache::list(&ctx.layout).map_err(|cause| Failure::of(&cause))?;
    let bytes = usage::disk_usage(&ctx.layout.build());
    Ok(Sum {
        total: steps.len(),
        bytes,
        reclaimable: bytes,
        ..Default::default()
    })
}

/// Records of networks and generations, what was fetched for Compose files, the trash.
fn other(ctx: &engine::Context, listed: u64) -> Sum {
    let trash = usage::disk_usage(&ctx.layout.trash());
    Sum {
        bytes: usage::disk_usage(ctx.layout.data_root()).saturating_sub(listed),
        reclaimable: trash,
        ..Default::default()
    }
}
