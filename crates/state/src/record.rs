//! Records: one JSON document in one file, replaced as a whole.
//!
//! A reader sees the old document or the new one, never a part: temporary file in the same directory,
//! `fsync` of the file, `rename(2)`, `fsync` of the directory. What dies with the boot anyway (all of the
//! run root, containers with `--rm`) is written without the two `fsync`s.
//!
//! Every document carries `"schema": N`; a newer one than we know is refused, not guessed at.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The newest document form this version writes and reads.
pub const SCHEMA: u32 = 1;

/// Whether a record must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On disk before the call returns.
    Durable,
    /// Dies with the boot: no `fsync`.
    Volatile,
}

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is damaged", path.display())]
    Parse { path: PathBuf, source: Damage },
    #[error("{} was written by a newer dockless (schema {found}, this one knows {SCHEMA})", path.display())]
    Newer { path: PathBuf, found: u32 },
}

/// Why a record cannot be believed. It is in the chain of every error that comes of it: whoever tells that knows the way out.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error("{0}")]
    Form(serde_json::Error),
    #[error("it is gone, and what it was about is not")]
    Gone,
}

impl Damage {
    /// Whether an error came of one.
    pub fn is_in(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

#[derive(Serialize)]
struct Written<'a, T> {
    schema: u32,
    #[serde(flatten)]
    record: &'a T,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    schema: u32,
}

/// Reads a record; `None` when the file does not exist.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match sys::file::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Read {
                path: path.into(),
                source,
            });
        }
    };
    parse(path, &bytes).map(Some)
}

/// The record that a document holds; `path` is where it is from.
pub fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Error> {
    let damaged = |source| Error::Parse {
        path: path.into(),
        source: Damage::Form(source),
    };
    let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    if head.schema > SCHEMA {
        return Err(Error::Newer {
            path: path.into(),
            found: head.schema,
        });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// The document of a record.
pub fn document<T: Serialize>(path: &Path, record: &T) -> Result<Vec<u8>, Error> {
    let written = Written {
        schema: SCHEMA,
        record,
    };
    serde_json::to_vec(&written).map_err(|source| Error::Write {
        path: path.into(),
        source: source.into(),
    })
}

/// Writes a record in one step.
pub fn write<T: Serialize>(path: &Path, record: &T, durability: Durability) -> Result<(), Error> {
    let bytes = document(path, record)?;
    write_bytes(path, &bytes, durability).map_err(|source| Error::Write {
        path: path.into(),
        source,
    })
}

/// Replaces a whole file in one step.
pub fn write_bytes(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let serial = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = dir.join(format!(".{name}.{}.{serial}.tmp", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        if durability == Durability::Durable {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)?;
        if durability == Durability::Durable {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Removes a record; one that is not there is removed already.
pub fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Write {
            path: path.into(),
            source: e,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Thing {
        name: String,
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thing.json");
        assert_eq!(read::<Thing>(&path).unwrap(), None);
        let thing = Thing { name: "web".into() };
        write(&path, &thing, Durability::Durable).unwrap();
        assert_eq!(read::<Thing>(&path).unwrap(), Some(thing));
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn a_newer_schema_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thing.json");
        std::fs::write(&path, r#"{"schema":99,"name":"web"}"#).unwrap();
        assert!(matches!(
            read::<Thing>(&path),
            Err(Error::Newer { found: 99, .. })
        ));
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thing.json");
        for content in [
            "{",
            "",
            "\0\0\0\0",
            "[]",
            "{}",
            "null",
            "\u{fffd}",
            r#"{"schema":1}"#,
        ] {
            std::fs::write(&path, content).unwrap();
            let error = read::<Thing>(&path).unwrap_err();
            assert!(error.to_string().contains("thing.json"), "{error}");
            assert!(Damage::is_in(&error), "{content:?}");
        }
        assert!(!Damage::is_in(&read::<Thing>(dir.path()).unwrap_err()));
    }
}
