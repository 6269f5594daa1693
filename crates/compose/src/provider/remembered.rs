//! What providers said last: a plan that is only shown asks no program, and shows what they would say again.
//!
//! ```text
//! <data>/providers/<project>.json    by service: what the program was called with, and the variables it gave; root's alone
//! ```

use engine::{Context, Error};
use serde::{Deserialize, Serialize};
use state::{Durability, record};
use std::collections::BTreeMap;

/// One program's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Asked otherwise it may answer otherwise.
    pub(super) arguments: Vec<String>,
    pub(super) variables: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Remembered {
    pub(super) services: BTreeMap<String, Answer>,
}

impl Remembered {
    pub(super) fn load(ctx: &Context, project: &str) -> Result<Self, Error> {
        Ok(record::read(&ctx.layout.provided(project))?.unwrap_or_default())
    }

    /// Writes it down, where there is anything new in it.
    pub(super) fn save(&self, ctx: &Context, project: &str) -> Result<(), Error> {
        if *self == Self::load(ctx, project)? {
            return Ok(());
        }
        let path = ctx.layout.provided(project);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        }
        Ok(record::write(&path, self, Durability::Durable)?)
    }

    pub(super) fn forget(ctx: &Context, project: &str) -> Result<(), Error> {
        let path = ctx.layout.provided(project);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", &path)(e))
            }
            _ => Ok(()),
        }
    }
}
