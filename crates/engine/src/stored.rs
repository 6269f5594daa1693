//! Secrets and configs kept by name: small files that containers are shown, never changed in place.
//!
//! ```text
//! <data>/secrets/<name>/record.json   id, labels, time
//! <data>/secrets/<name>/data          the content; 0600 in a directory of 0700, as everything here
//! <data>/configs/<name>/…             the same
//! ```
//! Made whole in the trash directory and renamed into place. A container has its own copy, so removal takes nothing from it.
//! Source: Docker CLI reference (`docker secret`, `docker config`), podman-secret(1) for `--replace`.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use crate::trash;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use state::{Durability, record};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use sys::lock::FileLock;

/// Docker's limits: larger things belong into volumes.
const MOST_OF_A_SECRET: usize = 500 << 10;
const MOST_OF_A_CONFIG: usize = 1000 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Secret,
    Config,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }

    fn most(self) -> usize {
        match self {
            Self::Secret => MOST_OF_A_SECRET,
            Self::Config => MOST_OF_A_CONFIG,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecord {
    pub id: String,
    pub name: String,
    pub created: Timestamp,
    pub labels: BTreeMap<String, String>,
}

fn root(ctx: &Context, kind: Kind) -> PathBuf {
    match kind {
        Kind::Secret => ctx.layout.secrets(),
        Kind::Config => ctx.layout.configs(),
    }
}

/// Where the content of one lies.
pub fn data(ctx: &Context, kind: Kind, name: &str) -> PathBuf {
    root(ctx, kind).join(name).join("data")
}

/// Keeps a content under a name; with `replace` in the place of one of that name.
pub fn create(
    ctx: &Context,
    kind: Kind,
    name: &str,
    labels: BTreeMap<String, String>,
    content: &[u8],
    replace: bool,
) -> Result<StoredRecord> {
    check(kind, name, content)?;
    let lock = ctx.layout.lock(kind.word(), name);
    let _lock = FileLock::exclusive(&lock).map_err(Error::file("lock", &lock))?;
    if !replace && load(ctx, kind, name)?.is_some() {
        return Err(Error::Invalid {
            what: format!("{} {name}", kind.word()),
            cause: format!(
                "already exists: remove it with `{} rm {name}`, or give --replace",
                kind.word()
            ),
        });
    }
    let kept = StoredRecord {
        // As long as Docker's: scripts cut columns.
        id: crate::random_id().as_str().chars().take(25).collect(),
        name: name.to_owned(),
        created: Timestamp::now(),
        labels,
    };
    let staging = trash::fresh(ctx, kind.word());
    let placed = make(&staging, &kept, content).and_then(|()| place(ctx, kind, name, &staging));
    // What was replaced is there now, or what could not be placed.
    trash::delete(&staging);
    placed.map(|()| kept)
}

fn check(kind: Kind, name: &str, content: &[u8]) -> Result<()> {
    let word = kind.word();
    if !crate::container::names::is_valid(name) || name.len() > 64 {
        return Err(Error::invalid(
            format!("{word} name {name:?}"),
            "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, and 64 of them",
        ));
    }
    if content.is_empty() || content.len() > kind.most() {
        return Err(Error::invalid(
            format!("{word} {name} has {} bytes", content.len()),
            format!(
                "it must have at least one and at most {} KiB; put larger files into a volume",
                kind.most() >> 10
            ),
        ));
    }
    Ok(())
}

fn make(staging: &Path, kept: &StoredRecord, content: &[u8]) -> Result<()> {
    let mut builder = DirBuilder::new();
    let made = builder.mode(0o700).create(staging);
    made.map_err(Error::file("create", staging))?;
    let data = staging.join("data");
    record::write_bytes(&data, content, Durability::Durable)
        .map_err(Error::file("write", &data))?;
    Ok(record::write(
        &staging.join("record.json"),
        kept,
        Durability::Durable,
    )?)
}

fn place(ctx: &Context, kind: Kind, name: &str, staging: &Path) -> Result<()> {
    let root = root(ctx, kind);
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(&root);
    made.map_err(Error::file("create", &root))?;
    let target = root.join(name);
    let placed = match target.exists() {
        // One step also for whoever reads at this moment.
        true => renameat_with(CWD, staging, CWD, &target, RenameFlags::EXCHANGE)
            .map_err(std::io::Error::from),
        false => std::fs::rename(staging, &target),
    };
    placed.map_err(Error::file("create", &target))
}

/// The one of exactly this name.
pub fn load(ctx: &Context, kind: Kind, name: &str) -> Result<Option<StoredRecord>> {
    if !crate::container::names::is_valid(name) {
        return Ok(None);
    }
    Ok(record::read(
        &root(ctx, kind).join(name).join("record.json"),
    )?)
}

/// The one of this name, id, or beginning of an id.
pub fn find(ctx: &Context, kind: Kind, name: &str) -> Result<StoredRecord> {
    if let Some(kept) = load(ctx, kind, name)? {
        return Ok(kept);
    }
    let mut fitting = list(ctx, kind)?;
    fitting.retain(|kept| !name.is_empty() && kept.id.starts_with(name));
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 => Err(Error::NoSuchStored {
            kind: kind.word(),
            name: name.to_owned(),
        }),
        _ => Err(Error::Ambiguous {
            what: kind.word(),
            prefix: name.to_owned(),
        }),
    }
}

/// All of them, by name.
pub fn list(ctx: &Context, kind: Kind) -> Result<Vec<StoredRecord>> {
    let dir = root(ctx, kind);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::file("list", &dir)(e)),
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::file("list", &dir))?;
        if let Some(name) = entry.file_name().to_str() {
            all.extend(load(ctx, kind, name)?);
        }
    }
    all.sort_by(|a: &StoredRecord, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The content.
pub fn read(ctx: &Context, kind: Kind, kept: &StoredRecord) -> Result<Vec<u8>> {
    let path = data(ctx, kind, &kept.name);
    std::fs::read(&path).map_err(Error::file("read", &path))
}

pub fn remove(ctx: &Context, kind: Kind, name: &str) -> Result<StoredRecord> {
    let kept = find(ctx, kind, name)?;
    let lock = ctx.layout.lock(kind.word(), &kept.name);
    let _lock = FileLock::exclusive(&lock).map_err(Error::file("lock", &lock))?;
    trash::discard(ctx, &root(ctx, kind).join(&kept.name))?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::context;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_secret_is_kept_for_root_alone_and_replaced_in_one_step() {
        let (_dir, ctx) = context();
        let make = |content: &[u8], replace| {
            let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
            create(&ctx, Kind::Secret, "token", labels, content, replace)
        };
        let first = make(b"one", false).unwrap();
        assert!(
            make(b"two", false)
                .unwrap_err()
                .to_string()
                .contains("already exists")
        );
        let second = make(b"two", true).unwrap();
        assert_ne!(first.id, second.id);
        let found = find(&ctx, Kind::Secret, &second.id[..6]).unwrap();
        assert_eq!(found, second);
        assert_eq!(read(&ctx, Kind::Secret, &found).unwrap(), b"two");
        let meta = data(&ctx, Kind::Secret, "token").metadata().unwrap();
        assert_eq!(meta.mode() & 0o7777, 0o600);
        assert_eq!(
            ctx.layout.secrets().metadata().unwrap().mode() & 0o7777,
            0o700
        );
        assert!(list(&ctx, Kind::Config).unwrap().is_empty());
        remove(&ctx, Kind::Secret, "token").unwrap();
        assert!(matches!(
            find(&ctx, Kind::Secret, "token"),
            Err(Error::NoSuchStored { .. })
        ));
        assert_eq!(std::fs::read_dir(ctx.layout.trash()).unwrap().count(), 0);
    }

    #[test]
    fn names_that_lead_elsewhere_and_contents_that_are_none_are_refused() {
        let (_dir, ctx) = context();
        for name in ["../a", "a/b", "", ".", ".."] {
            let made = create(&ctx, Kind::Config, name, BTreeMap::new(), b"x", false);
            assert!(made.is_err(), "{name:?}");
            assert!(load(&ctx, Kind::Config, name).unwrap().is_none());
        }
        assert!(create(&ctx, Kind::Config, "app", BTreeMap::new(), b"", false).is_err());
        let large = vec![0; (500 << 10) + 1];
        assert!(create(&ctx, Kind::Secret, "app", BTreeMap::new(), &large, false).is_err());
        create(&ctx, Kind::Config, "app", BTreeMap::new(), &large, false).unwrap();
    }
}
