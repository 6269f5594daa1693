//! Hiding and freezing parts of /proc and /sys that are the host's.
//!
//! A file is covered by /dev/null, a directory by one empty read-only tmpfs made once and cloned.
//! Source: runtime-spec `config-linux.md` "Masked Paths", "Readonly Paths"; CVE-2025-31133: the cover must be the host's own
//! device, not whatever the image has at /dev/null.

use crate::error::{InitError, OrInit};
use oci_spec::runtime::Spec;
use rustix::fs::{FileType, OFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::mount::{Attributes, Flags, Recursion};
use sys::program::leave_open;

pub(super) fn apply(root: BorrowedFd<'_>, spec: &Spec) -> Result<(), InitError> {
    let Some(linux) = spec.linux() else {
        return Ok(());
    };
    for path in linux.readonly_paths().iter().flatten() {
        read_only(root, path)?;
    }
    let mut covers = Covers::default();
    for path in linux.masked_paths().iter().flatten() {
        covers.mask(root, path)?;
    }
    Ok(())
}

/// A path this kernel does not have needs no cover.
fn open(root: BorrowedFd<'_>, path: &str) -> std::io::Result<Option<OwnedFd>> {
    match sys::path::open_in_root(root, Path::new(path), OFlags::PATH) {
        Err(e) if matches!(e.raw_os_error(), Some(2 | 20)) => Ok(None),
        other => other.map(Some),
    }
}

fn read_only(root: BorrowedFd<'_>, path: &str) -> Result<(), InitError> {
    let error = |cause| InitError::ReadOnly {
        path: path.to_owned(),
        cause,
    };
    let Some(target) = open(root, path).because(error)? else {
        return Ok(());
    };
    let tree = sys::mount::clone_tree(target.as_fd(), c"", Recursion::Subtree).because(error)?;
    sys::mount::set_attributes(
        tree.as_fd(),
        Attributes {
            recursive: true,
            ..Attributes::read_only()
        },
    )
    .because(error)?;
    sys::mount::attach(tree.as_fd(), target.as_fd()).because(error)?;
    leave_open(tree);
    leave_open(target);
    Ok(())
}

const ENODEV: i32 = 19;

#[derive(Default)]
struct Covers {
    null: Option<OwnedFd>,
    /// Attached once; further directories get clones of it.
    empty: Option<OwnedFd>,
}

impl Covers {
    fn mask(&mut self, root: BorrowedFd<'_>, path: &str) -> Result<(), InitError> {
        let error = |cause| InitError::Mask {
            path: path.to_owned(),
            cause,
        };
        let Some(target) = open(root, path).because(error)? else {
            return Ok(());
        };
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&target).because(error)?.st_mode);
        let cover = if kind == FileType::Directory {
            self.directory()
        } else {
            self.file()
        };
        let cover = cover.because(error)?;
        sys::mount::attach(cover.as_fd(), target.as_fd()).because(error)?;
        leave_open(cover);
        leave_open(target);
        Ok(())
    }

    fn file(&mut self) -> std::io::Result<OwnedFd> {
        if let Some(null) = &self.null {
            return sys::mount::clone_tree(null.as_fd(), c"", Recursion::None);
        }
        // The host's tree is still our root here. A host that is a container itself may have been given anything by that name.
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
        let stat = rustix::fs::fstat(&null)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
            || stat.st_rdev != rustix::fs::makedev(1, 3)
        {
            return Err(std::io::Error::from_raw_os_error(ENODEV));
        }
        let tree = sys::mount::clone_tree(null.as_fd(), c"", Recursion::None);
        self.null = Some(null);
        tree
    }

    fn directory(&mut self) -> std::io::Result<OwnedFd> {
        if let Some(empty) = &self.empty {
            return sys::mount::clone_tree(empty.as_fd(), c"", Recursion::None);
        }
        let flags = Flags::MOUNT_ATTR_RDONLY
            | Flags::MOUNT_ATTR_NOSUID
            | Flags::MOUNT_ATTR_NODEV
            | Flags::MOUNT_ATTR_NOEXEC;
        let made = sys::mount::new_filesystem(
            "tmpfs",
            &[("nr_inodes", Some("1")), ("mode", Some("755"))],
            flags,
        )?;
        self.empty = Some(rustix::io::fcntl_dupfd_cloexec(&made, 0)?);
        Ok(made)
    }
}
