//! The files a project is read from, as an argument: this crate opens none itself.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Read access to the host's files. Paths are absolute and without `..`.
pub trait Files {
    /// The whole content.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    fn is_file(&self, path: &Path) -> bool;

    fn is_dir(&self, path: &Path) -> bool;

    /// Standard input, for `-f -`.
    fn read_stdin(&self) -> io::Result<Vec<u8>>;

    /// Brings a Compose file here that is elsewhere; the error says why not.
    fn fetch(&self, _address: &str) -> Result<Fetched, String> {
        Err("it cannot be fetched here".to_owned())
    }
}

/// A Compose file that was elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is now; its relative paths begin there.
    pub file: PathBuf,
    /// What a project is called that has no other name.
    pub name: String,
}

/// Files in memory, for tests.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    pub stdin: Vec<u8>,
}

impl MemoryFiles {
    /// Files by absolute path and content.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = files
            .into_iter()
            .map(|(path, text)| (path.into(), text.into()))
            .collect();
        Self {
            files,
            stdin: Vec::new(),
        }
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.files.get(path) {
            Some(content) => Ok(content.clone()),
            None if self.is_dir(path) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn is_file(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.files
            .keys()
            .any(|file| file != path && file.starts_with(path))
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        Ok(self.stdin.clone())
    }
}
