//! Making the planned mounts: each attached at a handle found beneath the root.
//!
//! A target is looked up inside the root (links cannot leave it) and made when missing. proc and sysfs are never mounted
//! through a link, and nothing else is mounted over the container's procfs by one.
//! Source: runtime-spec `config.md` "Mounts"; CVE-2019-16884, CVE-2021-30465, CVE-2023-27561, CVE-2023-28642.

use super::copy_up;
use super::mounts::Planned;
use super::options::{Action, Link};
use crate::cgroup;
use crate::error::{InitError, OrInit};
use crate::request::Request;
use oci_spec::runtime::LinuxNamespaceType;
use rustix::fs::{FileType, OFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::mount::{Attributes, Flags, FsContext};
use sys::path::Missing;
use sys::program::leave_open;

/// Makes the mount; a file system that was made new is given back. `later` are the mounts that come after it.
pub(super) fn perform(
    root: BorrowedFd<'_>,
    mount: &mut Planned,
    later: &[Planned],
    request: &Request<'_>,
) -> Result<Option<OwnedFd>, InitError> {
    if mount.options.action == Action::Remount {
        return remount(root, mount).map(|()| None);
    }
    if let Some(link) = &mount.link {
        return copy_link(root, mount, link).map(|()| None);
    }
    let made = match mount.kind.as_str() {
        "bind" => return bind(root, mount).map(|()| None),
        "cgroup" | "cgroup2" => mount_cgroup(root, mount, request).map(|()| None),
        _ => mount_filesystem(root, mount, later).map(Some),
    };
    match made {
        // Not ours to mount: the host's own, if it was handed over.
        Err(InitError::Mount { cause, .. })
            if mount.tree.is_some() && matches!(cause.0, 1 | 13) =>
        {
            bind(root, mount).map(|()| None)
        }
        other => other,
    }
}

fn bind(root: BorrowedFd<'_>, mount: &mut Planned) -> Result<(), InitError> {
    let Some(tree) = mount.tree.take() else {
        return Err(mount.failed(Vec::new(), crate::Errno::NOENT));
    };
    let failed = |cause| mount.failed(Vec::new(), cause);
    let missing = match FileType::from_raw_mode(rustix::fs::fstat(&tree).because(failed)?.st_mode) {
        FileType::Directory => Missing::Directory,
        _ => Missing::File,
    };
    let target = mount.target(root, missing)?;
    sys::mount::attach(tree.as_fd(), target.as_fd()).because(failed)?;
    // Not so the target: one that was made here is open for writing, and a root with such a file cannot become read-only.
    leave_open(tree);
    Ok(())
}

/// What is mounted there already, by the spec or by the root itself, gets other attributes and parameters.
fn remount(root: BorrowedFd<'_>, mount: &Planned) -> Result<(), InitError> {
    let failed = |cause| mount.failed(Vec::new(), cause);
    let target = sys::path::open_in_root(root, &mount.target, OFlags::PATH).because(failed)?;
    let flags = mount.options.superblock.iter().map(|flag| (*flag, None));
    let data = mount.options.data.iter();
    let data = data.map(|(key, value)| (key.as_str(), value.as_deref()));
    let parameters: Vec<_> = flags.chain(data).collect();
    if !parameters.is_empty() {
        sys::mount::reconfigure(target.as_fd(), &parameters).because(failed)?;
    }
    for change in mount.options.remount_changes() {
        sys::mount::set_attributes(target.as_fd(), change).because(failed)?;
    }
    Ok(())
}

/// `copy-symlink`: a link with the same text; one that is there already may stay.
fn copy_link(root: BorrowedFd<'_>, mount: &Planned, text: &Path) -> Result<(), InitError> {
    let error = |cause| mount.no_mount_point(cause);
    let name = mount.target.file_name();
    let name = name.ok_or_else(|| error(crate::Errno(17)))?;
    let parent = mount.target.parent().unwrap_or(Path::new("/"));
    let parent = sys::path::make_in_root(root, parent, Missing::Directory, 0o755).because(error)?;
    match rustix::fs::symlinkat(text, &parent, name) {
        Err(rustix::io::Errno::EXIST) => {}
        other => return other.because(error),
    }
    match rustix::fs::readlinkat(&parent, name, Vec::new()) {
        Ok(there) if Path::new(std::ffi::OsStr::from_bytes(there.as_bytes())) == text => Ok(()),
        _ => Err(error(crate::Errno(17))),
    }
}

fn mount_filesystem(
    root: BorrowedFd<'_>,
    mount: &Planned,
    later: &[Planned],
) -> Result<OwnedFd, InitError> {
    let failed = |cause| mount.failed(Vec::new(), cause);
    let target = mount.target(root, Missing::Directory)?;
    let tree = make(mount)?;
    make_mount_points(tree.as_fd(), mount, later);
    if mount.options.copy_up {
        copy_up::into_tmpfs(target.as_fd(), tree.as_fd(), mount.options.has("mode"))
            .because(failed)?;
        if mount.options.is_read_only() {
            sys::mount::set_attributes(tree.as_fd(), Attributes::read_only()).because(failed)?;
        }
    }
    for change in mount.options.propagation_changes() {
        sys::mount::set_attributes(tree.as_fd(), change).because(failed)?;
    }
    sys::mount::attach(tree.as_fd(), target.as_fd()).because(failed)?;
    leave_open(target);
    Ok(tree)
}

/// Directories for the file systems that will be mounted right below this one, while it is empty and nobody else's: found at once
/// when their turn comes. What cannot be made here is made, or explained, then.
fn make_mount_points(tree: BorrowedFd<'_>, mount: &Planned, later: &[Planned]) {
    if mount.kind != "tmpfs" || mount.options.copy_up {
        return;
    }
    let below = later
        .iter()
        .filter(|other| other.kind != "bind" && other.options.action == Action::Mount)
        .filter(|other| other.target.parent() == Some(&mount.target));
    for name in below.filter_map(|other| other.target.file_name()) {
        let _ = rustix::fs::mkdirat(tree, name, rustix::fs::Mode::from_raw_mode(0o755));
    }
}

/// The file system and a mount of it, attached nowhere yet.
fn make(mount: &Planned) -> Result<OwnedFd, InitError> {
    let mut flags = mount.options.flags();
    if mount.options.copy_up {
        // Until it has its content.
        flags -= Flags::MOUNT_ATTR_RDONLY;
    }
    let with = |skip: &str| {
        let context =
            FsContext::open(&mount.kind).because(|cause| mount.failed(Vec::new(), cause))?;
        let made = configure(&context, mount, skip).and_then(|()| context.create(flags));
        made.because(|cause| mount.failed(context.messages(), cause))
    };
    match with("") {
        // A terminals' group that the container's user namespace does not have.
        Err(InitError::Mount { cause, .. })
            if cause.0 == 22 && mount.kind == "devpts" && mount.options.has("gid") =>
        {
            with("gid")
        }
        other => other,
    }
}

fn configure(context: &FsContext, mount: &Planned, skip: &str) -> io::Result<()> {
    let pseudo = matches!(
        mount.kind.as_str(),
        "proc" | "sysfs" | "tmpfs" | "devpts" | "mqueue"
    );
    if let Some(source) = mount.source.as_ref().filter(|_| !pseudo) {
        context.set("source", source.as_path())?;
        // A disk that cannot be written is not tried to be.
        if mount.options.is_read_only() {
            context.set_flag("ro")?;
        }
    }
    for flag in &mount.options.superblock {
        context.set_flag(flag)?;
    }
    for (key, value) in mount.options.data.iter().filter(|(key, _)| key != skip) {
        match value {
            Some(value) => context.set(key, value.as_str())?,
            None => context.set_flag(key)?,
        }
    }
    Ok(())
}

/// What is seen of the control groups: see `cgroup::view`.
fn mount_cgroup(
    root: BorrowedFd<'_>,
    mount: &Planned,
    request: &Request<'_>,
) -> Result<(), InitError> {
    let failed = |cause| mount.failed(Vec::new(), cause);
    let detected;
    let hierarchies = match request.cgroup {
        Some(cgroup) => cgroup.hierarchies(),
        None => {
            detected = sys::cgroupfs::detect().because(failed)?;
            &detected
        }
    };
    let target = mount.target(root, Missing::Directory)?;
    let linux = request.spec.linux().as_ref();
    let namespaces = linux.and_then(|linux| linux.namespaces().as_ref());
    let view = cgroup::View {
        hierarchies,
        group: request.cgroup,
        namespace: namespaces
            .into_iter()
            .flatten()
            .any(|namespace| namespace.typ() == LinuxNamespaceType::Cgroup),
        only_v2: mount.kind == "cgroup2",
        flags: mount.options.flags(),
        data: &mount.options.data,
    };
    view.attach(target.as_fd()).because(failed)
}

impl Planned {
    fn target(&self, root: BorrowedFd<'_>, missing: Missing) -> Result<OwnedFd, InitError> {
        match self.kind.as_str() {
            "proc" | "sysfs" => self.target_without_links(root),
            _ => self.target_in(root, missing),
        }
    }

    fn target_in(&self, root: BorrowedFd<'_>, missing: Missing) -> Result<OwnedFd, InitError> {
        let error = |cause| self.no_mount_point(cause);
        let target = match self.options.target_link {
            Link::Keep => {
                sys::path::open_in_root(root, &self.target, OFlags::PATH | OFlags::NOFOLLOW)
            }
            _ => sys::path::make_in_root(root, &self.target, missing, 0o755),
        }
        .because(error)?;
        // Told by name already, unless a link of the image's or of a volume's led there (CVE-2023-27561).
        if !self.target.starts_with("/proc") && is_in_proc(root, &target).because(error)? {
            return Err(InitError::InsideProc {
                target: self.target.display().to_string(),
            });
        }
        Ok(target)
    }

    /// A link at /proc would put the real one elsewhere, and leave in its place what the image likes.
    fn target_without_links(&self, root: BorrowedFd<'_>) -> Result<OwnedFd, InitError> {
        let error = |cause| self.no_mount_point(cause);
        let open =
            || sys::path::open_without_links(root, &self.target, OFlags::PATH | OFlags::DIRECTORY);
        match open() {
            Err(e) if e.raw_os_error() == Some(2) => {
                sys::path::make_in_root(root, &self.target, Missing::Directory, 0o755)
                    .because(error)?;
                open().because(error)
            }
            // ELOOP and ENOTDIR.
            Err(e) if matches!(e.raw_os_error(), Some(40 | 20)) => {
                Err(InitError::MountThroughLink {
                    kind: self.kind.clone(),
                    target: self.target.display().to_string(),
                })
            }
            other => other.because(error),
        }
    }
}

/// Whether it lies on the container's own procfs; one of the host's that was bound somewhere is the caller's affair.
fn is_in_proc(root: BorrowedFd<'_>, target: &OwnedFd) -> io::Result<bool> {
    if !sys::path::is_on(target, sys::path::Magic::Proc)? {
        return Ok(false);
    }
    match sys::path::open_without_links(root, Path::new("/proc"), OFlags::PATH) {
        Ok(own) => Ok(rustix::fs::fstat(own)?.st_dev == rustix::fs::fstat(target)?.st_dev),
        Err(_) => Ok(false),
    }
}
