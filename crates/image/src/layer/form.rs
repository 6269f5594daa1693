//! The two forms in which a layer lies on disk, and an archive on its way into one of them.

use crate::layer::attributes::Ground;
use crate::layer::store::Error as StoreError;
use crate::layer::unpack::{self, Error, Unpacked};
use crate::layer::wrapped::{self, Wrapped};
use crate::tarball::Limits;
use erofs::{Attributes, Tree};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::BufRead;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// How new layers are kept. Old ones stay as they are: the two can lie in one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A directory of files: works on every kernel.
    Directories,
    /// One EROFS image: nothing is created per file. Needs Linux 6.15; on others directories are made.
    #[default]
    Erofs,
}

/// Where an archive goes.
#[derive(Debug)]
pub(crate) enum Target {
    Directory(OwnedFd),
    Image { file: File, uuid: Option<[u8; 16]> },
}

/// An archive that was taken in whole.
#[derive(Debug)]
pub(crate) enum Taken {
    Directory(Unpacked),
    Image(Box<Wrapped>),
}

impl Target {
    pub(crate) fn take(self, stream: impl BufRead, limits: Limits) -> Result<Taken, Error> {
        match self {
            Self::Directory(directory) => {
                let ground = Ground::of(directory.as_fd());
                unpack::unpack(stream, directory.as_fd(), ground, limits).map(Taken::Directory)
            }
            Self::Image { file, uuid } => {
                let mut wrapped = wrapped::wrap(stream, file, limits)?;
                // It needs nothing of the layers below, as a rule: the disk gets it while the archive is still waited for.
                if let Some(uuid) = uuid.filter(|_| wrapped.unpacked.is_complete()) {
                    let sync = |source| Error::Image {
                        step: "sync",
                        source,
                    };
                    wrapped.finish(uuid)?.sync_data().map_err(sync)?;
                }
                Ok(Taken::Image(Box::new(wrapped)))
            }
        }
    }
}

impl Taken {
    /// Bytes of file content.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Directory(unpacked) => unpacked.size,
            Self::Image(wrapped) => wrapped.unpacked.size,
        }
    }
}

/// Whether this kernel takes a file as a layer; it is asked with an empty one in `scratch`.
pub(crate) fn images_work(scratch: &Path) -> Result<bool, StoreError> {
    let layer = scratch.join("layer.erofs");
    let failed = |source| StoreError::Io {
        step: "write",
        path: layer.clone(),
        source,
    };
    let tree = Tree::new(Attributes {
        mode: 0o755,
        ..Attributes::default()
    });
    let bytes = erofs::encode(&tree, erofs::HEAD as u64, [1; 16])
        .map_err(|e| failed(std::io::Error::other(e)))?;
    std::fs::write(&layer, [&bytes.head[..], &bytes.metadata].concat()).map_err(failed)?;
    let tried = sys::mount::FsContext::open("overlay").and_then(|mut context| {
        context.add_layer(&layer)?;
        context.add_layer(scratch)?;
        context.create(sys::mount::Flags::MOUNT_ATTR_RDONLY)
    });
    std::fs::remove_file(&layer).map_err(failed)?;
    Ok(tried.is_ok())
}
