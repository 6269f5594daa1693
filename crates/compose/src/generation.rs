//! What a project was: after every `up` that succeeded and changed something, its model, images and contents are kept.
//!
//! ```text
//! <data>/generations/<project>/<number>/     0700; there only when it is whole
//!   generation.json       Generation
//!   model.json            the project in canonical form, variables and env files resolved
//!   files/<kind>.<key>    configs and secrets that came from files of the host, with owner and mode
//! ```
//!
//! The last [`KEPT`] of each project stay, or as many as the configuration says (`keep-generations`). What volumes hold, and files that are bind-mounted, are not part of it.

mod keep;
mod restore;

pub use keep::keep_last;
pub(crate) use keep::{Occasion, keep};
pub use restore::{Restored, restore};

use crate::observe;
use engine::{Context, Timestamp};
use serde::{Deserialize, Serialize};
use state::record;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// How many generations of a project are kept where nothing else is said.
pub const KEPT: usize = 5;

/// One version of a project that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    pub number: u32,
    pub created: Timestamp,
    /// `up`, `update`, `rollback to 3`.
    pub origin: String,
    /// Those that had containers.
    pub services: BTreeMap<String, KeptService>,
    pub working_dir: PathBuf,
    pub files: Vec<PathBuf>,
    pub env_files: Vec<PathBuf>,
    /// The variables that configs and secrets are made of.
    environment: BTreeMap<String, String>,
    /// Of the model and of each file kept beside it.
    digests: BTreeMap<String, String>,
}

/// What ran of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptService {
    pub image: String,
    pub image_id: String,
    /// Of the manifest, where known: what it can be fetched by.
    pub digest: Option<String>,
    pub hash: String,
    pub replicas: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Record(#[from] state::Error),
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot put the model of project {project} into words")]
    Emit {
        project: String,
        source: compose_file::EmitError,
    },
    #[error("generation {number} of project {project} cannot be read any more: {cause}")]
    Model {
        project: String,
        number: u32,
        cause: String,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action,
        path,
        source,
    }
}

fn directory(ctx: &Context, project: &str) -> PathBuf {
    ctx.layout.generations().join(project)
}

fn place(ctx: &Context, project: &str, number: u32) -> PathBuf {
    directory(ctx, project).join(number.to_string())
}

/// The generations of a project, oldest first. One that cannot be read (damaged, or of a newer version) is none to go back to.
pub fn list(ctx: &Context, project: &str) -> Result<Vec<Generation>, Error> {
    let mut found = Vec::new();
    for number in numbers(&directory(ctx, project))? {
        let path = place(ctx, project, number).join("generation.json");
        match record::read::<Generation>(&path) {
            Err(state::Error::Parse { .. } | state::Error::Newer { .. }) => {}
            other => found.extend(other?),
        }
    }
    Ok(found)
}

/// In ascending order; what is half-made or half-gone has no number.
fn numbers(directory: &Path) -> Result<BTreeSet<u32>, Error> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(source) => return Err(failed("list", directory)(source)),
    };
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    Ok(entries.flatten().filter_map(number).collect())
}

/// The images that must stay so that projects which are there can go back: image id, and the project and
/// generation that need it.
pub fn images(ctx: &Context) -> Result<BTreeMap<String, (String, u32)>, Error> {
    let mut needed = BTreeMap::new();
    for project in projects(ctx)? {
        for generation in list(ctx, &project)? {
            for service in generation.services.into_values() {
                needed.insert(service.image_id, (project.clone(), generation.number));
            }
        }
    }
    Ok(needed)
}

/// The projects that may be gone back: one that was taken down is not.
pub(crate) fn projects(ctx: &Context) -> Result<Vec<String>, engine::Error> {
    let Ok(entries) = std::fs::read_dir(ctx.layout.generations()) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        if let Ok(project) = entry.file_name().into_string()
            && !observe::listed(ctx, &project)?.is_empty()
        {
            found.push(project);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
