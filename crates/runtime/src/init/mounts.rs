//! The mounts of the spec, read before anything is made, and the host's trees they are of. How they are made is `attach`'s.
//!
//! Nothing but proc itself is mounted inside /proc except on a few single files: an image or a volume could otherwise put its own
//! files where the masks and labels of this runtime go (CVE-2019-16884, CVE-2023-27561).
//! Source: runtime-spec `config.md` "Mounts".

use super::options::{Action, Bind, Link, Options};
use crate::error::{InitError, OrInit};
use crate::idmap::Mapping;
use crate::namespaces::Namespaces;
use oci_spec::runtime::Spec;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use sys::mount::Recursion;
use sys::namespace::flags;

/// A mount with its options read and, for a bind, its source open.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(super) kind: String,
    pub(super) target: PathBuf,
    pub(super) source: Option<PathBuf>,
    pub(super) options: Options,
    /// The mapping to show it by.
    mapping: Option<Mapping>,
    /// The link to be made instead (`copy-symlink`).
    pub(super) link: Option<PathBuf>,
    pub(super) tree: Option<OwnedFd>,
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
            mount.stand_in = stand_in(&mount.kind, namespaces);
        }
    }
    Ok(plan)
}

/// A file system that shows a namespace can be mounted only by who has rights over it. In a user namespace of its own a container
/// has none over the host's, and is shown the host's mount of it instead.
fn stand_in(kind: &str, namespaces: &Namespaces) -> Option<&'static str> {
    let new = match namespaces.new_cgroup {
        true => namespaces.new | flags::NEWCGROUP,
        false => namespaces.new,
    };
    let (namespace, path) = match kind {
        "proc" => (flags::NEWPID, "/proc"),
        "sysfs" => (flags::NEWNET, "/sys"),
        "mqueue" => (flags::NEWIPC, "/dev/mqueue"),
        "cgroup" | "cgroup2" => (flags::NEWCGROUP, "/sys/fs/cgroup"),
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
    check_options(kind, &options, &target)?;
    if let Ok(inside) = target.strip_prefix("/proc")
        && kind != "proc"
        && options.action == Action::Mount
        && !PROC_FILES
            .iter()
            .any(|allowed| Path::new(allowed) == inside)
        && !(kind == "binfmt_misc" && inside == Path::new("sys/fs/binfmt_misc"))
    {
        return Err(InitError::InsideProc {
            target: target.display().to_string(),
        });
    }
    let source = mount.source().clone();
    let link = match (options.source_link, &source) {
        (Link::Copy, Some(source)) => std::fs::read_link(source).ok(),
        _ => None,
    };
    Ok(Planned {
        kind: kind.to_owned(),
        target,
        source,
        mapping: Mapping::of(mount, &options)?,
        options,
        link,
        tree: None,
        stand_in: None,
    })
}

/// What makes no sense is refused; the kernel would not even look at it.
fn check_options(kind: &str, options: &Options, target: &Path) -> Result<(), InitError> {
    let wrong = |option: &str| {
        Err(InitError::MountOption {
            option: option.to_owned(),
            target: target.display().to_string(),
        })
    };
    if kind == "bind" {
        // A bind has no file system of its own to take them.
        if let Some((key, _)) = options.data.first() {
            return wrong(key);
        }
    } else {
        match options.source_link {
            Link::Follow => {}
            Link::Keep => return wrong("src-nofollow"),
            Link::Copy => return wrong("copy-symlink"),
        }
    }
    if options.copy_up && kind != "tmpfs" {
        return wrong("tmpcopyup");
    }
    if options.source_link == Link::Copy && options.target_link == Link::Keep {
        return wrong("dest-nofollow");
    }
    Ok(())
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

/// Clones the host's trees that are to be bound, and gives them their attributes. `userns` is the container's; `given` are those
/// the caller has made.
pub(crate) fn open_sources(
    plan: &mut [Planned],
    userns: Option<BorrowedFd<'_>>,
    given: &[(PathBuf, OwnedFd)],
) -> Result<(), InitError> {
    for mount in plan {
        if !mount.needs_tree() {
            continue;
        }
        let made = given.iter().find(|(place, _)| *place == mount.target);
        mount.tree = match (mount.kind.as_str(), mount.stand_in) {
            ("bind", _) if made.is_some() => made
                .map(|(_, tree)| rustix::io::fcntl_dupfd_cloexec(tree, 0))
                .transpose()
                .because(|cause| mount.failed(Vec::new(), cause))?,
            ("bind", _) => Some(open_source(mount, userns)?),
            (_, Some(path)) => Some(clone_stand_in(path, mount)?),
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

/// A host without it has nothing to show.
fn clone_stand_in(path: &str, mount: &Planned) -> Result<OwnedFd, InitError> {
    let options = [("mode", Some("755"))];
    sys::mount::clone_path(Path::new(path), Recursion::Subtree)
        .or_else(|_| sys::mount::new_filesystem("tmpfs", &options, mount.options.flags()))
        .because(|cause| mount.failed(Vec::new(), cause))
}

fn open_source(mount: &Planned, userns: Option<BorrowedFd<'_>>) -> Result<OwnedFd, InitError> {
    let source = mount.source.clone().unwrap_or_default();
    let recursion = if mount.options.bind == Some(Bind::Single) {
        Recursion::None
    } else {
        Recursion::Subtree
    };
    let clone = match mount.options.source_link {
        Link::Keep => sys::mount::clone_path_itself(&source, recursion),
        _ => sys::mount::clone_path(&source, recursion),
    };
    let tree = clone.map_err(|e| {
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

impl Planned {
    /// Whether the caller has to hand a tree over.
    pub(crate) fn needs_tree(&self) -> bool {
        let taken = self.options.action == Action::Mount && self.link.is_none();
        taken && (self.kind == "bind" || self.stand_in.is_some())
    }

    /// A whole procfs at its place that can be written.
    pub(super) fn is_proc(&self) -> bool {
        let options = &self.options;
        let plain = options.data.is_empty() && !options.is_read_only();
        plain && self.kind == "proc" && self.target == Path::new("/proc")
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

    pub(super) fn no_mount_point(&self, cause: crate::Errno) -> InitError {
        InitError::MountPoint {
            target: self.target.display().to_string(),
            cause,
        }
    }

    pub(super) fn failed(&self, messages: Vec<String>, cause: crate::Errno) -> InitError {
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
