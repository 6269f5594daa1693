//! The build cache: what a step made, by a key of everything it depended on; and the directories of cache mounts.
//!
//! ```text
//! <data>/build/steps/<key>.json   {"schema":1, "blob":…, "diff_id":…, "chain_id":…, "created":…, "step":"RUN make"}
//! <data>/build/mounts/<hash>/     {data/, record.json, lock}: one cache mount; data/ gets its name when it is filled
//! ```
//! A key names the layers below by their chain id, that is by content: a step whose predecessor was run again and
//! made the same layer is found. A record whose layer was collected is no record.

use crate::error::Cause;
use engine::Timestamp;
use oci::{Descriptor, Digest};
use serde::{Deserialize, Serialize};
use state::{Durability, Layout, record};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use sys::lock::FileLock;

/// What one step made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The layer's archive in the content store.
    pub blob: Descriptor,
    pub diff_id: Digest,
    pub chain_id: Digest,
    pub created: Timestamp,
    pub used: Timestamp,
    /// For people: `RUN make`.
    pub step: String,
}

impl StepRecord {
    pub(crate) fn layer(&self) -> image::Layer {
        image::Layer {
            blob: self.blob.clone(),
            diff_id: self.diff_id.clone(),
            chain_id: self.chain_id.clone(),
        }
    }

    /// Whether layer and archive are both still there: a collection may have taken them.
    fn is_whole(&self, layout: &Layout, store: &image::Store) -> bool {
        let digest = &self.blob.digest;
        let blob = layout
            .images()
            .join("blobs")
            .join(digest.algorithm().as_str())
            .join(digest.hex());
        blob.exists() && matches!(store.layers().get(&self.chain_id), Ok(Some(_)))
    }
}

/// What a key is made of. A change of this form changes all keys.
#[derive(Debug, Serialize)]
pub(crate) struct KeyParts<'a, S> {
    pub(crate) version: u32,
    /// The topmost layer below.
    pub(crate) parent: Option<&'a Digest>,
    pub(crate) step: &'a S,
    /// Digests of the files it reads, in the order it names them.
    pub(crate) inputs: &'a [Digest],
}

/// The form of the keys.
pub(crate) const VERSION: u32 = 1;

impl<S: Serialize> KeyParts<'_, S> {
    pub(crate) fn key(&self) -> Digest {
        // Plain structs of strings and numbers always have a JSON form.
        Digest::sha256(&serde_json::to_vec(self).unwrap_or_default())
    }
}

fn steps(layout: &Layout) -> PathBuf {
    layout.build().join("steps")
}

fn mounts(layout: &Layout) -> PathBuf {
    layout.build().join("mounts")
}

fn step_path(layout: &Layout, key: &Digest) -> PathBuf {
    steps(layout).join(format!("{}.json", key.hex()))
}

/// What the step with this key made, if its layer is still there. The look-up counts as a use.
pub(crate) fn find(
    layout: &Layout,
    store: &image::Store,
    key: &Digest,
) -> Result<Option<StepRecord>, Cause> {
    let path = step_path(layout, key);
    // A damaged record is as good as none: the step runs again and writes it anew.
    let Ok(Some(mut found)) = record::read::<StepRecord>(&path) else {
        return Ok(None);
    };
    if !found.is_whole(layout, store) {
        record::remove(&path)?;
        return Ok(None);
    }
    found.used = Timestamp::now();
    // When it was used last is worth no failure, of a full disk for one.
    let _ = record::write(&path, &found, Durability::Volatile);
    Ok(Some(found))
}

/// What is said of a step, whatever has become of its layer.
pub(crate) fn recorded(layout: &Layout, key: &Digest) -> Option<StepRecord> {
    record::read(&step_path(layout, key)).ok().flatten()
}

/// Lets a step be as it was before.
pub(crate) fn put_back(
    layout: &Layout,
    key: &Digest,
    before: Option<&StepRecord>,
) -> Result<(), Cause> {
    let path = step_path(layout, key);
    match before {
        Some(before) => Ok(record::write(&path, before, Durability::Volatile)?),
        None => Ok(record::remove(&path)?),
    }
}

pub(crate) fn store(layout: &Layout, key: &Digest, made: &StepRecord) -> Result<(), Cause> {
    let dir = steps(layout);
    make(&dir)?;
    // Losing it in a power cut costs one more run of the step.
    Ok(record::write(
        &step_path(layout, key),
        made,
        Durability::Volatile,
    )?)
}

/// All records of steps with their keys, for `builder prune`, `system df` and the collection of layers.
pub fn list(layout: &Layout) -> Result<Vec<(String, StepRecord)>, Cause> {
    let dir = steps(layout);
    let Some(entries) = read_dir(&dir)? else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for path in entries {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Ok(Some(found)) = record::read::<StepRecord>(&path) {
            all.push((name, found));
        }
    }
    all.sort_by_key(|(_, found)| found.used);
    Ok(all)
}

/// What a collection of images must leave for the cache: chain ids of layers, and blobs ([`image::Keep`]).
pub fn roots(layout: &Layout) -> Result<(Vec<Digest>, Vec<Digest>), Cause> {
    Ok(list(layout)?
        .into_iter()
        .map(|(_, found)| (found.chain_id, found.blob.digest))
        .unzip())
}

/// What `builder prune` removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Keys of steps and names of cache mounts.
    pub removed: Vec<String>,
    /// Bytes of work directories and cache mounts; layers are freed by the next collection.
    pub bytes: u64,
}

/// Forgets steps not used since `before` (`None`: all), the cache mounts likewise, and what killed builds left.
pub fn prune(layout: &Layout, before: Option<Timestamp>) -> Result<Pruned, Cause> {
    let mut pruned = Pruned {
        bytes: crate::workspace::sweep(layout)?,
        ..Pruned::default()
    };
    let old = |used: Timestamp| before.is_none_or(|limit| used < limit);
    for (key, found) in list(layout)? {
        if old(found.used) {
            record::remove(&steps(layout).join(format!("{key}.json")))?;
            pruned.removed.push(key);
        }
    }
    for path in read_dir(&mounts(layout))?.unwrap_or_default() {
        let used = record::read::<MountRecord>(&path.join("record.json"))
            .ok()
            .flatten()
            .map(|found| found.used);
        if !old(used.unwrap_or(Timestamp(0))) {
            continue;
        }
        // One that a build uses just now stays.
        let Ok(Some(_lock)) = FileLock::try_exclusive(&path.join("lock")) else {
            continue;
        };
        pruned.bytes += engine::usage::disk_usage(&path);
        std::fs::remove_dir_all(&path).map_err(Cause::io("remove", &path))?;
        pruned.removed.push(
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        );
    }
    Ok(pruned)
}

/// What is mounted of a cache mount.
const DATA: &str = "data";

#[derive(Debug, Serialize, Deserialize)]
struct MountRecord {
    id: String,
    used: Timestamp,
}

/// A cache mount in use; dropping it lets others have it.
#[derive(Debug)]
pub(crate) struct CacheDirectory {
    path: PathBuf,
    /// It was just made beside its place, and is to be filled and given its owner, then [settled](Self::settle).
    fresh: Option<PathBuf>,
    _lock: FileLock,
}

impl CacheDirectory {
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }

    pub(crate) fn fresh(&self) -> Option<&Path> {
        self.fresh.as_deref()
    }

    /// Gives one that is finished its place. Another build may have been quicker: then its is used.
    pub(crate) fn settle(&mut self) -> Result<(), Cause> {
        let Some(fresh) = self.fresh.take() else {
            return Ok(());
        };
        let data = self.data();
        match std::fs::rename(&fresh, &data) {
            Err(_) if data.is_dir() => {
                let _ = std::fs::remove_dir_all(&fresh);
                Ok(())
            }
            moved => moved.map_err(Cause::io("make", data)),
        }
    }

    /// The directory of the whole.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CacheDirectory {
    fn drop(&mut self) {
        if let Some(fresh) = &self.fresh {
            let _ = std::fs::remove_dir_all(fresh);
        }
    }
}

/// Removes a cache mount, unless a build uses it.
pub(crate) fn remove_mount(path: &Path) {
    if let Ok(Some(_lock)) = FileLock::try_exclusive(&path.join("lock")) {
        let _ = std::fs::remove_dir_all(path);
    }
}

/// How others may use a cache mount at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Shared,
    /// Waits until it is alone.
    Locked,
    /// Takes another directory when this one is in use.
    Private,
}

/// The directory of the cache mount `id`.
pub(crate) fn directory(layout: &Layout, id: &str, wanted: Use) -> Result<CacheDirectory, Cause> {
    for copy in 0.. {
        let name = if copy == 0 {
            id.to_owned()
        } else {
            format!("{id}\0{copy}")
        };
        let path = mounts(layout).join(&Digest::sha256(name.as_bytes()).hex()[..32]);
        make(&path)?;
        let lock_path = path.join("lock");
        let lock = match wanted {
            Use::Shared => FileLock::shared(&lock_path).map(Some),
            Use::Locked => FileLock::exclusive(&lock_path).map(Some),
            Use::Private => FileLock::try_exclusive(&lock_path),
        };
        let Some(lock) = lock.map_err(Cause::io("lock", &lock_path))? else {
            continue;
        };
        let used = MountRecord {
            id: id.to_owned(),
            used: Timestamp::now(),
        };
        record::write(&path.join("record.json"), &used, Durability::Volatile)?;
        let fresh = match path.join(DATA).exists() {
            true => None,
            false => Some(beside(&path)?),
        };
        return Ok(CacheDirectory {
            path,
            fresh,
            _lock: lock,
        });
    }
    Err(Cause::Refused {
        what: format!("cache mount {id:?}"),
        cause: "all of its copies are in use",
    })
}

/// An empty directory in which a mount's data are made; those of killed builds go.
fn beside(path: &Path) -> Result<PathBuf, Cause> {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    for entry in read_dir(path)?.unwrap_or_default() {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if state::temporary::is_dead(&name) && entry.is_dir() {
            std::fs::remove_dir_all(&entry).map_err(Cause::io("remove", &entry))?;
        }
    }
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let fresh = path.join(format!(".{DATA}.{}.{serial}.tmp", std::process::id()));
    make(&fresh)?;
    Ok(fresh)
}

fn make(path: &Path) -> Result<(), Cause> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Cause::io("make", path))
}

fn read_dir(dir: &Path) -> Result<Option<Vec<PathBuf>>, Cause> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Cause::io("list", dir))?,
    };
    let paths = entries.map(|entry| Ok(entry.map_err(Cause::io("list", dir))?.path()));
    paths.collect::<Result<Vec<_>, Cause>>().map(Some)
}
