//! `docker secret …` and `docker config …`: contents kept by name, for services that say `external`.
//!
//! Source: Docker CLI reference (`docker secret`, `docker config`), which needs a swarm for them; podman-secret(1) for
//! `--replace`, `--env`, `exists` and `--showsecret`.

mod inspect;

use crate::args::key_value;
use crate::failure::{Failure, Outcome};
use crate::output::listing::{self, Field, Format, ListFlags, field, join_labels};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::stored::{self, Kind, StoredRecord};
use model::filter::Filters;
use serde_json::{Map, Value};
use std::io::Read;

/// Every verb of the two nouns.
pub(crate) const VERBS: &[Verb] = &[
    verb::<Of<SECRET, Create>>(&["secret create"], "[OPTIONS] SECRET [file|-]", "Create a secret from a file or STDIN as content")
        .between(1, 2)
        .examples("secret create db_password ./password.txt\nprintf s3cret | dockless secret create db_password -"),
    verb::<Of<SECRET, List>>(&["secret ls", "secret list"], "[OPTIONS]", "List secrets"),
    verb::<Of<SECRET, Remove>>(&["secret rm", "secret remove"], "SECRET [SECRET...]", "Remove one or more secrets").at_least(0),
    verb::<Of<SECRET, inspect::Inspect>>(&["secret inspect"], "[OPTIONS] SECRET [SECRET...]", "Display detailed information on one or more secrets").at_least(1),
    verb::<Of<SECRET, Exists>>(&["secret exists"], "SECRET", "Exit with 0 if the secret exists, with 1 if not").exactly(1),
    verb::<Of<CONFIG, Create>>(&["config create"], "[OPTIONS] CONFIG file|-", "Create a config from a file or STDIN")
        .between(1, 2)
        .examples("config create nginx_conf ./nginx.conf"),
    verb::<Of<CONFIG, List>>(&["config ls", "config list"], "[OPTIONS]", "List configs"),
    verb::<Of<CONFIG, Remove>>(&["config rm", "config remove"], "CONFIG [CONFIG...]", "Remove one or more configs").at_least(0),
    verb::<Of<CONFIG, inspect::Inspect>>(&["config inspect"], "[OPTIONS] CONFIG [CONFIG...]", "Display detailed information on one or more configs").at_least(1),
    verb::<Of<CONFIG, Exists>>(&["config exists"], "CONFIG", "Exit with 0 if the config exists, with 1 if not").exactly(1),
];

const SECRET: bool = true;
const CONFIG: bool = false;

/// A verb of one of the two nouns.
#[derive(Debug, Args)]
struct Of<const IS_SECRET: bool, A: Args> {
    #[command(flatten)]
    verb: A,
}

/// What a verb does for either noun.
trait RunFor: Args {
    fn run(self, session: &Session, kind: Kind) -> Outcome;
}

impl<const IS_SECRET: bool, A: RunFor> Run for Of<IS_SECRET, A> {
    fn run(self, session: &Session) -> Outcome {
        let kind = if IS_SECRET {
            Kind::Secret
        } else {
            Kind::Config
        };
        self.verb.run(session, kind)
    }
}

#[derive(Debug, Args)]
struct Create {
    /// Driver; only the engine's own store is there
    #[arg(short, long, value_name = "string", hide = true)]
    driver: Option<String>,
    /// Take the content from the environment variable that is named in the place of the file
    #[arg(long)]
    env: bool,
    /// Labels
    #[arg(short, long, value_name = "list")]
    label: Vec<String>,
    /// Take the place of one that has the name already
    #[arg(long)]
    replace: bool,
    /// Template driver; contents are taken as they are
    #[arg(long, value_name = "string", hide = true)]
    template_driver: Option<String>,
    name: String,
    file: Option<String>,
}

impl RunFor for Create {
    fn run(self, session: &Session, kind: Kind) -> Outcome {
        for (flag, value) in [
            ("--driver", &self.driver),
            ("--template-driver", &self.template_driver),
        ] {
            let known = value
                .as_deref()
                .is_none_or(|v| matches!(v, "" | "file" | "local"));
            if !known {
                return Err(Failure::said(format!("{flag} is not supported"))
                    .hint("contents are kept below the data root, as they are; leave it out"));
            }
        }
        let content = self.content(kind)?;
        let labels = key_value::map(&self.label);
        let ctx = session.engine()?;
        let kept = stored::create(ctx, kind, &self.name, labels, &content, self.replace)?;
        output::line(kept.id)?;
        Ok(0)
    }
}

impl Create {
    fn content(&self, kind: Kind) -> Result<Vec<u8>, Failure> {
        let source = self.file.as_deref().unwrap_or("-");
        if self.env {
            let value = std::env::var_os(source).ok_or_else(|| {
                Failure::said(format!("environment variable {source:?} is not set"))
                    .hint(format!("name it after the {}'s name", kind.word()))
            })?;
            return Ok(value.into_encoded_bytes());
        }
        if source != "-" {
            return std::fs::read(source).map_err(Failure::system(format!("read {source}")));
        }
        let mut content = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut content)
            .map_err(Failure::system("read standard input"))?;
        Ok(content)
    }
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    flags: ListFlags,
}

const FIELDS: [Field; 6] = [
    field("ID", "ID"),
    field("Name", "NAME"),
    field("Driver", "DRIVER"),
    field("CreatedAt", "CREATED"),
    field("UpdatedAt", "UPDATED"),
    field("Labels", "LABELS"),
];

impl RunFor for List {
    fn run(self, session: &Session, kind: Kind) -> Outcome {
        let ctx = session.engine()?;
        let filters = Filters::parse(&self.flags.filter, &["id", "label", "name"])?;
        let format = Format::parse(self.flags.format.as_deref())?;
        let mut all = stored::list(ctx, kind)?;
        all.retain(|kept| {
            filters.matches_name("name", &kept.name)
                && filters.matches_prefix("id", &kept.id)
                && filters.matches_labels(&kept.labels)
        });
        if self.flags.quiet {
            for kept in &all {
                output::line(&kept.id)?;
            }
            return Ok(0);
        }
        let columns: &[&str] = match kind {
            Kind::Secret => &["ID", "Name", "Driver", "CreatedAt", "UpdatedAt"],
            Kind::Config => &["ID", "Name", "CreatedAt", "UpdatedAt"],
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        listing::print(&format, &FIELDS, columns, &rows)?;
        Ok(0)
    }
}

fn row(kept: &StoredRecord) -> Map<String, Value> {
    let pairs: [(&str, Value); 6] = [
        ("CreatedAt", units::ago(kept.created).into()),
        ("Driver", "".into()),
        ("ID", kept.id.clone().into()),
        ("Labels", join_labels(&kept.labels).into()),
        ("Name", kept.name.clone().into()),
        ("UpdatedAt", units::ago(kept.created).into()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[derive(Debug, Args)]
struct Remove {
    /// Remove all of them
    #[arg(short, long)]
    all: bool,
    names: Vec<String>,
}

impl RunFor for Remove {
    fn run(self, session: &Session, kind: Kind) -> Outcome {
        let ctx = session.engine()?;
        let names = match (self.all, self.names.is_empty()) {
            (true, _) => stored::list(ctx, kind)?
                .into_iter()
                .map(|kept| kept.name)
                .collect(),
            (false, true) => {
                return Err(Failure::usage(format!(
                    "requires at least 1 argument: name a {}, or give --all",
                    kind.word()
                )));
            }
            (false, false) => self.names,
        };
        session.each(&names, |name| {
            stored::remove(ctx, kind, name)?;
            output::line(name)
        })
    }
}

#[derive(Debug, Args)]
struct Exists {
    #[arg(required = true)]
    name: String,
}

impl RunFor for Exists {
    fn run(self, session: &Session, kind: Kind) -> Outcome {
        match stored::find(session.engine()?, kind, &self.name) {
            Ok(_) => Ok(0),
            Err(engine::Error::NoSuchStored { .. }) => Ok(1),
            Err(error) => Err(error.into()),
        }
    }
}
