//! `search`.

use crate::failure::Outcome;
use crate::output::listing::{self, Field, Format, field, long_field};
use crate::output::units;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::search;
use image::account::SearchResult;
use model::filter::Filters;
use serde_json::{Map, Value};

pub(crate) const VERB: Verb = verb::<Search>(
    &["search"],
    "[OPTIONS] TERM",
    "Search Docker Hub for images",
)
.exactly(1)
.examples("search --limit 5 redis\nsearch localhost:5000/team");

#[derive(Debug, Args)]
struct Search {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Pretty-print search using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Max number of search results
    #[arg(long, value_name = "int", default_value = "25")]
    limit: usize,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    #[arg(required = true)]
    term: String,
}

const FIELDS: [Field; 5] = [
    field("Name", "NAME"),
    long_field("Description", "DESCRIPTION"),
    field("StarCount", "STARS"),
    field("IsOfficial", "OFFICIAL"),
    field("IsAutomated", "AUTOMATED"),
];

impl Run for Search {
    fn run(self, session: &Session) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let filters = Filters::parse(&self.filter, search::FILTERS)?;
        let options = session.engine()?.registries();
        let found = search::search(&options, &self.term, self.limit, &filters)?;
        let rows: Vec<_> = found.iter().map(|result| self.row(result)).collect();
        listing::print(
            &format,
            &FIELDS,
            &["Name", "Description", "StarCount", "IsOfficial"],
            &rows,
        )?;
        Ok(0)
    }
}

impl Search {
    fn row(&self, result: &SearchResult) -> Map<String, Value> {
        let description = result.description.replace(['\n', '\r'], " ");
        let description = if self.no_trunc {
            description
        } else {
            units::ellipsis(&description, 45)
        };
        let tick = |yes: bool| if yes { "[OK]" } else { "" };
        let pairs: [(&str, Value); 5] = [
            ("Description", description.into()),
            ("IsAutomated", tick(result.is_automated).into()),
            ("IsOfficial", tick(result.is_official).into()),
            ("Name", result.name.clone().into()),
            ("StarCount", result.star_count.to_string().into()),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
