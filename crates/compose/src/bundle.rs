//! `compose bundle`: a project as one file, with its images, for a host with no line.
//!
//! The archive is an OCI layout in a tar, as `save` writes it, whose index has one entry more: an artifact whose layers are the
//! project's files, each under its path (`org.opencontainers.image.title`, as ORAS has it). Every file that the loader read goes
//! along as it is; variables that came from the shell, and which files were named, are written down in the project's `.env`, so
//! that `compose up` there needs no flags. Before anything is written the project is loaded once more from what would be in the
//! bundle alone.

mod collect;
mod env;
mod place;

pub use collect::{Bundle, Error, Wanted, collect};
pub use place::{PlaceError, Placed, place};

use compose_file::{Fetched, Files};
use image::artifact::Kind;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub const KIND: Kind<'static> = Kind {
    artifact_type: "application/vnd.dockless.compose.bundle.v1",
    config_type: "application/vnd.dockless.compose.bundle.config.v1+json",
};
const FILE: &str = "application/octet-stream";
const TITLE: &str = "org.opencontainers.image.title";
/// Permissions, in octal.
const MODE: &str = "io.dockless.file.mode";
/// The project's name.
const PROJECT: &str = "com.docker.compose.project";
/// The project directory, among the files.
const DIRECTORY: &str = "io.dockless.bundle.directory";

/// Remembers what the loader reads.
pub struct Recorded<'a> {
    files: &'a dyn Files,
    seen: RefCell<Seen>,
}

/// What a project was loaded from.
#[derive(Debug, Default)]
pub struct Seen {
    pub read: BTreeMap<PathBuf, Vec<u8>>,
    /// Addresses, and standard input.
    pub elsewhere: Vec<String>,
}

impl<'a> Recorded<'a> {
    pub fn new(files: &'a dyn Files) -> Self {
        Self {
            files,
            seen: RefCell::default(),
        }
    }

    pub fn seen(self) -> Seen {
        self.seen.into_inner()
    }
}

impl std::fmt::Debug for Recorded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").finish_non_exhaustive()
    }
}

impl Files for Recorded<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = self.files.read(path)?;
        let read = &mut self.seen.borrow_mut().read;
        read.insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.files.is_file(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.files.is_dir(path)
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        let elsewhere = &mut self.seen.borrow_mut().elsewhere;
        elsewhere.push("standard input".to_owned());
        self.files.read_stdin()
    }

    fn fetch(&self, address: &str) -> Result<Fetched, String> {
        let elsewhere = &mut self.seen.borrow_mut().elsewhere;
        elsewhere.push(address.to_owned());
        self.files.fetch(address)
    }
}

#[cfg(test)]
mod tests;
