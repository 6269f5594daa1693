//! What goes into a bundle, found out and tried before a byte of it is written.

use super::env::{self, is_of_the_host, relative};
use super::{DIRECTORY, FILE, MODE, PROJECT, Seen, TITLE};
use compose_file::project::FileSource;
use compose_file::{MemoryFiles, Options, Project, Service};
use image::artifact::{self, FILE_MAX, FILES_MAX};
use model::mount::MountKind;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where the files are put for the trial.
const TRIAL: &str = "/bundle";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{0} is not a file of this host: write the project down with `compose config -o compose.yaml`, and save that"
    )]
    Elsewhere(String),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{} has nothing in common with the project directory {}: move it below, or name it by a relative path", path.display(), directory.display()
    )]
    Apart { path: PathBuf, directory: PathBuf },
    #[error("{} is neither a regular file nor a directory: it cannot be carried", .0.display())]
    Special(PathBuf),
    #[error("{} has more than {} MiB: it cannot be carried in a bundle", .0.display(), FILE_MAX >> 20)]
    Large(PathBuf),
    #[error("the project has more than {FILES_MAX} files to carry")]
    Many,
    #[error("{} has a name that is no UTF-8", .0.display())]
    Name(PathBuf),
    #[error("on another host the project would not load:\n{0}")]
    Trial(String),
    #[error(
        "the project names {} by its absolute path, which another host does not have: name it by a relative one", .0.display()
    )]
    Absolute(PathBuf),
    #[error(
        "on another host service {service:?} would have another {what}: keep the first Compose file in the project directory and leave --project-directory out"
    )]
    Other { service: String, what: &'static str },
}

/// What is asked for beside the files that the loader reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    pub secrets: bool,
    pub bind_mounts: bool,
}

/// A project ready to be written.
#[derive(Debug)]
pub struct Bundle {
    pub files: Vec<artifact::File>,
    pub annotations: BTreeMap<String, String>,
    /// What whoever saves should know.
    pub notes: Vec<String>,
    /// Image and platform of everything the services need.
    pub images: BTreeSet<(String, Option<String>)>,
}

#[derive(Debug)]
struct Kept {
    content: Vec<u8>,
    mode: u32,
}

type Kepts = BTreeMap<PathBuf, Kept>;

/// Gathers the files of a project that was loaded with all profiles by `options`; `used` are the variables its files name.
pub fn collect(
    project: &Project,
    seen: Seen,
    options: &Options,
    used: &[String],
    wanted: Wanted,
) -> Result<Bundle, Error> {
    if let Some(address) = seen.elsewhere.into_iter().next() {
        return Err(Error::Elsewhere(address));
    }
    let mut notes = Vec::new();
    let mut kept: Kepts = BTreeMap::new();
    for (path, content) in seen.read {
        let mode = mode_of(&path, 0o644);
        kept.insert(path, Kept { content, mode });
    }
    for source in project.configs.values() {
        if let FileSource::File(path) = &source.source {
            keep_file(path, &mut kept)?;
        }
    }
    secrets(project, wanted, &mut kept, &mut notes)?;
    bind_mounts(project, wanted, &mut kept, &mut notes)?;
    let base = base(project, &kept)?;
    let trial = Trial {
        project,
        options,
        base: &base,
    };
    let mut settings = env::settings(options, &project.name, &project.files, &project.working_dir);
    settings.extend(from_shell(project, options, used, wanted, &mut notes));
    let env_file = project.working_dir.join(".env");
    let files = project.env_files.iter().filter_map(|p| kept.get(p));
    let own: Vec<Vec<u8>> = files.map(|kept| kept.content.clone()).collect();
    let own: Vec<&[u8]> = own.iter().map(Vec::as_slice).collect();
    // Bare names that take the shell's value are found by the trial: each round adds what the last one missed.
    loop {
        let content = env::text(&own, &settings);
        let mode = mode_of(&env_file, 0o600);
        kept.insert(env_file.clone(), Kept { content, mode });
        let missed = trial.run(&kept)?;
        let before = settings.len();
        settings.extend(missed);
        if settings.len() == before {
            break;
        }
    }
    Ok(Bundle {
        files: files_of(&base, kept)?,
        annotations: BTreeMap::from([
            (PROJECT.to_owned(), project.name.clone()),
            (
                DIRECTORY.to_owned(),
                shown(&relative(&base, &project.working_dir))?,
            ),
        ]),
        notes,
        images: images(project),
    })
}

fn mode_of(path: &Path, otherwise: u32) -> u32 {
    path.metadata()
        .map_or(otherwise, |meta| meta.permissions().mode() & 0o777)
}

fn keep_file(path: &Path, kept: &mut Kepts) -> Result<(), Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let meta = path.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(Error::Special(path.to_owned()));
    }
    if meta.len() > FILE_MAX {
        return Err(Error::Large(path.to_owned()));
    }
    if kept.len() >= FILES_MAX {
        return Err(Error::Many);
    }
    let content = std::fs::read(path).map_err(failed)?;
    let mode = meta.permissions().mode() & 0o777;
    kept.insert(path.to_owned(), Kept { content, mode });
    Ok(())
}

fn secrets(
    project: &Project,
    wanted: Wanted,
    kept: &mut Kepts,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let mut carried = Vec::new();
    for (key, object) in &project.secrets {
        match &object.source {
            FileSource::File(path) if wanted.secrets => {
                keep_file(path, kept)?;
                carried.push(key.as_str());
            }
            FileSource::File(path) => {
                kept.remove(path);
                let place = relative(&project.working_dir, path);
                notes.push(format!(
                    "secret {key:?} is left out: put it at {} of the project there, or save with --with-secrets",
                    place.display()
                ));
            }
            FileSource::Environment { variable, .. } if wanted.secrets => {
                carried.push(variable.as_str());
            }
            FileSource::Environment { variable, .. } => notes.push(format!(
                "secret {key:?} is left out: set the variable {variable} there, or save with --with-secrets"
            )),
            FileSource::External => notes.push(format!(
                "secret {key:?} is kept by the engine and is left out: make it there with `secret create`"
            )),
            FileSource::Content(_) => {}
        }
    }
    if !carried.is_empty() {
        notes.push(format!(
            "the bundle holds secrets in the clear ({}): whoever can read it has them",
            carried.join(", ")
        ));
    }
    Ok(())
}

/// Bind mounts of the project directory. Those of other places are the other host's.
fn bind_mounts(
    project: &Project,
    wanted: Wanted,
    kept: &mut Kepts,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let mut left = BTreeSet::new();
    for service in services(project) {
        for volume in &service.volumes {
            let MountKind::Bind { source, .. } = &volume.mount.kind else {
                continue;
            };
            let path = PathBuf::from(source);
            if !path.starts_with(&project.working_dir) || kept.contains_key(&path) {
                continue;
            }
            match wanted.bind_mounts {
                true if path.exists() => keep_tree(&path, kept)?,
                true => {}
                false => drop(left.insert(relative(&project.working_dir, &path))),
            }
        }
    }
    if !left.is_empty() {
        let left: Vec<String> = left.iter().map(|p| format!("./{}", p.display())).collect();
        notes.push(format!(
            "what bind mounts show is left out ({}): bring it there, or save with --with-bind-mounts",
            left.join(", ")
        ));
    }
    Ok(())
}

fn keep_tree(path: &Path, kept: &mut Kepts) -> Result<(), Error> {
    let mut todo = vec![path.to_owned()];
    while let Some(next) = todo.pop() {
        let failed = |source| Error::Read {
            path: next.clone(),
            source,
        };
        let kind = next.symlink_metadata().map_err(failed)?.file_type();
        if kind.is_dir() {
            let entries = std::fs::read_dir(&next).map_err(failed)?;
            todo.extend(entries.flatten().map(|entry| entry.path()));
        } else if kind.is_file() {
            keep_file(&next, kept)?;
        } else {
            return Err(Error::Special(next));
        }
    }
    Ok(())
}

fn services(project: &Project) -> impl Iterator<Item = &Service> {
    project.services.iter().chain(&project.disabled_services)
}

/// The directory that all files are below.
fn base(project: &Project, kept: &Kepts) -> Result<PathBuf, Error> {
    let mut base = project.working_dir.clone();
    for path in kept.keys() {
        while !path.starts_with(&base) {
            base.pop();
        }
        if base.parent().is_none() && project.working_dir.parent().is_some() {
            return Err(Error::Apart {
                path: path.clone(),
                directory: project.working_dir.clone(),
            });
        }
    }
    Ok(base)
}

/// Variables that the files use and that are the shell's.
fn from_shell(
    project: &Project,
    options: &Options,
    used: &[String],
    wanted: Wanted,
    notes: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let secret = |name: &str| {
        let mut objects = project.secrets.values();
        objects.any(
            |o| matches!(&o.source, FileSource::Environment { variable, .. } if variable == name),
        )
    };
    let of_secrets = project.secrets.values().filter_map(|o| match &o.source {
        FileSource::Environment { variable, .. } => Some(variable),
        _ => None,
    });
    let mut found = BTreeMap::new();
    for name in used.iter().chain(of_secrets) {
        if is_of_the_host(name) || (secret(name) && !wanted.secrets) {
            continue;
        }
        if let Some(value) = options.environment.get(name) {
            found.insert(name.clone(), value.clone());
        }
    }
    if !found.is_empty() {
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let list = names.join(", ");
        notes.push(format!(
            "variables of this shell are written into the bundle's .env: {list}"
        ));
    }
    found
}

fn images(project: &Project) -> BTreeSet<(String, Option<String>)> {
    let mut images = BTreeSet::new();
    for service in services(project) {
        if service.provider.is_none() {
            let name = service.image_name(&project.name);
            images.insert((name, service.platform.clone()));
        }
        for volume in &service.volumes {
            if let MountKind::Image { reference, .. } = &volume.mount.kind {
                images.insert((reference.clone(), None));
            }
        }
    }
    images
}

/// The project once more, of what is in the bundle alone.
struct Trial<'a> {
    project: &'a Project,
    options: &'a Options,
    base: &'a Path,
}

impl Trial<'_> {
    fn there(&self, path: &Path) -> PathBuf {
        Path::new(TRIAL).join(relative(self.base, path))
    }

    /// Variables that a service would miss; empty when all is as it was.
    fn run(&self, kept: &Kepts) -> Result<BTreeMap<String, String>, Error> {
        let files = kept.iter();
        let files = MemoryFiles {
            files: files
                .map(|(path, kept)| (self.there(path), kept.content.clone()))
                .collect(),
            stdin: Vec::new(),
        };
        let directory = self.there(&self.project.working_dir);
        let host = self.options.environment.iter();
        let mut environment: BTreeMap<String, String> = host
            .filter(|(name, _)| is_of_the_host(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        environment.insert("PWD".to_owned(), directory.display().to_string());
        let options = Options {
            current_dir: directory,
            profiles: vec!["*".to_owned()],
            environment,
            ..Options::default()
        };
        let loaded = compose_file::load(&options, &files)
            .map_err(|error| Error::Trial(error.to_string()))?;
        self.compare(&loaded.project)
    }

    fn compare(&self, there: &Project) -> Result<BTreeMap<String, String>, Error> {
        let mut missed = BTreeMap::new();
        for service in services(self.project) {
            let other = |what| Error::Other {
                service: service.name.clone(),
                what,
            };
            let found = services(there)
                .find(|s| s.name == service.name)
                .ok_or_else(|| other("name"))?;
            if found.image_name(&there.name) != service.image_name(&self.project.name) {
                return Err(other("image"));
            }
            for (key, value) in &service.environment {
                let shell = self.options.environment.get(key);
                if found.environment.get(key) != Some(value)
                    && value.is_some()
                    && value.as_ref() == shell
                    && !is_of_the_host(key)
                {
                    missed.extend(shell.map(|value| (key.clone(), value.clone())));
                }
            }
        }
        for source in there.configs.values().chain(there.secrets.values()) {
            if let FileSource::File(path) = &source.source
                && !path.starts_with(TRIAL)
            {
                return Err(Error::Absolute(path.clone()));
            }
        }
        Ok(missed)
    }
}

fn shown(path: &Path) -> Result<String, Error> {
    let text = path.to_str().ok_or_else(|| Error::Name(path.to_owned()))?;
    Ok(text.to_owned())
}

fn files_of(base: &Path, kept: Kepts) -> Result<Vec<artifact::File>, Error> {
    if kept.len() > FILES_MAX {
        return Err(Error::Many);
    }
    let file = |(path, kept): (PathBuf, Kept)| {
        if kept.content.len() as u64 > FILE_MAX {
            return Err(Error::Large(path));
        }
        Ok(artifact::File {
            media_type: FILE.to_owned(),
            annotations: BTreeMap::from([
                (TITLE.to_owned(), shown(&relative(base, &path))?),
                (MODE.to_owned(), format!("{:o}", kept.mode)),
            ]),
            content: kept.content,
        })
    };
    kept.into_iter().map(file).collect()
}
