//! The store of unpacked layers: commit, look-up, removal.

use crate::layer::form::{Form, Taken, images_work};
use crate::layer::inherit::Unfinished;
use crate::layer::staging::Staging;
use crate::layer::{inherit, root};
use oci::Digest;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use state::{Durability, Layout};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use sys::lock::FileLock;

/// The two things a layer can be, beside its record.
pub(super) const DIRECTORY: &str = "diff";
pub(super) const IMAGE: &str = "layer.erofs";

/// Why the layer store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {step} {}", path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Record(#[from] state::Error),
    #[error(transparent)]
    Inherit(#[from] inherit::Error),
    #[error(transparent)]
    Image(#[from] crate::layer::unpack::Error),
}

/// What is known of one unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub chain_id: Digest,
    pub diff_id: Digest,
    /// The chain id of the layer below.
    pub parent: Option<Digest>,
    /// The archive this layer came from or was written to.
    pub blob: Option<Digest>,
    /// Bytes of file content.
    pub size: u64,
}

/// All unpacked layers of one data root.
#[derive(Debug, Clone)]
pub struct LayerStore {
    layout: Layout,
    /// What new layers shall be, and what this kernel lets them be.
    wanted: Form,
    form: Arc<OnceLock<Form>>,
}

/// Files on this device can be layers.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    device: u64,
}

impl LayerStore {
    pub(crate) fn new(layout: Layout, wanted: Form) -> Self {
        Self {
            layout,
            wanted,
            form: Arc::default(),
        }
    }

    /// What new layers become: what was asked for, if the kernel takes it.
    pub fn form(&self) -> Result<Form, Error> {
        if let Some(form) = self.form.get() {
            return Ok(*form);
        }
        let form = match self.wanted {
            Form::Erofs if self.takes_files()? => Form::Erofs,
            _ => Form::Directories,
        };
        Ok(*self.form.get_or_init(|| form))
    }

    /// Whether the kernel takes files as layers. That it does is remembered until it is another kernel: to be asked it mounts, and to
    /// unmount it waits for all processors.
    pub fn takes_files(&self) -> Result<bool, Error> {
        let (layers, path) = (self.layout.layers(), self.layout.run_layer_form());
        let here = rustix::fs::stat(&layers).map_err(|e| io_error("look at", &layers, e))?;
        let works = Answer {
            device: here.st_dev,
        };
        if let Ok(Some(known)) = state::record::read::<Answer>(&path)
            && known == works
        {
            return Ok(true);
        }
        let answer = images_work(&self.stage_bare()?.path)?;
        if answer {
            // Without it the kernel is asked again.
            let _ = state::record::write(&path, &works, Durability::Volatile);
        }
        Ok(answer)
    }

    fn path(&self, chain_id: &Digest) -> PathBuf {
        self.layout.layers().join(chain_id.hex())
    }

    /// The layer as an overlay takes it: a directory, or a file that [`sys::layer`] mounts.
    pub fn files(&self, chain_id: &Digest) -> PathBuf {
        present(&self.path(chain_id).join(DIRECTORY))
    }

    pub(crate) fn form_of(&self, chain_id: &Digest) -> Form {
        match sys::layer::is_image(&self.files(chain_id)) {
            true => Form::Erofs,
            false => Form::Directories,
        }
    }

    pub(crate) fn open(&self, chain_id: &Digest) -> Result<OwnedFd, Error> {
        let files = self.files(chain_id);
        sys::layer::open(&files).map_err(|source| Error::Io {
            step: "open",
            path: files.clone(),
            source,
        })
    }

    /// The layer's record, if it is there (then its files are complete).
    pub fn get(&self, chain_id: &Digest) -> Result<Option<Record>, Error> {
        Ok(state::record::read(
            &self.path(chain_id).join("layer.json"),
        )?)
    }

    /// In the place of one that cannot be read, above files that are complete.
    pub(crate) fn write_record(&self, record: &Record) -> Result<(), Error> {
        let path = self.path(&record.chain_id).join("layer.json");
        Ok(state::record::write(&path, record, Durability::Durable)?)
    }

    pub(crate) fn exists(&self, chain_id: &Digest) -> bool {
        self.path(chain_id).join("layer.json").exists()
    }

    /// Held by whoever makes this layer, so that two processes share the work.
    pub(crate) fn lock(&self, chain_id: &Digest) -> Result<FileLock, Error> {
        let path = self.layout.lock("layer", chain_id.hex());
        FileLock::exclusive(&path).map_err(|source| Error::Io {
            step: "lock",
            path,
            source,
        })
    }

    /// The same without waiting; `None`: somebody makes it now.
    pub(crate) fn try_lock(&self, chain_id: &Digest) -> Result<Option<FileLock>, Error> {
        let path = self.layout.lock("layer", chain_id.hex());
        FileLock::try_exclusive(&path).map_err(|source| Error::Io {
            step: "lock",
            path,
            source,
        })
    }

    /// A new place to take an archive to, on the same filesystem as the layers.
    pub(crate) fn stage(&self) -> Result<Staging, Error> {
        self.stage_as(self.form()?)
    }

    /// The same in the form that a layer has already, or would have.
    fn stage_as(&self, form: Form) -> Result<Staging, Error> {
        let staging = self.stage_bare()?;
        if form == Form::Directories {
            // 0755: the default for a root no entry describes.
            make_dir(&staging.diff(), 0o755)?;
        }
        Ok(staging)
    }

    /// The same with nothing in it, for a directory that is renamed into it.
    pub(crate) fn stage_bare(&self) -> Result<Staging, Error> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = self
            .layout
            .layers()
            .join(format!(".tmp-{}-{serial}", std::process::id()));
        if path.exists() {
            remove_tree(&path)?; // left by a killed process of the same number
        }
        make_dir(&path, 0o700)?;
        Ok(Staging { path, kept: false })
    }

    /// Completes a staged layer from those below it, and has it all on disk.
    fn settle(
        &self,
        staging: &Staging,
        record: &Record,
        taken: Taken,
        below: &[Digest],
    ) -> Result<(), Error> {
        let image = self.complete(staging, &record.chain_id, taken, below)?;
        staging.settle(record, image)
    }

    /// Makes a staged layer visible. `below` are the chain ids under it, lowest first, all committed.
    pub(crate) fn commit(
        &self,
        mut staging: Staging,
        record: &Record,
        taken: Taken,
        below: &[Digest],
    ) -> Result<(), Error> {
        self.settle(&staging, record, taken, below)?;
        let target = self.path(&record.chain_id);
        match rustix::fs::rename(&staging.path, &target) {
            Ok(()) => staging.kept = true,
            // Somebody else's is as good: same chain id, same content.
            Err(Errno::EXIST | Errno::NOTEMPTY) if self.exists(&record.chain_id) => return Ok(()),
            Err(Errno::EXIST | Errno::NOTEMPTY) => {
                remove_tree(&target)?;
                rustix::fs::rename(&staging.path, &target)
                    .map_err(|e| io_error("commit", &target, e))?;
                staging.kept = true;
            }
            Err(e) => return Err(io_error("commit", &target, e)),
        }
        sync_dir(&self.layout.layers())
    }

    /// Puts a staged layer beside what it was before. An image is found first, so a directory counts from when the image is gone.
    pub(crate) fn convert(
        &self,
        staging: &Staging,
        record: &Record,
        taken: Taken,
        below: &[Digest],
    ) -> Result<(), Error> {
        let name = match taken {
            Taken::Directory(_) => DIRECTORY,
            Taken::Image(_) => IMAGE,
        };
        self.settle(staging, record, taken, below)?;
        let layer = self.path(&record.chain_id);
        let target = layer.join(name);
        if name == DIRECTORY {
            // Of an earlier conversion to images; nobody uses it who could still be asked to stop.
            self.discard_path(&target)?;
        }
        rustix::fs::rename(staging.path.join(name), &target)
            .map_err(|e| io_error("commit", &target, e))?;
        sync_dir(&layer)?;
        if name == DIRECTORY {
            self.discard_path(&layer.join(IMAGE))?;
        }
        Ok(())
    }

    /// Removes the directories of layers that are images now, except of those that are in use; they are returned.
    pub(crate) fn drop_converted(&self, in_use: &[Digest]) -> Result<Vec<Digest>, Error> {
        let mut kept = Vec::new();
        for chain_id in self.list()? {
            let directory = self.path(&chain_id).join(DIRECTORY);
            if self.form_of(&chain_id) == Form::Directories || !directory.exists() {
                continue;
            }
            match in_use.contains(&chain_id) {
                true => kept.push(chain_id),
                false => self.discard_path(&directory)?,
            }
        }
        Ok(kept)
    }

    /// Adds what the archive left to the layers below; an image is finished.
    fn complete(
        &self,
        staging: &Staging,
        chain_id: &Digest,
        taken: Taken,
        below: &[Digest],
    ) -> Result<Option<File>, Error> {
        let lower = || -> Result<Vec<OwnedFd>, Error> {
            below.iter().rev().map(|chain| self.open(chain)).collect()
        };
        match taken {
            Taken::Directory(unpacked) if unpacked.is_complete() => Ok(None),
            Taken::Directory(unpacked) => {
                let diff = open_dir(&staging.diff())?;
                let mut unfinished = Unfinished {
                    diff: diff.as_fd(),
                    unpacked: &unpacked,
                };
                inherit::complete(&mut unfinished, &lower()?)?;
                Ok(None)
            }
            Taken::Image(mut wrapped) => {
                if !wrapped.unpacked.is_complete() {
                    inherit::complete(&mut *wrapped, &lower()?)?;
                }
                wrapped.finish(uuid(chain_id))?;
                Ok(Some(wrapped.into_file()))
            }
        }
    }

    /// A place to make a layer anew in the form it has, to be compared with it.
    pub(crate) fn stage_like(&self, chain_id: &Digest) -> Result<Staging, Error> {
        match self.path(chain_id).join(IMAGE).exists() {
            true => self.stage_as(Form::Erofs),
            false => self.stage_as(Form::Directories),
        }
    }

    /// In what a layer differs from one that was made anew; `None`: it is as it should be.
    pub(crate) fn differs(
        &self,
        chain_id: &Digest,
        anew: Staging,
        taken: Taken,
        below: &[Digest],
    ) -> Result<Option<String>, Error> {
        let path = self.path(chain_id);
        let failed = |source| Error::Io {
            step: "compare",
            path: path.clone(),
            source,
        };
        self.complete(&anew, chain_id, taken, below)?;
        let image = path.join(IMAGE);
        if image.exists() {
            return super::compare::files(&image, &anew.path.join(IMAGE)).map_err(failed);
        }
        let actual = match open_dir(&path.join(DIRECTORY)) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Some("its files are missing".to_owned()));
            }
            other => other?,
        };
        super::compare::trees(actual, open_dir(&anew.diff())?).map_err(failed)
    }

    /// The chain ids of all committed layers.
    pub fn list(&self) -> Result<Vec<Digest>, Error> {
        Ok(self
            .names()?
            .iter()
            .filter_map(|n| format!("sha256:{n}").parse().ok())
            .collect())
    }

    /// What killed processes left; only meaningful while nobody stages.
    pub(crate) fn stale(&self) -> Result<Vec<PathBuf>, Error> {
        let layers = self.layout.layers();
        Ok(self
            .names()?
            .iter()
            .filter(|n| n.starts_with(".tmp-"))
            .map(|n| layers.join(n))
            .collect())
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let path = self.layout.layers();
        let failed = |source| Error::Io {
            step: "list",
            path: path.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            names.push(
                entry
                    .map_err(failed)?
                    .file_name()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
        names.sort();
        Ok(names)
    }

    /// Takes a layer out of sight in one step; [`LayerStore::empty_trash`] deletes it.
    pub(crate) fn discard(&self, chain_id: &Digest) -> Result<(), Error> {
        self.discard_path(&self.path(chain_id))
    }

    pub(crate) fn discard_path(&self, path: &Path) -> Result<(), Error> {
        crate::trash::layer(&self.layout, path)
    }

    /// Deletes what was discarded.
    pub(crate) fn empty_trash(&self) -> Result<(), Error> {
        crate::trash::empty(&self.layout)
    }
}

/// A layer's files by the path that somebody wrote down: the store may have been converted since. What is no layer stays as it is.
pub fn present(files: &Path) -> PathBuf {
    let is_layer = [DIRECTORY, IMAGE].iter().any(|name| files.ends_with(name));
    match files.parent() {
        Some(layer) if is_layer => {
            let image = layer.join(IMAGE);
            match image.exists() {
                true => image,
                false => layer.join(DIRECTORY),
            }
        }
        _ => files.to_owned(),
    }
}

/// A layer's own, also beside another of the same content: the chain says what lies below.
pub(super) fn uuid(chain_id: &Digest) -> [u8; 16] {
    let digit = |at: usize| u8::from_str_radix(&chain_id.hex()[at..at + 2], 16).unwrap_or(0);
    std::array::from_fn(|at| digit(2 * at))
}

fn sync_dir(path: &Path) -> Result<(), Error> {
    let dir = open_dir(path)?;
    rustix::fs::fsync(&dir).map_err(|e| io_error("sync", path, e))
}

pub(crate) fn open_dir(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| io_error("open", path, e))
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Error> {
    DirBuilder::new()
        .mode(mode)
        .create(path)
        .map_err(|source| Error::Io {
            step: "make",
            path: path.into(),
            source,
        })?;
    // Whatever umask the caller has.
    rustix::fs::chmod(path, Mode::from_raw_mode(mode))
        .map_err(|e| io_error("set the mode of", path, e))
}

pub(crate) fn remove_tree(path: &Path) -> Result<(), Error> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let dir = open_dir(parent)?;
    root::remove_all(dir.as_fd(), name.as_encoded_bytes()).map_err(|e| io_error("delete", path, e))
}

pub(super) fn io_error(step: &'static str, path: &Path, source: Errno) -> Error {
    Error::Io {
        step,
        path: path.into(),
        source: source.into(),
    }
}
