//! `stats`.

use crate::failure::{Failure, Outcome};
use crate::output::listing::{self, Field, Format, field};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::list;
use engine::container::record::ContainerRecord;
use engine::container::stats::{Sample, sample};
use model::filter::Filters;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

pub(crate) const VERB: Verb = verb::<Stats>(
    &["stats", "container stats"],
    "[OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics",
)
.at_least(0)
.examples("stats\nstats --no-stream --format '{{.Name}}: {{.MemUsage}}' web");

/// Between two readings, as Docker's engine takes them.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    containers: Vec<String>,
}

const FIELDS: [Field; 9] = [
    field("ID", "CONTAINER ID"),
    field("Name", "NAME"),
    field("CPUPerc", "CPU %"),
    field("MemUsage", "MEM USAGE / LIMIT"),
    field("MemPerc", "MEM %"),
    field("NetIO", "NET I/O"),
    field("BlockIO", "BLOCK I/O"),
    field("PIDs", "PIDS"),
    field("Container", "CONTAINER"),
];
const COLUMNS: [&str; 8] = [
    "ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs",
];

impl Run for Stats {
    fn run(self, session: &Session) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let mut before = self.read(session)?;
        loop {
            std::thread::sleep(PERIOD);
            let now = self.read(session)?;
            let rows: Vec<_> = now
                .iter()
                .map(|(record, sample)| self.row(record, sample.as_ref(), &before))
                .collect();
            if !self.no_stream && std::io::stdout().is_terminal() {
                // Home, and clear to the end: the table is drawn over the last one.
                output::text("\x1b[H\x1b[J")?;
            }
            listing::print(&format, &FIELDS, &COLUMNS, &rows)?;
            if self.no_stream {
                return Ok(0);
            }
            before = now;
        }
    }
}

type Reading = Vec<(ContainerRecord, Option<Sample>)>;

impl Stats {
    fn read(&self, session: &Session) -> Result<Reading, Failure> {
        let ctx = session.engine()?;
        let records = match self.containers.is_empty() {
            true => list::list(ctx, self.all, &Filters::default())?
                .into_iter()
                .map(|listed| listed.record)
                .collect(),
            false => self
                .containers
                .iter()
                .map(|name| super::find(session, name))
                .collect::<Result<Vec<_>, _>>()?,
        };
        // One that has just stopped has nothing to show.
        Ok(records
            .into_iter()
            .map(|record| (sample(ctx, &record).ok(), record))
            .map(|(s, r)| (r, s))
            .collect())
    }

    fn row(
        &self,
        record: &ContainerRecord,
        sample: Option<&Sample>,
        before: &Reading,
    ) -> Map<String, Value> {
        let id = if self.no_trunc {
            record.id.as_str()
        } else {
            record.id.short()
        };
        let earlier: HashMap<&str, &Sample> = before
            .iter()
            .filter_map(|(r, s)| Some((r.id.as_str(), s.as_ref()?)))
            .collect();
        let texts = match sample {
            Some(now) => used(now, earlier.get(record.id.as_str()).copied()),
            None => ["--", "-- / --", "--", "--", "--", "--"].map(str::to_owned),
        };
        let [cpu, memory, memory_percent, net, block, pids] = texts;
        let pairs: [(&str, Value); 9] = [
            ("BlockIO", block.into()),
            ("CPUPerc", cpu.into()),
            ("Container", id.into()),
            ("ID", id.into()),
            ("MemPerc", memory_percent.into()),
            ("MemUsage", memory.into()),
            ("Name", record.name.clone().into()),
            ("NetIO", net.into()),
            ("PIDs", pids.into()),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// CPU, memory, memory percent, network, block devices, processes.
fn used(now: &Sample, before: Option<&Sample>) -> [String; 6] {
    let cpu = before.map_or(0.0, |before| now.cpu_percent(before));
    [
        format!("{cpu:.2}%"),
        format!(
            "{} / {}",
            units::memory(now.usage.memory_used()),
            units::memory(now.memory_limit)
        ),
        format!("{:.2}%", now.memory_percent()),
        format!("{} / {}", units::size(now.received), units::size(now.sent)),
        format!(
            "{} / {}",
            units::size(now.usage.io_read_bytes),
            units::size(now.usage.io_write_bytes)
        ),
        now.usage.pids.to_string(),
    ]
}
