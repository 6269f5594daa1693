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
    /// One EROFS image: nothing is created per file. Needs Linux 6.12 with file-backed EROFS; on others directories are made.
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
    write_empty(&layer).map_err(failed)?;
    let read_only = sys::mount::Flags::MOUNT_ATTR_RDONLY;
    let tried = sys::layer::overlay(&[&layer, scratch], read_only, |_| Ok(()));
    std::fs::remove_file(&layer).map_err(failed)?;
    Ok(tried.is_ok())
}

fn write_empty(layer: &Path) -> std::io::Result<()> {
    let tree = Tree::new(Attributes {
        mode: 0o755,
        ..Attributes::default()
    });
    let bytes = erofs::encode(&tree, erofs::HEAD as u64, [1; 16]).map_err(std::io::Error::other)?;
    std::fs::write(layer, [&bytes.head[..], &bytes.metadata].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, fstat, openat};
    use std::io::Read;
    use std::path::PathBuf;
    use sys::namespace::{enter, flags};

    /// On a disk's file system, as a rule: a file in a tmpfs cannot be mounted.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = format!("/var/tmp/dockless-form-{name}-{}", std::process::id());
            std::fs::create_dir_all(&path).unwrap();
            Self(path.into())
        }

        /// `None` where the kernel mounts no file.
        fn images(&self) -> Option<[PathBuf; 2]> {
            let images = ["a.erofs", "b.erofs"].map(|name| self.0.join(name));
            images.iter().for_each(|image| write_empty(image).unwrap());
            sys::layer::open(&images[0]).ok().map(|_| images)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// The types of what is mounted in a namespace.
    fn mounted_in(namespace: &OwnedFd) -> Vec<String> {
        let read = || {
            let own = std::fs::File::open("/proc/thread-self").unwrap();
            enter(namespace, flags::NEWNS).unwrap();
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let mut text = String::new();
            File::from(openat(&own, "mountinfo", flags, Mode::empty()).unwrap())
                .read_to_string(&mut text)
                .unwrap();
            text
        };
        let text = sys::aside::roaming(read).unwrap();
        let kind = |line: &str| {
            line.split(" - ")
                .nth(1)?
                .split(' ')
                .next()
                .map(str::to_owned)
        };
        text.lines().filter_map(kind).collect()
    }

    /// The way of Linux 6.12 to 6.14, which newer ones can go as well.
    #[test]
    fn mounts_that_are_kept_apart_are_copied_for_each_overlay() {
        let scratch = Scratch::new("apart");
        let Some(images) = scratch.images() else {
            return;
        };
        let files = [images[0].as_path(), images[1].as_path()];
        let (mounts, namespace) = sys::layer::attach_apart(&files).unwrap();
        // As seen from its root, which is the mount on top; a host's root would show all that the host has.
        assert_eq!(mounted_in(&namespace), ["erofs"]);

        let pairs: Vec<_> = mounts
            .iter()
            .map(|m| (m.as_fd(), namespace.as_fd()))
            .collect();
        for _ in 0..2 {
            let copies = sys::layer::copy(&pairs).unwrap();
            for (copy, mount) in copies.iter().zip(&mounts) {
                assert_eq!(fstat(copy).unwrap().st_dev, fstat(mount).unwrap().st_dev);
            }
            let layers = [&copies[0], &copies[1]].map(sys::layer::by_descriptor);
            let made = sys::aside::in_new(|| {
                let context = sys::mount::FsContext::open("overlay")?;
                context.add_attached(layers.iter().map(PathBuf::as_path), Path::new("/"))?;
                context.create(sys::mount::Flags::empty())
            });
            let made = made.unwrap().unwrap();
            assert_eq!(fstat(&made).unwrap().st_mode & 0o777, 0o755);
        }
    }

    #[test]
    fn a_namespace_without_the_mounts_lends_none() {
        let scratch = Scratch::new("stranger");
        let Some(images) = scratch.images() else {
            return;
        };
        let (mounts, _namespace) = sys::layer::attach_apart(&[&images[0]]).unwrap();
        let (_, other) = sys::layer::attach_apart(&[&images[1]]).unwrap();
        assert!(sys::layer::copy(&[(mounts[0].as_fd(), other.as_fd())]).is_err());
    }
}
