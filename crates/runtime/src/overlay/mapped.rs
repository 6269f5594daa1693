//! Overlays on layers shown by the mapping of a user namespace, and other trees that are shown so.
//!
//! Source: mount_setattr(2), "ID-mapped mounts".

use super::{
    Overlay, aside, attach_over, configure_upper, copy, explain, explain_missing, failed, fd_path,
    forget_volatile, mount_string, place, refused,
};
use crate::error::{InitError, OrInit};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::mount::{Flags, FsContext, Recursion};
use sys::userns::IdMap;

/// The layers as a user namespace maps them.
#[derive(Debug)]
struct Mapped {
    /// Detached clones and where they are from.
    trees: Vec<(OwnedFd, PathBuf)>,
    lower: Vec<OwnedFd>,
    upper: Option<(OwnedFd, OwnedFd)>,
}

/// An overlay, attached nowhere, over layers shown by the mapping of a user namespace.
pub(crate) fn idmapped(overlay: &Overlay, userns: BorrowedFd<'_>) -> Result<OwnedFd, InitError> {
    let mut mapped = Mapped::open(overlay, userns)?;
    // A lone layer that nobody writes to needs no overlay, which wants at least two directories.
    if mapped.upper.is_none() && mapped.lower.len() == 1 {
        return Ok(mapped.trees.remove(0).0);
    }
    let context = FsContext::open("overlay").because(refused)?;
    let made = mapped
        .configure(&context, overlay)
        .and_then(|()| as_root_of(overlay, || context.create(Flags::empty()))?);
    match made {
        Ok(root) => Ok(root),
        Err(e) if lacks_detached_layers(&e) => aside(|| copy(&mapped.mount_attached(overlay)?)),
        Err(e) => Err(failed(explain(&context, overlay), e.into())),
    }
}

/// An overlay works with the ids of its maker. Through a mapped upper directory the host's root is nobody, who can make nothing:
/// the work directory would fail, and the overlay be read-only without a word.
fn as_root_of<T>(overlay: &Overlay, action: impl FnOnce() -> T) -> io::Result<T> {
    let map = overlay.idmap.as_ref();
    let uid = map.and_then(IdMap::first_user).unwrap_or(0);
    let gid = map.and_then(IdMap::first_group).unwrap_or(0);
    sys::capability::with_fs_identity(uid, gid, action)
}

/// Before Linux 6.5 an overlay takes no parameter by descriptor; before 6.13 fsconfig(2) calls one bad that was opened as a path
/// only; then `lowerdir+` takes it, but before 6.15 not if it is on a detached mount.
fn lacks_detached_layers(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::OPNOTSUPP | Errno::BADF | Errno::INVAL)
    )
}

impl Mapped {
    fn open(overlay: &Overlay, userns: BorrowedFd<'_>) -> Result<Self, InitError> {
        let missing = |cause| failed(explain_missing(overlay), cause);
        place(overlay)?;
        let mut mapped = Self {
            trees: Vec::new(),
            lower: Vec::new(),
            upper: None,
        };
        for layer in &overlay.lower {
            let tree = layer_mapped(layer, userns, missing)?;
            mapped
                .lower
                .push(reopen(&tree, Path::new("")).because(missing)?);
            mapped.trees.push((tree, layer.clone()));
        }
        if let Some((upper, work)) = &overlay.upper {
            forget_volatile(work);
            // Both must be on one mount: the clone is of the directory that holds the two.
            let above = common_parent(upper, work);
            let tree = clone_mapped(above, Recursion::None, userns, missing)?;
            let open = |path: &Path| reopen(&tree, path.strip_prefix(above).unwrap_or(path));
            let opened = (open(upper).because(missing)?, open(work).because(missing)?);
            mapped.upper = Some(opened);
            mapped.trees.push((tree, above.to_owned()));
        }
        Ok(mapped)
    }

    fn configure(&self, context: &FsContext, overlay: &Overlay) -> io::Result<()> {
        for layer in self.lower.iter().rev() {
            context.set_fd("lowerdir+", layer.as_fd())?;
        }
        if let Some((upper, work)) = &self.upper {
            context.set_fd("upperdir", upper.as_fd())?;
            context.set_fd("workdir", work.as_fd())?;
            configure_upper(context, overlay)?;
        }
        Ok(())
    }

    fn mount_attached(&self, overlay: &Overlay) -> Result<OwnedFd, InitError> {
        let place = place(overlay)?;
        // The better way may have failed after it left its mark.
        if let Some((_, work)) = &overlay.upper {
            forget_volatile(work);
        }
        for (tree, from) in &self.trees {
            // A file is no place for what is in it.
            let at = match sys::layer::is_detached(from) {
                true => place,
                false => from,
            };
            attach_over(tree, at).because(|cause| failed(explain_missing(overlay), cause))?;
        }
        let upper = self
            .upper
            .as_ref()
            .map(|(upper, work)| (fd_path(upper), fd_path(work)));
        let mount = || mount_string(&self.lower, upper, overlay.volatile, place);
        as_root_of(overlay, mount).because(refused)?
    }
}

/// A layer, shown by the mapping of a user namespace. A file is mounted for this alone and need not be cloned; nor can be, before
/// Linux 6.15, what somebody has mounted: there it is for this alone.
fn layer_mapped(
    layer: &Path,
    userns: BorrowedFd<'_>,
    error: impl FnOnce(crate::Errno) -> InitError,
) -> Result<OwnedFd, InitError> {
    let clone = || sys::mount::clone_path(layer, Recursion::None);
    let tree = match sys::layer::is_image(layer) {
        true => sys::layer::open(layer),
        false => clone().or_else(|e| match sys::layer::wants_attached(&e, [layer]) {
            true => sys::layer::open(layer),
            false => Err(e),
        }),
    };
    let tree = tree.because(error)?;
    map_tree(&tree, layer, false, userns)?;
    Ok(tree)
}

fn reopen(tree: &OwnedFd, beneath: &Path) -> io::Result<OwnedFd> {
    sys::path::open_without_links(
        tree.as_fd(),
        beneath,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY,
    )
}

fn common_parent<'a>(a: &'a Path, b: &Path) -> &'a Path {
    a.ancestors()
        .skip(1)
        .find(|above| b.starts_with(above))
        .unwrap_or(Path::new("/"))
}

/// A detached clone of a host's tree, shown by the mapping of a user namespace.
fn clone_mapped(
    path: &Path,
    recursion: Recursion,
    userns: BorrowedFd<'_>,
    error: impl FnOnce(crate::Errno) -> InitError,
) -> Result<OwnedFd, InitError> {
    let tree = sys::mount::clone_path(path, recursion).because(error)?;
    map_tree(&tree, path, recursion == Recursion::Subtree, userns)?;
    Ok(tree)
}

/// Shows a clone's ids by the mapping of a user namespace.
pub(crate) fn map_tree(
    tree: &OwnedFd,
    path: &Path,
    recursive: bool,
    userns: BorrowedFd<'_>,
) -> Result<(), InitError> {
    sys::mount::set_idmap(tree.as_fd(), userns, recursive).because(|cause| InitError::IdMap {
        path: path.display().to_string(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way of kernels before 6.15, which newer ones can go as well.
    #[test]
    fn mapped_layers_by_the_option_string() {
        use std::os::unix::fs::MetadataExt;
        let dir = std::env::temp_dir().join(format!("dockless-overlay-{}", std::process::id()));
        for name in ["a", "b", "upper", "work"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        std::fs::write(dir.join("a/old"), "x").unwrap();
        let map = IdMap::range(400_000, 1000);
        let overlay = Overlay {
            lower: vec![dir.join("a"), dir.join("b")],
            upper: Some((dir.join("upper"), dir.join("work"))),
            volatile: false,
            idmap: Some(map.clone()),
        };
        let userns = sys::userns::new(&map).unwrap();
        let mapped = Mapped::open(&overlay, userns.as_fd()).unwrap();
        let root = aside(|| copy(&mapped.mount_attached(&overlay)?)).unwrap();
        let stat = rustix::fs::statat(&root, "old", rustix::fs::AtFlags::empty()).unwrap();
        assert_eq!((stat.st_uid, stat.st_gid), (400_000, 400_000));
        sys::capability::with_fs_identity(400_007, 400_000, || {
            rustix::fs::mkdirat(&root, "new", rustix::fs::Mode::from_raw_mode(0o755))
        })
        .unwrap()
        .unwrap();
        assert_eq!(std::fs::metadata(dir.join("upper/new")).unwrap().uid(), 7);
        drop(root);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// What Linux 6.1, 6.12 and 6.13 answer to the better way.
    #[test]
    fn a_kernel_without_detached_layers_goes_the_other_way() {
        for (number, other_way) in [(95, true), (9, true), (22, true), (2, false)] {
            let answer = io::Error::from_raw_os_error(number);
            assert_eq!(lacks_detached_layers(&answer), other_way, "{answer}");
        }
    }

    #[test]
    fn upper_and_work_are_reached_by_one_mount() {
        let parent = |a, b| {
            common_parent(Path::new(a), Path::new(b))
                .display()
                .to_string()
        };
        assert_eq!(parent("/x/c/upper", "/x/c/work"), "/x/c");
        assert_eq!(parent("/x/u", "/y/w"), "/");
        assert_eq!(parent("/x/u", "/x/u/work"), "/x");
    }
}
