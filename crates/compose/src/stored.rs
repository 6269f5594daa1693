//! External configs and secrets: those that `docker secret create` and `docker config create` made.
//!
//! Before a project is converted each becomes a file, the one in which the engine keeps it. So it goes the way of every other
//! source: its content counts in the hash of a service, and a container gets a copy.

use compose_file::Project;
use compose_file::project::{FileObject, FileReference, FileSource, Service};
use engine::Context;
use engine::stored::{self, Kind};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The project with its external configs and secrets found. One that is not there stays as it is.
pub(crate) fn resolve<'a>(
    ctx: &Context,
    project: &'a Project,
) -> Result<Cow<'a, Project>, engine::Error> {
    let external = |object: &FileObject| object.source == FileSource::External;
    let objects = project.configs.values().chain(project.secrets.values());
    if !objects.into_iter().any(external) {
        return Ok(Cow::Borrowed(project));
    }
    let mut project = project.clone();
    let configs = find(ctx, Kind::Config, &mut project.configs)?;
    let secrets = find(ctx, Kind::Secret, &mut project.secrets)?;
    for service in &mut project.services {
        copied(service, &configs, &secrets);
    }
    Ok(Cow::Owned(project))
}

/// Says where they are; gives the keys of those that were found.
fn find(
    ctx: &Context,
    kind: Kind,
    objects: &mut BTreeMap<String, FileObject>,
) -> Result<BTreeSet<String>, engine::Error> {
    let mut found = BTreeSet::new();
    for (key, object) in objects {
        if object.source != FileSource::External {
            continue;
        }
        if let Some(kept) = stored::load(ctx, kind, &object.name)? {
            object.source = FileSource::File(stored::data(ctx, kind, &kept.name));
            found.insert(key.clone());
        }
    }
    Ok(found)
}

/// The file of the store is root's alone and goes when it is removed: a container gets a copy, which is what a mode asks for.
fn copied(service: &mut Service, configs: &BTreeSet<String>, secrets: &BTreeSet<String>) {
    let set = |references: &mut Vec<FileReference>, known: &BTreeSet<String>| {
        let external = references
            .iter_mut()
            .filter(|reference| known.contains(&reference.source));
        external.for_each(|reference| reference.mode = reference.mode.or(Some(0o444)));
    };
    set(&mut service.configs, configs);
    set(&mut service.secrets, secrets);
}
