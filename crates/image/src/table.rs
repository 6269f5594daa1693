//! The table of names: which names there are and what they stand for. It is the one thing of the store that cannot be made anew from
//! the rest, so it is never taken for empty when it cannot be read, and the same is kept once more beside it.
//!
//! ```text
//! images/index.json         an OCI index: one descriptor per name, replaced as a whole under the lock `image-index`
//! images/index.json.copy    what index.json was after the last change; not waited for, and read by `system check` alone
//! ```
//! Blobs, then the table, then the copy: whoever is killed between the last two leaves a copy that is one change behind.

use crate::content::{self, ContentStore, Error};
use oci::manifest::{CONTAINERD_NAME, REF_NAME};
use oci::{Descriptor, Index, Reference};
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};
use state::Durability;
use state::record::Damage;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use sys::lock::FileLock;

const NAME: &str = "index.json";
const COPY: &str = "index.json.copy";

impl ContentStore {
    fn table(&self) -> PathBuf {
        self.layout().root().join(NAME)
    }

    fn copy(&self) -> PathBuf {
        self.layout().root().join(COPY)
    }

    /// The table of names. One that is not there is a loss: a new store has an empty one.
    pub(crate) fn index(&self) -> Result<Index, Error> {
        let path = self.table();
        let damaged = |source| Error::Table {
            path: path.clone(),
            source,
        };
        match sys::file::read(&path) {
            Ok(bytes) => parse(&bytes).map_err(damaged),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(damaged(Damage::Gone)),
            Err(source) => Err(Error::Io {
                step: "read",
                path,
                source,
            }),
        }
    }

    /// What the table was after its last change, or the last but one; `None`: nobody knows.
    pub(crate) fn last_known(&self) -> Option<Index> {
        let path = self.copy();
        // A regular file alone: nobody waits for a pipe.
        let is_file = path.symlink_metadata().is_ok_and(|m| m.is_file());
        let bytes = is_file.then(|| sys::file::read(&path).ok()).flatten()?;
        parse(&bytes).ok()
    }

    /// Gives a new store its table. A store with blobs had one: its loss is told by whoever reads it.
    pub(crate) fn begin_table(&self) -> Result<(), Error> {
        let path = self.table();
        let is_new = !path.exists() && !self.copy().exists() && self.is_empty();
        match is_new {
            true => write(&path, &Index::default(), Durability::Durable),
            false => Ok(()),
        }
    }

    fn is_empty(&self) -> bool {
        let blobs = std::fs::read_dir(self.layout().root().join("blobs/sha256"));
        blobs.is_ok_and(|mut all| all.next().is_none())
    }

    /// Changes the table of names in one step, nobody else changing it meanwhile.
    pub(crate) fn update_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T, Error> {
        let _held = self.lock_table()?;
        let mut index = self.index()?;
        let before = index.clone();
        let answer = change(&mut index);
        if index != before {
            self.replace(&index)?;
        }
        Ok(answer)
    }

    /// Puts another in the place of one that cannot be read.
    pub(crate) fn replace_index(&self, index: &Index) -> Result<(), Error> {
        let _held = self.lock_table()?;
        self.replace(index)
    }

    fn lock_table(&self) -> Result<FileLock, Error> {
        let path = self.paths().lock("image", "index");
        FileLock::exclusive(&path).map_err(|source| Error::Io {
            step: "lock",
            path,
            source,
        })
    }

    fn replace(&self, index: &Index) -> Result<(), Error> {
        self.sync_blobs()?;
        write(&self.table(), index, Durability::Durable)?;
        // The table is whole whatever comes of this; an older copy is better than none.
        let _ = write(&self.copy(), index, Durability::Volatile);
        Ok(())
    }

    /// The names of blobs are on disk before a name of theirs is.
    fn sync_blobs(&self) -> Result<(), Error> {
        let path = self.layout().root().join("blobs/sha256");
        File::open(&path)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| Error::Io {
                step: "sync",
                path,
                source,
            })
    }
}

/// What a table has to have; an OCI index without the list is one, too.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "manifests")]
    _manifests: Vec<IgnoredAny>,
}

/// As we write it: `{"schemaVersion":2,"manifests":[…]}`. What lacks the list, or has another form, is no empty table.
fn parse(bytes: &[u8]) -> Result<Index, Damage> {
    let _: Listed = serde_json::from_slice(bytes).map_err(Damage::Form)?;
    let index: Index = serde_json::from_slice(bytes).map_err(Damage::Form)?;
    match index.schema_version {
        2 => Ok(index),
        other => {
            let other = format!("schemaVersion {other}, not 2");
            Err(Damage::Form(serde_json::Error::custom(other)))
        }
    }
}

fn write(path: &Path, index: &Index, durability: Durability) -> Result<(), Error> {
    let failed = |source| Error::Io {
        step: "write",
        path: path.into(),
        source,
    };
    let bytes = serde_json::to_vec(index).map_err(|e| failed(e.into()))?;
    state::record::write_bytes(path, &bytes, durability).map_err(failed)
}

/// Gives `entry` a name. What had the name before keeps its place without one (dangling) unless it has
/// other names. True when the name is new or means something else now.
pub(crate) fn set_name(index: &mut Index, name: &Reference, mut entry: Descriptor) -> bool {
    let full = name.to_string();
    entry.annotations.insert(REF_NAME.into(), full.clone());
    entry.annotations.insert(CONTAINERD_NAME.into(), full);
    let before = index
        .manifests
        .iter()
        .position(|d| content::name_of(d).as_ref() == Some(name));
    let unchanged = before.is_some_and(|at| index.manifests[at].digest == entry.digest);
    if unchanged {
        return false;
    }
    let digest = entry.digest.clone();
    // A dangling entry of the same image has got its name (back).
    index
        .manifests
        .retain(|d| d.digest != digest || content::name_of(d).is_some());
    let before = index
        .manifests
        .iter()
        .position(|d| content::name_of(d).as_ref() == Some(name));
    match before {
        Some(at) => {
            let old = std::mem::replace(&mut index.manifests[at], entry);
            leave_dangling(index, old);
        }
        None => index.manifests.push(entry),
    }
    true
}

/// Keeps an image that lost a name, unless another entry still has it.
pub(crate) fn leave_dangling(index: &mut Index, mut old: Descriptor) {
    if index.manifests.iter().any(|d| d.digest == old.digest) {
        return;
    }
    old.annotations.remove(REF_NAME);
    old.annotations.remove(CONTAINERD_NAME);
    index.manifests.push(old);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_table_is_taken_for_one() {
        let whole = serde_json::to_vec(&Index::default()).unwrap();
        assert_eq!(parse(&whole).unwrap(), Index::default());
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "cut at {end}");
        }
        let others: [&[u8]; 8] = [
            b"null",
            b"[]",
            b"{}",
            b"\0\0\0\0\0\0\0\0",
            br#"{"schemaVersion":2}"#,
            br#"{"schemaVersion":2,"manifests":null}"#,
            br#"{"schemaVersion":1,"manifests":[]}"#,
            br#"{"schemaVersion":2,"manifests":[{"digest":"../../etc/passwd"}]}"#,
        ];
        for other in others {
            assert!(parse(other).is_err(), "{}", String::from_utf8_lossy(other));
        }
    }
}
