//! Where a build makes things: one directory per build, gone when the build is, however it ended.
//!
//! ```text
//! <data>/build/
//!   work-<pid>-<serial>/     one build; `lock` in it is held by flock(2) as long as the build lives
//!     lock  empty/  context/  layer-<n>/{upper,work}  scratch-<n>/
//!   steps/<key>.json         see `cache`
//!   mounts/<name>/           cache mounts, see `cache`
//! ```
//! On the file system of the layers, because a finished upper directory becomes a layer by being renamed.

use crate::error::Cause;
use state::Layout;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use sys::lock::FileLock;

const PREFIX: &str = "work-";

/// The directory of one build.
#[derive(Debug)]
pub(crate) struct Workspace {
    path: PathBuf,
    _lock: FileLock,
    serial: AtomicU32,
}

/// An upper directory in the making, and the directory overlayfs works in.
#[derive(Debug)]
pub(crate) struct Upper {
    base: PathBuf,
}

impl Workspace {
    /// Makes the directory, and removes those of builds that were killed.
    pub(crate) fn new(layout: &Layout) -> Result<Self, Cause> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        sweep(layout)?;
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = layout
            .build()
            .join(format!("{PREFIX}{}-{serial}", std::process::id()));
        make(&path, 0o700)?;
        let lock = path.join("lock");
        let lock = FileLock::exclusive(&lock).map_err(Cause::io("lock", &lock))?;
        let workspace = Self {
            path,
            _lock: lock,
            serial: AtomicU32::new(0),
        };
        make(&workspace.empty(), 0o755)?;
        Ok(workspace)
    }

    /// A directory with nothing in it: the layer below those of `FROM scratch`.
    pub(crate) fn empty(&self) -> PathBuf {
        self.path.join("empty")
    }

    /// A new empty directory.
    pub(crate) fn directory(&self, what: &str) -> Result<PathBuf, Cause> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("{what}-{serial}"));
        make(&path, 0o755)?;
        Ok(path)
    }

    pub(crate) fn upper(&self) -> Result<Upper, Cause> {
        let base = self.directory("layer")?;
        make(&base.join("upper"), 0o755)?;
        make(&base.join("work"), 0o700)?;
        Ok(Upper { base })
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed now, the next build sweeps.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Upper {
    pub(crate) fn upper(&self) -> PathBuf {
        self.base.join("upper")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.base.join("work")
    }
}

impl Drop for Upper {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

/// Removes the directories of builds that no longer live; the bytes freed.
pub fn sweep(layout: &Layout) -> Result<u64, Cause> {
    let build = layout.build();
    let mut freed = 0;
    for entry in std::fs::read_dir(&build).map_err(Cause::io("list", &build))? {
        let entry = entry.map_err(Cause::io("list", &build))?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        // Somebody holds it, or it goes away just now.
        let Ok(Some(_lock)) = FileLock::try_exclusive(&path.join("lock")) else {
            continue;
        };
        freed += engine::usage::disk_usage(&path);
        std::fs::remove_dir_all(&path).map_err(Cause::io("remove", &path))?;
    }
    Ok(freed)
}

fn make(path: &Path, mode: u32) -> Result<(), Cause> {
    DirBuilder::new()
        .mode(mode)
        .create(path)
        .map_err(Cause::io("make", path))?;
    // Whatever umask the caller has.
    let mode = rustix::fs::Mode::from_raw_mode(mode);
    rustix::fs::chmod(path, mode).map_err(|errno| Cause::io("set the mode of", path)(errno.into()))
}
