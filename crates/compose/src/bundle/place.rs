//! The project of a bundle, written into a directory of its own. The bundle is a stranger's: nothing in it names a place outside,
//! is a link, or is larger than a project's files are.

use super::{DIRECTORY, MODE, PROJECT, TITLE};
use image::Received;
use image::artifact::{FILE_MAX, FILES_MAX};
use oci::Manifest;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// All files together.
const ALL_MAX: u64 = 1 << 30;

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("the bundle's project has no usable name: {0:?}")]
    Project(String),
    #[error("the bundle has a file at {0:?}, which leads outside the project")]
    Outside(String),
    #[error("the bundle has two things at {0:?}")]
    Twice(String),
    #[error("the bundle's project is too large: {0}")]
    Large(String),
    #[error("the bundle's file {path:?} has the mode {mode:?}, which is none")]
    Mode { path: String, mode: String },
    #[error("{} is there already: take it away, or give another directory", .0.display())]
    Exists(PathBuf),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error("cannot {step} {}", path.display())]
    File {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// A project that is written beside its place; dropped without [`Placed::keep`], it is gone.
#[derive(Debug)]
pub struct Placed {
    pub project: String,
    target: PathBuf,
    staging: PathBuf,
    /// Below the target.
    directory: PathBuf,
    kept: bool,
}

/// A file of the bundle: where it goes, and how.
struct Entry {
    parts: Vec<String>,
    mode: u32,
    at: usize,
}

/// Checks the whole project, then writes it beside `target`, which must not be there; without one it is named after the project.
pub fn place(
    received: &Received<'_>,
    manifest: &Manifest,
    target: Option<&Path>,
) -> Result<Placed, PlaceError> {
    let Layout {
        project,
        directory,
        entries,
    } = layout(manifest)?;
    let target = target.map_or_else(|| PathBuf::from(&project), Path::to_owned);
    let target = std::path::absolute(&target).map_err(failed("resolve", &target))?;
    if target.symlink_metadata().is_ok() && !is_empty_dir(&target) {
        return Err(PlaceError::Exists(target));
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    sweep(&target, &name);
    let staging = format!(".{name}.{}.partial", std::process::id());
    let staging = target.with_file_name(staging);
    DirBuilder::new()
        .mode(0o755)
        .create(&staging)
        .map_err(failed("make", &staging))?;
    let placed = Placed {
        project,
        target,
        staging,
        directory,
        kept: false,
    };
    let root = open(&placed.staging)?;
    for entry in &entries {
        let content = received.file(&manifest.layers[entry.at])?;
        let path = placed.staging.join(entry.parts.join("/"));
        write(&root, entry, &content).map_err(failed("write", &path))?;
    }
    Ok(placed)
}

/// Removes what killed commands of ours left where they were writing `target`.
fn sweep(target: &Path, name: &str) {
    let entries = target.parent().and_then(|dir| std::fs::read_dir(dir).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let other = entry.file_name();
        let middle = other.to_str().and_then(|other| {
            let rest = other.strip_prefix(&format!(".{name}."))?;
            rest.strip_suffix(".partial")?.parse::<u32>().ok()
        });
        let is_dead = |pid: u32| !Path::new("/proc").join(pid.to_string()).exists();
        if middle.is_some_and(is_dead) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// What a manifest says, once all of it is found harmless.
struct Layout {
    project: String,
    directory: PathBuf,
    entries: Vec<Entry>,
}

fn layout(manifest: &Manifest) -> Result<Layout, PlaceError> {
    let annotation = |key: &str| manifest.annotations.get(key).map_or("", String::as_str);
    let project = annotation(PROJECT).to_owned();
    if !is_project_name(&project) {
        return Err(PlaceError::Project(project));
    }
    let directory = match annotation(DIRECTORY) {
        "" => PathBuf::new(),
        inside => parts(inside)?.iter().collect(),
    };
    Ok(Layout {
        project,
        directory,
        entries: entries(manifest)?,
    })
}

/// Only whether it is harmless.
#[cfg(test)]
pub(super) fn checked(manifest: &Manifest) -> Result<(), PlaceError> {
    layout(manifest).map(drop)
}

impl Placed {
    /// Gives the project its place; returns the project directory.
    pub fn keep(mut self) -> Result<PathBuf, PlaceError> {
        // Over an empty directory too; over anything else the kernel refuses.
        std::fs::rename(&self.staging, &self.target).map_err(failed("make", &self.target))?;
        self.kept = true;
        Ok(self.target.join(&self.directory))
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_dir_all(&self.staging);
        }
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::File { step, path, source }
}

fn is_empty_dir(path: &Path) -> bool {
    let real = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    real && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Compose Specification, `04-version-and-name.md`.
fn is_project_name(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 128
        && name.bytes().next().is_some_and(word)
        && name.bytes().all(|b| word(b) || b == b'-' || b == b'_')
}

fn entries(manifest: &Manifest) -> Result<Vec<Entry>, PlaceError> {
    if manifest.layers.len() > FILES_MAX {
        let many = format!("{} files", manifest.layers.len());
        return Err(PlaceError::Large(many));
    }
    let (mut all, mut entries) = (0u64, Vec::new());
    let (mut files, mut directories) = (BTreeSet::new(), BTreeSet::new());
    for (at, layer) in manifest.layers.iter().enumerate() {
        let title = layer.annotations.get(TITLE).map_or("", String::as_str);
        let parts = parts(title)?;
        all = all.saturating_add(layer.size);
        if layer.size > FILE_MAX || all > ALL_MAX {
            return Err(PlaceError::Large(format!(
                "{title:?}, {} bytes",
                layer.size
            )));
        }
        for depth in 1..parts.len() {
            directories.insert(parts[..depth].join("/"));
        }
        if !files.insert(parts.join("/")) {
            return Err(PlaceError::Twice(title.to_owned()));
        }
        let mode = mode(title, layer.annotations.get(MODE))?;
        entries.push(Entry { parts, mode, at });
    }
    match files.intersection(&directories).next() {
        Some(both) => Err(PlaceError::Twice(both.clone())),
        None => Ok(entries),
    }
}

/// A relative path of plain names.
fn parts(path: &str) -> Result<Vec<String>, PlaceError> {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..") && part.len() <= 255 && !part.contains(['\0', '\\'])
    };
    if path.len() > 4096 || !path.split('/').all(plain) {
        return Err(PlaceError::Outside(path.chars().take(200).collect()));
    }
    Ok(path.split('/').map(str::to_owned).collect())
}

fn mode(path: &str, mode: Option<&String>) -> Result<u32, PlaceError> {
    let text = mode.map_or("644", String::as_str);
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(PlaceError::Mode {
            path: path.to_owned(),
            mode: text.to_owned(),
        }),
    }
}

fn open(path: &Path) -> Result<OwnedFd, PlaceError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed("open", path)(e.into()))
}

/// Beneath the handle, each directory made where it is missing; no link is followed.
fn write(root: &OwnedFd, entry: &Entry, content: &[u8]) -> io::Result<()> {
    let Some((name, parents)) = entry.parts.split_last() else {
        return Ok(());
    };
    let mut dir = root.as_fd().try_clone_to_owned()?;
    for parent in parents {
        match rustix::fs::mkdirat(&dir, parent.as_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        dir = rustix::fs::openat(&dir, parent.as_str(), flags, Mode::empty())?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(&dir, name.as_str(), flags, Mode::from_raw_mode(0o600))?;
    let mut file = File::from(made);
    file.write_all(content)?;
    // Whatever umask the caller has.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode))?;
    file.sync_all()
}
