//! `images`.

use crate::failure::{Failure, Outcome};
use crate::output::listing::{self, Field, Format, field, long_field};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use image::{Image, Store};
use model::filter::Filters;
use oci::Reference;
use serde_json::{Map, Value};

pub(crate) const VERB: Verb = verb::<List>(
    &["images", "image ls", "image list"],
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
)
.between(0, 1)
.examples("images\nimages --filter dangling=true -q\nimages redis\nimages --format '{{.Repository}}:{{.Tag}} {{.Size}}'");

#[derive(Debug, Args)]
struct List {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// List multi-platform images as a tree
    #[arg(long, hide = true)]
    tree: bool,
    reference: Option<String>,
}

const FIELDS: [Field; 11] = [
    long_field("Repository", "REPOSITORY"),
    long_field("Tag", "TAG"),
    field("Digest", "DIGEST"),
    field("ID", "IMAGE ID"),
    long_field("CreatedSince", "CREATED"),
    field("Size", "SIZE"),
    field("CreatedAt", "CREATED AT"),
    field("Containers", "CONTAINERS"),
    field("SharedSize", "SHARED SIZE"),
    field("UniqueSize", "UNIQUE SIZE"),
    field("VirtualSize", "VIRTUAL SIZE"),
];

/// One name of an image, as one row.
struct Row<'a> {
    image: &'a Image,
    repository: String,
    tag: String,
    digest: String,
}

impl Run for List {
    fn run(self, session: &Session) -> Outcome {
        if self.tree {
            return Err(Failure::said("--tree is not supported")
                .hint("`image inspect` shows an image's platform and layers"));
        }
        let filters = Filters::parse(&self.filter, engine::images::FILTERS)?;
        let format = Format::parse(self.format.as_deref())?;
        let store = session.engine()?.images()?;
        let images = engine::images::selected(&store, &filters)?;
        let patterns: Vec<&str> = filters
            .get("reference")
            .iter()
            .map(String::as_str)
            .chain(self.reference.as_deref())
            .collect();
        let mut shown: Vec<Row<'_>> = images
            .iter()
            .flat_map(rows_of)
            .filter(|row| row.matches(&patterns))
            .collect();
        // The newest first, as they come; those of one age by their names.
        shown.sort_by(|a, b| {
            let age = b.image.config.created.cmp(&a.image.config.created);
            age.then_with(|| a.repository.cmp(&b.repository))
                .then_with(|| a.tag.cmp(&b.tag))
        });
        if self.quiet {
            let mut last = String::new();
            for row in &shown {
                let id = self.id(row.image);
                if id != last {
                    output::line(&id)?;
                }
                last = id;
            }
            return Ok(0);
        }
        let rows: Vec<_> = shown.iter().map(|row| self.row(&store, row)).collect();
        let columns: &[&str] = match self.digests {
            true => &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"],
            false => &["Repository", "Tag", "ID", "CreatedSince", "Size"],
        };
        listing::print(&format, &FIELDS, columns, &rows)?;
        Ok(0)
    }
}

impl List {
    fn id(&self, image: &Image) -> String {
        match self.no_trunc {
            true => image.id.to_string(),
            false => image.id.short().to_owned(),
        }
    }

    fn row(&self, store: &Store, row: &Row<'_>) -> Map<String, Value> {
        let created = engine::images::created(row.image);
        let size = units::size(store.size(row.image));
        let pairs: [(&str, Value); 11] = [
            ("Containers", "N/A".into()),
            (
                "CreatedAt",
                created.map(units::created_at).unwrap_or_default().into(),
            ),
            (
                "CreatedSince",
                created.map_or_else(|| "N/A".to_owned(), units::ago).into(),
            ),
            ("Digest", row.digest.clone().into()),
            ("ID", self.id(row.image).into()),
            ("Repository", row.repository.clone().into()),
            ("SharedSize", "N/A".into()),
            ("Size", size.clone().into()),
            ("Tag", row.tag.clone().into()),
            ("UniqueSize", "N/A".into()),
            ("VirtualSize", size.into()),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

fn rows_of(image: &Image) -> Vec<Row<'_>> {
    let digest = image.target.digest.to_string();
    let none = || "<none>".to_owned();
    if image.names.is_empty() {
        return vec![Row {
            image,
            repository: none(),
            tag: none(),
            digest,
        }];
    }
    let row = |name: &Reference| Row {
        image,
        repository: name.familiar_repository(),
        tag: name.tag().map_or_else(none, str::to_owned),
        digest: digest.clone(),
    };
    // As Docker: a name by digest alone is no row of its own beside a tag.
    let tagged = |repository: &str| {
        let mut tags = image.names.iter().filter(|name| name.tag().is_some());
        tags.any(|name| name.familiar_repository() == repository)
    };
    let shown = |name: &&Reference| name.tag().is_some() || !tagged(&name.familiar_repository());
    image.names.iter().filter(shown).map(row).collect()
}

impl Row<'_> {
    /// Docker's patterns: `redis`, `redis:7`, `*:latest`, `my/*`.
    fn matches(&self, patterns: &[&str]) -> bool {
        let full = format!("{}:{}", self.repository, self.tag);
        patterns.is_empty()
            || patterns.iter().any(|pattern| {
                engine::images::fits(pattern, &self.repository)
                    || engine::images::fits(pattern, &full)
            })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns_match_as_dockers() {
        for (pattern, text, wanted) in [
            ("redis", "redis", true),
            ("red*", "redis", true),
            ("*", "my/app", false),
            ("my/*", "my/app", true),
            ("*:latest", "redis:latest", true),
            ("r?dis", "redis", true),
            ("redis", "redis:7", false),
        ] {
            assert_eq!(
                engine::images::fits(pattern, text),
                wanted,
                "{pattern} {text}"
            );
        }
        assert!(
            !engine::images::fits(&"*a".repeat(200), &"a".repeat(199)),
            "no backtracking, no time"
        );
    }
}
