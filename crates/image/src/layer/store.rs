//! The store of unpacked layers: staging, commit, look-up, removal.

use crate::layer::root::{self, as_path, components};
use crate::layer::unpack::Unpacked;
use oci::Digest;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timestamps, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use state::{Durability, Layout};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use sys::lock::FileLock;

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
    #[error("hard link {} of the layer points at {}, which neither this layer nor one below has", path.display(), target.display())]
    DanglingLink { path: PathBuf, target: PathBuf },
    #[error("cannot complete {} of the layer from the layers below", path.display())]
    Inherit { path: PathBuf, source: io::Error },
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
}

/// A layer in the making; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    kept: bool,
}

impl Staging {
    pub(crate) fn diff(&self) -> PathBuf {
        self.path.join("diff")
    }

    pub(crate) fn open_diff(&self) -> Result<OwnedFd, Error> {
        open_dir(&self.diff())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.kept {
            let _ = remove_tree(&self.path);
        }
    }
}

impl LayerStore {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout }
    }

    fn path(&self, chain_id: &Digest) -> PathBuf {
        self.layout.layers().join(chain_id.hex())
    }

    /// The layer's files: one `lowerdir` of an overlay.
    pub fn diff(&self, chain_id: &Digest) -> PathBuf {
        self.path(chain_id).join("diff")
    }

    /// The layer's record, if it is there (then its files are complete).
    pub fn get(&self, chain_id: &Digest) -> Result<Option<Record>, Error> {
        Ok(state::record::read(
            &self.path(chain_id).join("layer.json"),
        )?)
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

    /// A new directory to unpack into, on the same filesystem as the layers.
    pub(crate) fn stage(&self) -> Result<Staging, Error> {
        let staging = self.stage_bare()?;
        let diff = staging.diff();
        // 0755: the default for a root no entry describes.
        make_dir(&diff, 0o755)?;
        Ok(staging)
    }

    /// The same without `diff`, for a directory that is renamed into it.
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

    /// Makes a staged layer visible. `below` are the chain ids under it, lowest first, all committed.
    pub(crate) fn commit(
        &self,
        mut staging: Staging,
        record: &Record,
        unpacked: &Unpacked,
        below: &[Digest],
    ) -> Result<(), Error> {
        if !unpacked.links.is_empty() || !unpacked.implied.is_empty() {
            self.inherit(&staging, unpacked, below)?;
        }
        state::record::write(
            &staging.path.join("layer.json"),
            record,
            Durability::Volatile,
        )?;
        let dir = open_dir(&staging.path)?;
        // One syncfs(2) instead of an fsync(2) per file; before the rename, or a power cut could leave a
        // visible layer of empty files.
        rustix::fs::syncfs(&dir).map_err(|e| io_error("sync", &staging.path, e))?;
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
        let layers = self.layout.layers();
        File::open(&layers)
            .and_then(|d| d.sync_all())
            .map_err(|source| Error::Io {
                step: "sync",
                path: layers,
                source,
            })
    }

    /// Completes what the archive left to the layers below: attributes of directories it only implied,
    /// and targets of hard links it did not bring along.
    fn inherit(
        &self,
        staging: &Staging,
        unpacked: &Unpacked,
        below: &[Digest],
    ) -> Result<(), Error> {
        let diff = staging.open_diff()?;
        let lower: Vec<OwnedFd> = below
            .iter()
            .rev()
            .map(|c| open_dir(&self.diff(c)))
            .collect::<Result<_, _>>()?;
        for path in &unpacked.implied {
            let failed = |e: Errno| Error::Inherit {
                path: as_path(path).into(),
                source: e.into(),
            };
            for layer in &lower {
                match find(layer.as_fd(), path).map_err(failed)? {
                    Found::Entry(dir, name) => {
                        inherit_attributes(dir.as_fd(), &name, diff.as_fd(), path)
                            .map_err(failed)?;
                        break;
                    }
                    Found::Hidden => break,
                    Found::Nothing => {}
                }
            }
        }
        for (path, target) in &unpacked.links {
            self.copy_link_target(diff.as_fd(), &lower, path, target)?;
        }
        Ok(())
    }

    fn copy_link_target(
        &self,
        diff: BorrowedFd<'_>,
        lower: &[OwnedFd],
        path: &[u8],
        target: &[u8],
    ) -> Result<(), Error> {
        let failed = |e: Errno| Error::Inherit {
            path: as_path(path).into(),
            source: e.into(),
        };
        for layer in lower {
            match find(layer.as_fd(), target).map_err(failed)? {
                Found::Entry(dir, name) => {
                    return copy_file(dir.as_fd(), &name, diff, path).map_err(failed);
                }
                Found::Hidden => break,
                Found::Nothing => {}
            }
        }
        Err(Error::DanglingLink {
            path: as_path(path).into(),
            target: as_path(target).into(),
        })
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
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let target = self
            .layout
            .trash()
            .join(format!("layer-{name}-{}-{serial}", std::process::id()));
        match rustix::fs::rename(path, &target) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(io_error("remove", path, e)),
        }
    }

    /// Deletes what was discarded (by anybody: a name in the trash has no owner any more).
    pub(crate) fn empty_trash(&self) -> Result<(), Error> {
        let trash = self.layout.trash();
        let failed = |source| Error::Io {
            step: "list",
            path: trash.clone(),
            source,
        };
        for entry in std::fs::read_dir(&trash).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().as_encoded_bytes().starts_with(b"layer-") {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }
}

enum Found {
    /// A handle of the directory, and the name in it.
    Entry(OwnedFd, Vec<u8>),
    /// A whiteout or an opaque directory: what lies lower does not count.
    Hidden,
    Nothing,
}

/// Looks a path up in one layer the way overlayfs would.
fn find(layer: BorrowedFd<'_>, path: &[u8]) -> Result<Found, Errno> {
    let parts = components(path).unwrap_or_default();
    let Some((name, parents)) = parts.split_last() else {
        return Ok(Found::Nothing);
    };
    let mut dir = root::open_dir(layer, b"")?;
    let mut opaque = false;
    for parent in parents {
        match root::kind_at(&dir, parent)? {
            None => {
                return Ok(if opaque {
                    Found::Hidden
                } else {
                    Found::Nothing
                });
            }
            Some(FileType::Directory) => {}
            Some(_) => return Ok(Found::Hidden),
        }
        opaque |= root::is_opaque(dir.as_fd(), parent);
        dir = root::open_dir(&dir, parent)?;
    }
    match root::kind_at(&dir, name)? {
        None if opaque => Ok(Found::Hidden),
        None => Ok(Found::Nothing),
        Some(FileType::CharacterDevice) if root::is_whiteout(&dir, name)? => Ok(Found::Hidden),
        Some(_) => Ok(Found::Entry(dir, name.to_vec())),
    }
}

fn inherit_attributes(
    from: BorrowedFd<'_>,
    name: &[u8],
    diff: BorrowedFd<'_>,
    path: &[u8],
) -> Result<(), Errno> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    let to = root::open_dir_rw(diff, path)?;
    copy_attributes(from, name, &stat, to.as_fd())
}

fn copy_attributes(
    from: BorrowedFd<'_>,
    name: &[u8],
    stat: &rustix::fs::Stat,
    to: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(stat.st_uid),
        rustix::fs::Gid::from_raw(stat.st_gid),
    );
    rustix::fs::fchown(to, Some(uid), Some(gid))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for (attribute, value) in root::read_xattrs(from, name)? {
        rustix::fs::fsetxattr(to, attribute.as_slice(), &value, XattrFlags::empty())?;
    }
    let time = rustix::fs::Timespec {
        tv_sec: stat.st_mtime as _,
        tv_nsec: stat.st_mtime_nsec as _,
    };
    rustix::fs::futimens(
        to,
        &Timestamps {
            last_access: time,
            last_modification: time,
        },
    )
}

fn copy_file(
    from: BorrowedFd<'_>,
    name: &[u8],
    diff: BorrowedFd<'_>,
    path: &[u8],
) -> Result<(), Errno> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::NOTSUP);
    }
    let source = rustix::fs::openat(
        from,
        name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let parts = components(path).unwrap_or_default();
    let Some((last, parents)) = parts.split_last() else {
        return Err(Errno::INVAL);
    };
    let dir = root::open_dir(diff, &parents.join(&b'/'))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = rustix::fs::openat(&dir, *last, flags, Mode::from_raw_mode(0o600))?;
    let (mut reader, mut writer) = (File::from(source), File::from(target));
    io::copy(&mut reader, &mut writer)
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    copy_attributes(from, name, &stat, writer.as_fd())
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

fn io_error(step: &'static str, path: &Path, source: Errno) -> Error {
    Error::Io {
        step,
        path: path.into(),
        source: source.into(),
    }
}
