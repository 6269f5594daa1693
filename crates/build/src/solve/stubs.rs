//! The empty files and directories that exist only because something was mounted there: they do not belong into the
//! layer.
//!
//! Source: BuildKit `executor/stubs.go`.

use crate::error::Cause;
use crate::inputs::open_directory;
use crate::overlay;
use crate::workspace::{Upper, Workspace};
use engine::sandbox::SandboxMount;
use rustix::fs::{AtFlags, FileType, OFlags};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Where the sandbox itself mounts.
const OWN: [&str; 6] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/hostname",
    "/dev",
    "/proc",
    "/sys",
];

/// Paths that were not there before the command ran, deepest first.
#[derive(Debug)]
pub(super) struct Stubs {
    paths: Vec<PathBuf>,
}

impl Stubs {
    /// Finds out, before the command runs, which mount points will have to be made.
    pub(super) fn look(
        workspace: &Workspace,
        layers: &[PathBuf],
        mounts: &[SandboxMount],
    ) -> Result<Self, Cause> {
        let root = overlay::mount(workspace, layers, None)?;
        let targets = OWN
            .iter()
            .copied()
            .chain(mounts.iter().map(|mount| mount.target.as_str()));
        let mut paths = Vec::new();
        for target in targets {
            let inside = behind_link(root.as_fd(), Path::new(target.trim_start_matches('/')));
            let missing = inside
                .ancestors()
                .filter(|path| !path.as_os_str().is_empty());
            paths.extend(
                missing
                    .take_while(|path| !sys::path::exists(root.as_fd(), path))
                    .map(Path::to_owned),
            );
        }
        paths.sort();
        paths.dedup();
        paths.reverse();
        Ok(Self { paths })
    }

    /// Removes those that are still empty.
    pub(super) fn remove(&self, upper: &Upper) -> Result<(), Cause> {
        let root = open_directory(&upper.upper())?;
        for path in &self.paths {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                continue;
            };
            // Beneath the upper directory itself: what the command made of the parents leads nowhere else.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let Ok(dir) = sys::path::open_without_links(root.as_fd(), parent, flags) else {
                continue;
            };
            let Ok(stat) = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let flags = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => AtFlags::REMOVEDIR,
                FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
                _ => continue,
            };
            match rustix::fs::unlinkat(&dir, name, flags) {
                Ok(()) | Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::NOENT) => {}
                Err(errno) => return Err(Cause::io("remove", path)(errno.into())),
            }
        }
        Ok(())
    }
}

/// Where a mount point is made when the path is a link to nothing: `/etc/resolv.conf` of images made for systemd.
fn behind_link(root: BorrowedFd<'_>, path: &Path) -> PathBuf {
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    let link = sys::path::open_in_root(root, path, flags).ok();
    let target = link.and_then(|link| rustix::fs::readlinkat(&link, "", Vec::new()).ok());
    let Some(target) = target else {
        return path.to_owned();
    };
    let target = target.to_string_lossy();
    let parent = path.parent().unwrap_or(Path::new(""));
    let whole = match target.starts_with('/') {
        true => target.into_owned(),
        false => parent.join(&*target).display().to_string(),
    };
    PathBuf::from(crate::pattern::clean(&whole))
}
