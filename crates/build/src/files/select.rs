//! Which files a source word of COPY or ADD names: a path, or a pattern matched one component after the other.
//!
//! Source: Dockerfile reference "COPY" (Go `filepath.Match`; `**` with `--parents`; `/./` as the pivot of
//! `--parents`).

use super::Error;
use super::source::{Source, names};
use crate::ignore::Verdict;
use crate::pattern::{Pattern, clean, is_wild};
use rustix::fs::{FileType, Mode, OFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Directories a pattern with `**` may go down; deeper trees are not matched.
const DEPTH: usize = 255;

/// One file or directory that a source word names.
#[derive(Debug)]
pub struct Selected {
    /// As named, relative to the root, links in it not resolved.
    pub named: PathBuf,
    /// The same without links: where its content is looked up.
    pub real: PathBuf,
    pub is_directory: bool,
    /// With `--parents`: the directories that are made anew at the destination; a directory's own is the last.
    pub kept: PathBuf,
}

/// Whether `--parents` was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parents {
    Kept,
    Dropped,
}

/// Resolves one source word.
pub fn select(source: &Source, word: &str, parents: Parents) -> Result<Vec<Selected>, Error> {
    let (base, tail) = match (parents, word.split_once("/./")) {
        (Parents::Kept, Some((base, tail))) => (clean(base), clean(tail)),
        _ => (String::new(), clean(word)),
    };
    let whole = match (base.is_empty(), tail.is_empty()) {
        (true, _) => tail.clone(),
        (_, true) => base.clone(),
        _ => format!("{base}/{tail}"),
    };
    let found = if is_wild(&whole) {
        matched(source, &whole, parents)?
    } else {
        vec![PathBuf::from(&whole)]
    };
    if found.is_empty() {
        return Err(Error::NoMatch {
            pattern: word.to_owned(),
            place: source.place.clone(),
        });
    }
    let skip = base.split('/').filter(|part| !part.is_empty()).count();
    found
        .into_iter()
        .map(|path| resolve(source, word, path, skip, parents))
        .collect()
}

/// Selects one path that is no pattern; the empty one is the whole.
pub(crate) fn exactly(source: &Source, path: &Path) -> Result<Selected, Error> {
    let word = path.to_string_lossy();
    resolve(source, &word, path.to_owned(), 0, Parents::Dropped)
}

fn resolve(
    source: &Source,
    word: &str,
    path: PathBuf,
    skip: usize,
    parents: Parents,
) -> Result<Selected, Error> {
    let fd = match source.open(&path) {
        Ok(fd) => fd,
        Err(e) if [Some(2), Some(20), Some(40)].contains(&e.raw_os_error()) => {
            return Err(source.missing(word, &path));
        }
        Err(e) => return Err(Error::io("open", path)(e)),
    };
    let real = source.real_path(fd.as_fd())?;
    let stat = rustix::fs::fstat(&fd).map_err(Error::errno("look at", &path))?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    for looked_up in [&path, &real] {
        let hidden = source.verdict(looked_up) != Verdict::Kept;
        if hidden && !(is_directory && source.enters(looked_up)) {
            return Err(source.missing(word, looked_up));
        }
    }
    let directories = if is_directory {
        path.as_path()
    } else {
        path.parent().unwrap_or(Path::new(""))
    };
    let kept = match parents {
        Parents::Dropped => PathBuf::new(),
        Parents::Kept => directories.components().skip(skip).collect(),
    };
    Ok(Selected {
        named: path,
        real,
        is_directory,
        kept,
    })
}

/// All paths that fit the pattern and are not hidden, sorted.
fn matched(source: &Source, pattern: &str, parents: Parents) -> Result<Vec<PathBuf>, Error> {
    let parts = pattern.split('/').map(|part| match part {
        "**" if parents == Parents::Kept => Ok(Part::Deep),
        part => Ok(Part::One(Pattern::new(part)?)),
    });
    let parts = parts.collect::<Result<Vec<_>, Error>>()?;
    let mut found = Vec::new();
    let root = source.open(Path::new("")).map_err(Error::io("open", "."))?;
    descend(source, &root, Path::new(""), &parts, &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

enum Part {
    One(Pattern),
    /// `**`: any number of directories.
    Deep,
}

fn descend(
    source: &Source,
    dir: &OwnedFd,
    path: &Path,
    parts: &[Part],
    found: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    let Some((first, rest)) = parts.split_first() else {
        return Ok(());
    };
    if path.components().count() > DEPTH {
        return Ok(());
    }
    if matches!(first, Part::Deep) && !rest.is_empty() {
        descend(source, dir, path, rest, found)?;
    }
    let listed = rustix::fs::openat(
        dir,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let listed = listed.map_err(Error::errno("open", path))?;
    for name in names(listed.as_fd(), path)? {
        let here = path.join(&name);
        let fits = match first {
            Part::One(pattern) => pattern.matches(&name.to_string_lossy()),
            Part::Deep => true,
        };
        if !fits || !source.enters(&here) {
            continue;
        }
        if rest.is_empty() {
            if source.verdict(&here) == Verdict::Kept {
                found.push(here.clone());
            }
            if !matches!(first, Part::Deep) {
                continue;
            }
        }
        // Only real directories: a link is a name, not a place to search in.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(below) = rustix::fs::openat(dir, &name, flags, Mode::empty()) else {
            continue;
        };
        let next = if matches!(first, Part::Deep) {
            parts
        } else {
            rest
        };
        descend(source, &below, &here, next, found)?;
    }
    Ok(())
}
