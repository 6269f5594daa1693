//! `history`.

use crate::failure::Outcome;
use crate::output::listing::{self, Field, Format, field, long_field};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::Timestamp;
use image::list::HistoryLine;
use serde_json::{Map, Value};

pub(crate) const VERB: Verb = verb::<History>(
    &["history", "image history"],
    "[OPTIONS] IMAGE",
    "Show the history of an image",
)
.exactly(1)
.examples("history redis:7\nhistory --no-trunc --format '{{.CreatedBy}}' app");

#[derive(Debug, Args)]
struct History {
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Print sizes and dates in human readable format
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// Show history for the given platform, of an image that has several here
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[arg(required = true)]
    image: String,
}

const FIELDS: [Field; 6] = [
    field("ID", "IMAGE"),
    long_field("CreatedSince", "CREATED"),
    long_field("CreatedBy", "CREATED BY"),
    field("Size", "SIZE"),
    long_field("Comment", "COMMENT"),
    field("CreatedAt", "CREATED AT"),
];
const COLUMNS: [&str; 5] = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];

impl Run for History {
    fn run(self, session: &Session) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let store = session.engine()?.images()?;
        let image = super::find(&store, &self.image, self.platform.as_deref())?;
        let lines = store.history(&image);
        if self.quiet {
            for line in &lines {
                output::line(self.id(line))?;
            }
            return Ok(0);
        }
        let rows: Vec<_> = lines.iter().map(|line| self.row(line)).collect();
        let mut fields = FIELDS;
        if !self.human {
            fields[1].header = "CREATED AT";
        }
        listing::print(&format, &fields, &COLUMNS, &rows)?;
        Ok(0)
    }
}

impl History {
    fn id(&self, line: &HistoryLine) -> String {
        match (&line.id, self.no_trunc) {
            (Some(id), true) => id.to_string(),
            (Some(id), false) => id.short().to_owned(),
            (None, _) => "<missing>".into(),
        }
    }

    fn row(&self, line: &HistoryLine) -> Map<String, Value> {
        let created = line.created.as_deref().and_then(Timestamp::parse);
        let by = line.created_by.replace('\t', " ");
        let since = match (created, self.human) {
            (None, _) => "N/A".to_owned(),
            (Some(time), true) => units::ago(time),
            (Some(_), false) => line.created.clone().unwrap_or_default(),
        };
        let pairs: [(&str, Value); 6] = [
            ("Comment", line.comment.clone().into()),
            ("CreatedAt", line.created.clone().unwrap_or_default().into()),
            (
                "CreatedBy",
                if self.no_trunc {
                    by
                } else {
                    units::ellipsis(&by, 45)
                }
                .into(),
            ),
            ("CreatedSince", since.into()),
            ("ID", self.id(line).into()),
            (
                "Size",
                if self.human {
                    units::size(line.size)
                } else {
                    line.size.to_string()
                }
                .into(),
            ),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
