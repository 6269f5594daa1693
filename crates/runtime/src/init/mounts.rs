//! The mounts of the spec, in its order, each attached at a handle found beneath the root.
//!
//! A target is looked up inside the root (links cannot leave it) and made when missing. proc and sysfs are never mounted
//! through a link, and nothing else is mounted inside /proc except on a few single files: an image or a volume could
//! otherwise put its own files where the masks and labels of this runtime go (CVE-2019-16884, CVE-2023-27561).
//! Source: runtime-spec `config.md` "Mounts".

use super::options::{Bind, Options};
use crate::cgroup;
use crate::error::{InitError, OrInit};
use crate::idmap::Mapping;
use crate::namespaces::Namespaces;
use crate::request::Request;
use oci_spec::runtime::Spec;
use rustix::fs::{FileType, OFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use sys::mount::{Flags, FsContext, Recursion};
use sys::namespace::flags;
use sys::path::Missing;

/// A mount with its options read and, for a bind, its source open.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(super) kind: String,
    pub(super) target: PathBuf,
    source: Option<PathBuf>,
    options: Options,
    /// The mapping to show it by.
    mapping: Option<Mapping>,
    tree: Option<OwnedFd>,
    /// Of the host, to be shown where a new one is refused: see [`stand_in`].
    stand_in: Option<&'static str>,
}

/// Files below /proc that tools like lxcfs replace one by one.
const PROC_FILES: [&str; 13] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
    "net/dev",
    "pressure/cpu",
    "pressure/memory",
];

/// Reads the spec before anything is made.
pub(crate) fn plan(spec: &Spec, namespaces: &Namespaces) -> Result<Vec<Planned>, InitError> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mut plan = mounts.iter().map(plan_one).collect::<Result<Vec<_>, _>>()?;
    if namespaces.has_user() {
        for mount in &mut plan {
            mount.stand_in = stand_in(&mount.kind, namespaces.new);
        }
    }
    Ok(plan)
}

/// A file system that shows a namespace can be mounted only by who has rights over it. In a user namespace of its own a container
/// has none over the host's, and is shown the host's mount of it instead.
fn stand_in(kind: &str, new: u64) -> Option<&'static str> {
    let (namespace, path) = match kind {
        "proc" => (flags::NEWPID, "/proc"),
        "sysfs" => (flags::NEWNET, "/sys"),
        "mqueue" => (flags::NEWIPC, "/dev/mqueue"),
        _ => return None,
    };
    (new & namespace == 0).then_some(path)
}

fn plan_one(mount: &oci_spec::runtime::Mount) -> Result<Planned, InitError> {
    let options = Options::parse(mount.options().as_deref().unwrap_or_default());
    let kind = match (options.bind, mount.typ().as_deref()) {
        (Some(_), _) | (None, Some("bind")) => "bind",
        (None, Some(kind)) => kind,
        (None, None) => "bind",
    };
    let target = normal(mount.destination());
    if let Ok(inside) = target.strip_prefix("/proc")
        && kind != "proc"
        && !PROC_FILES
            .iter()
            .any(|allowed| Path::new(allowed) == inside)
        && !(kind == "binfmt_misc" && inside == Path::new("sys/fs/binfmt_misc"))
    {
        return Err(InitError::InsideProc {
            target: target.display().to_string(),
        });
    }
    Ok(Planned {
        kind: kind.to_owned(),
        target,
        source: mount.source().clone(),
        mapping: Mapping::of(mount, &options)?,
        options,
        tree: None,
        stand_in: None,
    })
}

/// The path as written, without `.` and `..`: those would hide that it leads into /proc.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => drop(out.pop()),
            _ => {}
        }
    }
    out
}

/// Clones the host's trees that are to be bound, and gives them their attributes. `userns` is the container's.
pub(crate) fn open_sources(
    plan: &mut [Planned],
    userns: Option<BorrowedFd<'_>>,
) -> Result<(), InitError> {
    for mount in plan {
        mount.tree = match (mount.kind.as_str(), mount.stand_in) {
            ("bind", _) => Some(open_source(mount, userns)?),
            // It may be missing, and may not be needed.
            (_, Some(path)) => sys::mount::clone_path(Path::new(path), Recursion::Subtree).ok(),
            _ => continue,
        };
        if let Some(tree) = &mount.tree {
            for change in mount.options.bind_changes() {
                sys::mount::set_attributes(tree.as_fd(), change)
                    .because(|cause| mount.failed(Vec::new(), cause))?;
            }
        }
    }
    Ok(())
}

fn open_source(mount: &Planned, userns: Option<BorrowedFd<'_>>) -> Result<OwnedFd, InitError> {
    let source = mount.source.clone().unwrap_or_default();
    let recursion = if mount.options.bind == Some(Bind::Single) {
        Recursion::None
    } else {
        Recursion::Subtree
    };
    let tree = sys::mount::clone_path(&source, recursion).map_err(|e| {
        let (origin, target) = (
            source.display().to_string(),
            mount.target.display().to_string(),
        );
        match e.raw_os_error() {
            Some(2) => InitError::SourceMissing { origin, target },
            _ => InitError::OpenSource {
                origin,
                target,
                cause: e.into(),
            },
        }
    })?;
    if let Some(mapping) = &mount.mapping {
        mapping.apply(&tree, &source, userns)?;
    }
    Ok(tree)
}

pub(super) fn perform(
    root: BorrowedFd<'_>,
    mount: &Planned,
    request: &Request<'_>,
) -> Result<(), InitError> {
    match (&mount.tree, mount.kind.as_str()) {
        (Some(tree), "bind") => bind(root, mount, tree),
        (Some(tree), _) => match mount_filesystem(root, mount) {
            Err(InitError::Mount { cause, .. }) if matches!(cause.0, 1 | 22) => {
                bind(root, mount, tree)
            }
            other => other,
        },
        (None, "cgroup" | "cgroup2") => mount_cgroup(root, mount, request),
        (None, _) => mount_filesystem(root, mount),
    }
}

fn bind(root: BorrowedFd<'_>, mount: &Planned, tree: &OwnedFd) -> Result<(), InitError> {
    let failed = |cause| mount.failed(Vec::new(), cause);
    let missing = match FileType::from_raw_mode(rustix::fs::fstat(tree).because(failed)?.st_mode) {
        FileType::Directory => Missing::Directory,
        _ => Missing::File,
    };
    let target = match mount.kind.as_str() {
        "proc" | "sysfs" => mount.target_without_links(root)?,
        _ => mount.target_in(root, missing)?,
    };
    sys::mount::attach(tree.as_fd(), target.as_fd()).because(failed)
}

fn mount_filesystem(root: BorrowedFd<'_>, mount: &Planned) -> Result<(), InitError> {
    let target = match mount.kind.as_str() {
        "proc" | "sysfs" => mount.target_without_links(root)?,
        _ => mount.target_in(root, Missing::Directory)?,
    };
    let context = FsContext::open(&mount.kind).because(|cause| mount.failed(Vec::new(), cause))?;
    let made = configure(&context, mount).and_then(|()| context.create(mount.options.flags()));
    let tree = made.because(|cause| mount.failed(context.messages(), cause))?;
    if let Some((propagation, recursive)) = mount.options.propagation {
        let change = sys::mount::Attributes {
            propagation: Some(propagation),
            recursive,
            ..Default::default()
        };
        sys::mount::set_attributes(tree.as_fd(), change)
            .because(|cause| mount.failed(Vec::new(), cause))?;
    }
    sys::mount::attach(tree.as_fd(), target.as_fd())
        .because(|cause| mount.failed(Vec::new(), cause))
}

fn configure(context: &FsContext, mount: &Planned) -> io::Result<()> {
    let pseudo = matches!(
        mount.kind.as_str(),
        "proc" | "sysfs" | "tmpfs" | "devpts" | "mqueue"
    );
    if let Some(source) = mount.source.as_ref().filter(|_| !pseudo) {
        context.set("source", source.as_path())?;
    }
    for (key, value) in &mount.options.data {
        match value {
            Some(value) => context.set(key, value.as_str())?,
            None => context.set_flag(key)?,
        }
    }
    Ok(())
}

/// v2: the one hierarchy. v1 and hybrid: a directory of them all, as the host has it.
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
    let target = mount.target_in(root, Missing::Directory)?;
    let flags = mount.options.flags();
    if hierarchies.v1.is_empty() {
        let tree = sys::mount::new_filesystem("cgroup2", &[], flags).because(failed)?;
        return sys::mount::attach(tree.as_fd(), target.as_fd()).because(failed);
    }
    let writable = flags - Flags::MOUNT_ATTR_RDONLY;
    let directory =
        sys::mount::new_filesystem("tmpfs", &[("mode", Some("755"))], writable).because(failed)?;
    for hierarchy in &hierarchies.v1 {
        cgroup::make_v1_directory(directory.as_fd(), hierarchy).because(failed)?;
    }
    sys::mount::attach(directory.as_fd(), target.as_fd()).because(failed)?;
    for hierarchy in &hierarchies.v1 {
        cgroup::attach_v1(directory.as_fd(), hierarchy, flags).because(failed)?;
    }
    if hierarchies.v2.is_some() {
        rustix::fs::mkdirat(
            &directory,
            "unified",
            rustix::fs::Mode::from_raw_mode(0o755),
        )
        .because(failed)?;
        let tree = sys::mount::new_filesystem("cgroup2", &[], flags).because(failed)?;
        sys::mount::attach_at(tree.as_fd(), directory.as_fd(), "unified").because(failed)?;
    }
    if flags.contains(Flags::MOUNT_ATTR_RDONLY) {
        sys::mount::set_attributes(directory.as_fd(), sys::mount::Attributes::read_only())
            .because(failed)?;
    }
    Ok(())
}

impl Planned {
    /// Whether the caller has to hand a tree over.
    pub(crate) fn needs_tree(&self) -> bool {
        self.kind == "bind" || self.stand_in.is_some()
    }

    pub(crate) fn take_tree(&mut self) -> Option<OwnedFd> {
        self.tree.take()
    }

    pub(crate) fn put_tree(&mut self, tree: Option<OwnedFd>) {
        self.tree = tree;
    }

    /// The namespace of a mapping of its own is made by the caller: only there do pids and /proc agree.
    pub(crate) fn mapping(&mut self) -> Option<&mut Mapping> {
        self.mapping.as_mut()
    }

    fn failed(&self, messages: Vec<String>, cause: crate::Errno) -> InitError {
        let kind = match &self.source {
            Some(source) if self.kind == "bind" => source.display().to_string(),
            _ => self.kind.clone(),
        };
        InitError::Mount {
            kind,
            target: self.target.display().to_string(),
            messages,
            cause,
        }
    }

    fn target_in(&self, root: BorrowedFd<'_>, missing: Missing) -> Result<OwnedFd, InitError> {
        let error = |cause| InitError::MountPoint {
            target: self.target.display().to_string(),
            cause,
        };
        let target = sys::path::make_in_root(root, &self.target, missing, 0o755).because(error)?;
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
        let error = |cause| InitError::MountPoint {
            target: self.target.display().to_string(),
            cause,
        };
        let open =
            || sys::path::open_without_links(root, &self.target, OFlags::PATH | OFlags::DIRECTORY);
        match open() {
            Err(e) if e.raw_os_error() == Some(2) => {
                sys::path::make_in_root(root, &self.target, Missing::Directory, 0o755)
                    .because(error)?;
                open().because(error)
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

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::MountBuilder;

    #[test]
    fn nothing_but_single_files_goes_into_proc() {
        for (target, allowed) in [
            ("/proc", false),
            ("/proc/self", false),
            ("/x/../proc/sys", false),
            ("/proc/uptime", true),
            ("/process", true),
        ] {
            let mount = MountBuilder::default()
                .destination(target)
                .typ("bind")
                .source("/x")
                .build()
                .unwrap();
            assert_eq!(plan_one(&mount).is_ok(), allowed, "{target}");
        }
    }
}
