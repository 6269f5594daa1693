//! Keeping what runs now. Under the project's lock, after everything is as the file wants it.

use super::{Error, Generation, KEPT, KeptService, directory, failed, list, numbers};
use crate::change::hex;
use crate::{labels, observe};
use compose_file::Project;
use compose_file::project::{FileObject, FileSource};
use engine::{Context, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};
use state::{Durability, record};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What was done.
#[derive(Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) origin: &'a str,
    /// Services that were brought to what the model says; the others are as they were.
    pub(crate) services: Vec<&'a str>,
}

/// Keeps the project as a generation, unless the last one is the same.
pub(crate) fn keep(ctx: &Context, project: &Project, occasion: &Occasion<'_>) -> Result<(), Error> {
    let earlier = list(ctx, &project.name)?;
    let last = earlier.last();
    let model = model(ctx, project, occasion, last)?;
    let files = files(project);
    let mut digests = BTreeMap::from([("model".to_owned(), digest(model.as_bytes()))]);
    for (name, path) in &files {
        let bytes = std::fs::read(path).map_err(failed("read", path))?;
        digests.insert(name.clone(), digest(&bytes));
    }
    let generation = Generation {
        number: numbers(&directory(ctx, &project.name))?
            .last()
            .map_or(1, |last| last + 1),
        created: Timestamp::now(),
        origin: occasion.origin.to_owned(),
        services: running(ctx, project)?,
        working_dir: project.working_dir.clone(),
        files: project.files.clone(),
        env_files: project.env_files.clone(),
        environment: variables(project),
        digests,
    };
    let same = |last: &Generation| {
        let as_now = Generation {
            number: generation.number,
            created: generation.created,
            origin: generation.origin.clone(),
            ..last.clone()
        };
        as_now == generation
    };
    if last.is_some_and(same) {
        return Ok(());
    }
    write(ctx, &project.name, &generation, &model, &files)?;
    let kept = ctx.config.keep_generations;
    forget(
        &directory(ctx, &project.name),
        kept.map_or(KEPT, usize::from),
    )
    .map(drop)
}

/// Forgets what is older than the last generations of every project; `PROJECT/NUMBER` of each that went.
pub fn keep_last(ctx: &Context, count: std::num::NonZeroUsize) -> Result<Vec<String>, Error> {
    let mut gone = Vec::new();
    let Ok(projects) = std::fs::read_dir(ctx.layout.generations()) else {
        return Ok(gone);
    };
    for project in projects.flatten() {
        let name = project.file_name().to_string_lossy().into_owned();
        // Whoever brings the project up adds one at this moment.
        let path = ctx.layout.lock("project", &name);
        let Ok(Some(_lock)) = sys::lock::FileLock::try_exclusive(&path) else {
            continue;
        };
        let numbers = forget(&project.path(), count.get())?;
        gone.extend(numbers.into_iter().map(|number| format!("{name}/{number}")));
    }
    Ok(gone)
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The canonical form; services that were left alone stand in it as they did in the last generation.
fn model(
    ctx: &Context,
    project: &Project,
    occasion: &Occasion<'_>,
    last: Option<&Generation>,
) -> Result<String, Error> {
    let name = &project.name;
    let text = compose_file::to_json(project).map_err(|source| Error::Emit {
        project: name.clone(),
        source,
    })?;
    let Some(last) = last.filter(|_| occasion.services.len() < project.services.len()) else {
        return Ok(text);
    };
    let path = super::place(ctx, name, last.number).join("model.json");
    let before = std::fs::read(&path).unwrap_or_default();
    let parsed = (
        serde_json::from_str(&text),
        serde_json::from_slice::<Value>(&before),
    );
    let (Ok(Value::Object(mut now)), Ok(before)) = parsed else {
        return Ok(text);
    };
    if let Some(services) = now.get_mut("services").and_then(Value::as_object_mut) {
        for (service, value) in services.iter_mut() {
            let left_alone = !occasion.services.contains(&service.as_str());
            if left_alone && let Some(then) = before["services"].get(service) {
                value.clone_from(then);
            }
        }
    }
    Ok(serde_json::to_string_pretty(&now).unwrap_or(text))
}

/// Configs and secrets that are files of the host: the name each is kept under, and where it is.
fn files(project: &Project) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for (kind, key, object) in objects(project) {
        if let FileSource::File(path) = &object.source
            && path.is_file()
        {
            found.insert(format!("{kind}.{key}"), path.clone());
        }
    }
    found
}

pub(super) fn objects(
    project: &Project,
) -> impl Iterator<Item = (&'static str, &String, &FileObject)> {
    let configs = project.configs.iter().map(|(k, o)| ("configs", k, o));
    let secrets = project.secrets.iter().map(|(k, o)| ("secrets", k, o));
    configs.chain(secrets)
}

fn variables(project: &Project) -> BTreeMap<String, String> {
    let variable = |(_, _, object): (&str, &String, &FileObject)| match &object.source {
        FileSource::Environment {
            variable,
            value: Some(value),
        } => Some((variable.clone(), value.clone())),
        _ => None,
    };
    objects(project).filter_map(variable).collect()
}

/// What really runs, service by service.
fn running(ctx: &Context, project: &Project) -> Result<BTreeMap<String, KeptService>, Error> {
    let mut services: BTreeMap<String, KeptService> = BTreeMap::new();
    for listed in observe::listed(ctx, &project.name)? {
        let container = observe::Container::from(&listed);
        if container.oneoff || project.service(&container.service).is_none() {
            continue;
        }
        let image = &listed.record.image;
        let kept = services
            .entry(container.service)
            .or_insert_with(|| KeptService {
                image: listed.record.spec.image.clone(),
                image_id: image.id.clone(),
                digest: image.digest.clone(),
                hash: listed
                    .record
                    .labels
                    .get(labels::CONFIG_HASH)
                    .cloned()
                    .unwrap_or_default(),
                replicas: 0,
            });
        kept.replicas += 1;
    }
    Ok(services)
}

/// Made aside, seen in one step.
fn write(
    ctx: &Context,
    project: &str,
    generation: &Generation,
    model: &str,
    files: &BTreeMap<String, PathBuf>,
) -> Result<(), Error> {
    let directory = directory(ctx, project);
    let aside = directory.join(format!(".new-{}", generation.number));
    let _ = std::fs::remove_dir_all(&aside);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(aside.join("files"))
        .map_err(failed("create", &aside))?;
    for (name, path) in files {
        let to = aside.join("files").join(name);
        copy(path, &to).map_err(failed("keep a copy of", path))?;
    }
    let path = aside.join("model.json");
    record::write_bytes(&path, model.as_bytes(), Durability::Durable)
        .map_err(failed("write", &path))?;
    record::write(
        &aside.join("generation.json"),
        generation,
        Durability::Durable,
    )?;
    let place = directory.join(generation.number.to_string());
    std::fs::rename(&aside, &place).map_err(failed("rename", &aside))
}

/// With owner and mode: a container sees them.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let meta = std::fs::metadata(from)?;
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    out.write_all(&std::fs::read(from)?)?;
    out.sync_all()?;
    std::os::unix::fs::chown(to, Some(meta.uid()), Some(meta.gid()))?;
    std::fs::set_permissions(
        to,
        std::fs::Permissions::from_mode(meta.permissions().mode()),
    )
}

/// Drops what is older than is kept, and what a killed command left half-made.
fn forget(directory: &Path, count: usize) -> Result<Vec<String>, Error> {
    let mut gone = Vec::new();
    let numbers = numbers(directory)?;
    let kept: Vec<String> = numbers
        .iter()
        .rev()
        .take(count)
        .map(ToString::to_string)
        .collect();
    let entries = std::fs::read_dir(directory).map_err(failed("list", directory))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if kept.contains(&name) {
            continue;
        }
        // Without its record it is none; so the record goes first.
        let path = entry.path();
        let _ = std::fs::remove_file(path.join("generation.json"));
        std::fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
        gone.push(name);
    }
    Ok(gone)
}
