//! What was fetched for projects and lies in the data root: what for, how large, and away with what nobody needs.
//!
//! A commit or an artifact is used while a container, a job or a generation was made from it, or mounts something of it. What is
//! needed again is fetched again.

use crate::labels;
use engine::container::record::ContainerRecord;
use engine::jobs::JobRecord;
use engine::{Context, Error, usage};
use model::mount::{Mount, MountKind};
use std::path::{Path, PathBuf};

/// One commit or artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// `git/<commit>`, `oci/<digest>`.
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    /// How many containers, jobs and generations need it.
    pub users: usize,
}

/// All there is, by name.
pub fn checkouts(ctx: &Context) -> Result<Vec<Checkout>, Error> {
    let root = ctx.layout.remote();
    let mut paths: Vec<PathBuf> = ["git", "oci"]
        .iter()
        .filter_map(|kind| std::fs::read_dir(root.join(kind)).ok())
        .flat_map(|entries| entries.flatten())
        .map(|entry| entry.path())
        .collect();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    paths.sort();
    let users = users(ctx)?;
    let checkout = |path: PathBuf| Checkout {
        name: path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .display()
            .to_string(),
        bytes: usage::disk_usage(&path),
        users: users
            .iter()
            .filter(|needed| needed.iter().any(|needed| needed.starts_with(&path)))
            .count(),
        path,
    };
    Ok(paths.into_iter().map(checkout).collect())
}

/// Removes what nobody needs; its names and the bytes that came free.
pub fn prune(ctx: &Context) -> Result<(Vec<String>, u64), Error> {
    let (mut names, mut freed) = (Vec::new(), 0);
    for checkout in checkouts(ctx)?.into_iter().filter(|c| c.users == 0) {
        engine::trash::discard(ctx, &checkout.path)?;
        freed += checkout.bytes;
        names.push(checkout.name);
    }
    Ok((names, freed))
}

/// The paths that each user needs.
fn users(ctx: &Context) -> Result<Vec<Vec<PathBuf>>, Error> {
    let mut users = Vec::new();
    for container in ContainerRecord::list(ctx)? {
        let mut paths = mounted(container.mounts.iter().map(|m| &m.mount));
        for label in [labels::WORKING_DIR, labels::CONFIG_FILES] {
            let text = container.labels.get(label).map_or("", String::as_str);
            paths.extend(text.split(',').map(PathBuf::from));
        }
        users.push(paths);
    }
    for job in JobRecord::list(ctx)? {
        let mut paths = mounted(job.spec.mounts.iter());
        paths.extend(job.spec.labels.get(labels::WORKING_DIR).map(PathBuf::from));
        users.push(paths);
    }
    // A project that was taken down is not gone back to.
    for project in crate::generation::projects(ctx)? {
        for kept in crate::generation::list(ctx, &project).unwrap_or_default() {
            let mut paths = kept.files;
            paths.push(kept.working_dir);
            users.push(paths);
        }
    }
    Ok(users)
}

fn mounted<'m>(mounts: impl Iterator<Item = &'m Mount>) -> Vec<PathBuf> {
    let source = |mount: &'m Mount| match &mount.kind {
        MountKind::Bind { source, .. } => Some(Path::new(source).to_owned()),
        _ => None,
    };
    mounts.filter_map(source).collect()
}
