//! A kept generation as a project again.

use super::keep::objects;
use super::{Error, Generation, failed, place};
use crate::change::hex;
use crate::files::HostFiles;
use compose_file::project::FileSource;
use compose_file::{Options, Project};
use engine::Context;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A generation to be gone back to.
#[derive(Debug)]
pub struct Restored {
    pub project: Project,
    pub generation: Generation,
}

impl Restored {
    /// How many containers each service had; one that had none gets none.
    pub fn scale(&self) -> BTreeMap<String, u32> {
        let replicas = |name: &str| {
            let kept = self.generation.services.get(name);
            kept.map_or(0, |kept| kept.replicas)
        };
        let names = self.project.service_names();
        names
            .map(|name| (name.to_owned(), replicas(name)))
            .collect()
    }
}

/// Reads the model, with the contents its configs and secrets had.
pub fn restore(ctx: &Context, name: &str, generation: &Generation) -> Result<Restored, Error> {
    let place = place(ctx, name, generation.number);
    let options = Options {
        current_dir: generation.working_dir.clone(),
        files: vec![place.join("model.json").to_string_lossy().into_owned()],
        project_directory: Some(generation.working_dir.clone()),
        project_name: Some(name.to_owned()),
        profiles: vec!["*".into()],
        environment: generation.environment.clone(),
        ..Options::default()
    };
    let loaded = compose_file::load(&options, &HostFiles).map_err(|error| Error::Model {
        project: name.to_owned(),
        number: generation.number,
        cause: error.to_string(),
    })?;
    let mut project = loaded.project;
    project.files.clone_from(&generation.files);
    project.env_files.clone_from(&generation.env_files);
    let mut changed: Vec<(&'static str, String, PathBuf)> = Vec::new();
    for (kind, key, object) in objects(&project) {
        let kept = place.join("files").join(format!("{kind}.{key}"));
        if let FileSource::File(path) = &object.source
            && kept.is_file()
            && !same(path, &kept)?
        {
            changed.push((kind, key.clone(), kept));
        }
    }
    for (kind, key, kept) in changed {
        let objects = match kind {
            "configs" => &mut project.configs,
            _ => &mut project.secrets,
        };
        if let Some(object) = objects.get_mut(&key) {
            object.source = FileSource::File(mountable(ctx, name, &kept)?);
        }
    }
    Ok(Restored {
        project,
        generation: generation.clone(),
    })
}

/// Whether the host's file is as it was.
fn same(now: &Path, kept: &Path) -> Result<bool, Error> {
    let then = std::fs::read(kept).map_err(failed("read", kept))?;
    Ok(std::fs::read(now).is_ok_and(|now| now == then))
}

/// A container's mount outlives its generation: the file gets a second name, made from its content, among those that are kept as
/// long as a container mounts them.
fn mountable(ctx: &Context, project: &str, kept: &Path) -> Result<PathBuf, Error> {
    let bytes = std::fs::read(kept).map_err(failed("read", kept))?;
    let directory = crate::files::root(&ctx.layout).join(project);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(failed("create", &directory))?;
    let path = directory.join(hex(&Sha256::digest(&bytes)));
    match std::fs::hard_link(kept, &path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(failed("link", &path)(e)),
        _ => Ok(path),
    }
}
