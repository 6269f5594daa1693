//! The content store: an OCI image layout whose blobs are believed because they were verified before they
//! got their name.
//!
//! ```text
//! images/oci-layout             {"imageLayoutVersion":"1.0.0"}
//! images/index.json             the table of names, and its copy: see `table`
//! images/blobs/<alg>/<hex>      verified content, read-only
//! images/ingest/<alg>-<hex>     content on its way: kept after a break, resumed by the next pull
//! ```
//! Source: OCI image-spec `image-layout.md`.

use oci::{Descriptor, Digest, Index, Reference};
use state::{Durability, Layout};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use sys::lock::FileLock;

/// Manifests, indexes and configurations larger than this are refused (as Docker does).
pub(crate) const DOCUMENT_MAX: u64 = 4 << 20;

/// Why content could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {step} {}", path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is damaged", path.display())]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("the table of image names {} cannot be used", path.display())]
    Table {
        path: PathBuf,
        source: state::record::Damage,
    },
    #[error("content does not have the digest it was asked for: expected {expected}, got {actual}")]
    Digest { expected: Digest, actual: Digest },
    #[error("content of {digest} has {actual} bytes instead of {expected}")]
    Size {
        digest: Digest,
        expected: u64,
        actual: u64,
    },
    #[error("document {digest} has {size} bytes: more than {DOCUMENT_MAX} is refused")]
    TooLarge { digest: Digest, size: u64 },
    #[error("content {digest} is missing in {}", root.display())]
    Missing { digest: Digest, root: PathBuf },
}

/// Any image layout, read-only: the store's own or a directory given by `--image-dir`.
#[derive(Debug, Clone)]
pub(crate) struct ImageLayout {
    root: PathBuf,
}

impl ImageLayout {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root
            .join("blobs")
            .join(digest.algorithm().as_str())
            .join(digest.hex())
    }

    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.blob(digest).is_file()
    }

    /// The table of names of a layout that somebody else made; empty where there is none. Ours: [`ContentStore::index`].
    pub(crate) fn index(&self) -> Result<Index, Error> {
        let path = self.root.join("index.json");
        match sys::file::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| Error::Parse { path, source })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Index::default()),
            Err(source) => Err(Error::Io {
                step: "read",
                path,
                source,
            }),
        }
    }

    pub(crate) fn open(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.blob(digest);
        match File::open(&path) {
            Ok(file) => Ok(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::Missing {
                digest: digest.clone(),
                root: self.root.clone(),
            }),
            Err(source) => Err(Error::Io {
                step: "open",
                path,
                source,
            }),
        }
    }

    /// A small document, its digest checked.
    pub(crate) fn document(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let path = self.blob(digest);
        let limit = DOCUMENT_MAX as usize + 1;
        let bytes =
            sys::file::read_regular_up_to(&self.open(digest)?, limit).map_err(|source| {
                Error::Io {
                    step: "read",
                    path,
                    source,
                }
            })?;
        check_document(digest, &bytes)?;
        Ok(bytes)
    }
}

pub(crate) fn check_document(digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() as u64 > DOCUMENT_MAX {
        return Err(Error::TooLarge {
            digest: digest.clone(),
            size: bytes.len() as u64,
        });
    }
    let mut hasher = digest.algorithm().hasher();
    hasher.update(bytes);
    let actual = hasher.finish();
    if actual != *digest {
        return Err(Error::Digest {
            expected: digest.clone(),
            actual,
        });
    }
    Ok(())
}

/// The name a layout's entry carries, in full form. containerd's annotation is the full name; `ref.name`
/// may be that too (skopeo) or the bare tag (BuildKit), which is no name.
pub(crate) fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let annotation = |key| descriptor.annotations.get(key);
    let full = |text: &&String| text.contains(['/', ':']);
    let name = annotation(oci::manifest::CONTAINERD_NAME)
        .or_else(|| annotation(oci::manifest::REF_NAME).filter(full))?;
    name.parse::<Reference>().ok().map(Reference::or_latest)
}

/// The store's own layout, writable.
#[derive(Debug, Clone)]
pub(crate) struct ContentStore {
    layout: ImageLayout,
    paths: Layout,
}

impl ContentStore {
    /// Opens the store, made where it is missing.
    pub(crate) fn open(paths: Layout) -> Result<Self, Error> {
        let layout = ImageLayout::new(paths.images());
        let marker = layout.root.join("oci-layout");
        if !marker.exists() || !layout.root.join("ingest").is_dir() {
            for dir in [layout.root.join("ingest"), layout.root.join("blobs/sha256")] {
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&dir)
                    .map_err(|source| Error::Io {
                        step: "make",
                        path: dir,
                        source,
                    })?;
            }
            let store = Self { layout, paths };
            store.begin_table()?;
            state::record::write_bytes(
                &marker,
                br#"{"imageLayoutVersion":"1.0.0"}"#,
                Durability::Durable,
            )
            .map_err(|source| Error::Io {
                step: "write",
                path: marker,
                source,
            })?;
            return Ok(store);
        }
        Ok(Self { layout, paths })
    }

    pub(crate) fn paths(&self) -> &Layout {
        &self.paths
    }

    pub(crate) fn layout(&self) -> &ImageLayout {
        &self.layout
    }

    /// Held by whoever brings this blob in, so that two processes share the work.
    pub(crate) fn lock_blob(&self, digest: &Digest) -> Result<FileLock, Error> {
        self.lock_by(digest, FileLock::exclusive)
    }

    /// The same, unless another process has it: `None`.
    pub(crate) fn try_lock_blob(&self, digest: &Digest) -> Result<Option<FileLock>, Error> {
        self.lock_by(digest, FileLock::try_exclusive)
    }

    fn lock_by<T>(
        &self,
        digest: &Digest,
        lock: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<T, Error> {
        let path = self.paths.lock("blob", digest.hex());
        lock(&path).map_err(|source| Error::Io {
            step: "lock",
            path,
            source,
        })
    }

    /// Where content is gathered until it is verified.
    pub(crate) fn ingest(&self, digest: &Digest) -> PathBuf {
        self.layout.root.join("ingest").join(format!(
            "{}-{}",
            digest.algorithm().as_str(),
            digest.hex()
        ))
    }

    /// Gives verified content its name. The data is on disk first, or a power cut could leave an empty
    /// blob under a digest everybody believes.
    pub(crate) fn publish(&self, digest: &Digest, file: &File, from: &Path) -> Result<(), Error> {
        let target = self.layout.blob(digest);
        let failed = |step| {
            move |source| Error::Io {
                step,
                path: from.to_owned(),
                source,
            }
        };
        file.sync_data().map_err(failed("sync"))?;
        self.rename_in(from, &target)
    }

    fn rename_in(&self, from: &Path, target: &Path) -> Result<(), Error> {
        let failed = |source| Error::Io {
            step: "write",
            path: target.to_owned(),
            source,
        };
        match std::fs::rename(from, target) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && from.exists() => {
                let dir = target.parent().unwrap_or(Path::new("/"));
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(dir)
                    .map_err(failed)?;
                std::fs::rename(from, target).map_err(failed)
            }
            other => other.map_err(failed),
        }
    }

    /// Keeps a document under its digest.
    pub(crate) fn put_as(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        check_document(digest, bytes)?;
        if self.layout.has(digest) {
            return Ok(());
        }
        let target = self.layout.blob(digest);
        if let Some(dir) = target.parent().filter(|d| !d.is_dir()) {
            let failed = |source| Error::Io {
                step: "make",
                path: dir.to_owned(),
                source,
            };
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(failed)?;
        }
        state::record::write_bytes(&target, bytes, Durability::Durable).map_err(|source| {
            Error::Io {
                step: "write",
                path: target,
                source,
            }
        })
    }

    /// Takes a blob over from another layout: hard-linked where both are on one filesystem, copied
    /// otherwise; verified by the caller, who reads it anyway.
    pub(crate) fn borrow_blob(
        &self,
        digest: &Digest,
        from: &ImageLayout,
    ) -> Result<PathBuf, Error> {
        let (source_path, ingest) = (from.blob(digest), self.ingest(digest));
        match std::fs::remove_file(&ingest) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Io {
                    step: "remove",
                    path: ingest,
                    source: e,
                });
            }
            _ => {}
        }
        if std::fs::hard_link(&source_path, &ingest).is_ok() {
            return Ok(ingest);
        }
        let mut source = from.open(digest)?;
        let failed = |source| Error::Io {
            step: "copy",
            path: source_path.clone(),
            source,
        };
        let mut copy = create(&ingest).map_err(failed)?;
        if let Err(source) = io::copy(&mut source, &mut copy) {
            // Nothing is resumed from here: a full disk gets its room back.
            let _ = std::fs::remove_file(&ingest);
            return Err(failed(source));
        }
        Ok(ingest)
    }
}

/// Opens a file for gathering content; what it holds already is kept.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}
