//! /dev: the devices every container has, those of the spec, the links, and the terminal.
//!
//! Source: runtime-spec `config-linux.md` "Default Devices", devices.txt of the kernel.

use crate::error::{InitError, OrInit};
use crate::request::{Request, Stdio};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::mount::Recursion;
use sys::path::{Magic, Missing};
use sys::tty::Pty;
use sys::userns::IdMap;

const DEFAULT: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// A node to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    path: String,
    kind: FileType,
    number: u64,
    mode: u32,
    owner: (u32, u32),
}

/// Those every container has, unless the spec describes one of them itself, and those of the spec.
fn nodes(spec: &Spec) -> (Vec<Node>, Vec<Node>) {
    let devices = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.devices().as_deref())
        .unwrap_or_default();
    let wanted: Vec<Node> = devices.iter().map(node).collect();
    let default = DEFAULT
        .map(|(name, major, minor)| Node {
            path: format!("/dev/{name}"),
            kind: FileType::CharacterDevice,
            number: rustix::fs::makedev(major, minor),
            mode: 0o666,
            owner: (0, 0),
        })
        .into_iter()
        .filter(|node| wanted.iter().all(|other| other.path != node.path))
        .collect();
    (default, wanted)
}

fn node(device: &LinuxDevice) -> Node {
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        _ => FileType::CharacterDevice,
    };
    let number = match kind {
        FileType::Fifo => 0,
        _ => rustix::fs::makedev(device.major() as u32, device.minor() as u32),
    };
    Node {
        path: device.path().display().to_string(),
        kind,
        number,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
    }
}

/// The caller's part for a container in a user namespace, which may make no devices: they lie in a file system of the host's, to
/// be bound one by one. The name of each is its number in the list.
pub(crate) fn make_on_host(spec: &Spec, map: Option<&IdMap>) -> Result<OwnedFd, InitError> {
    let error = |cause| failed("of the container", cause);
    // Init, who is somebody else by then, has to find its way in.
    let options = [("mode", Some("711"))];
    // No program and no way up is among them; the clones have the same attributes.
    let flags = sys::mount::Flags::MOUNT_ATTR_NOSUID | sys::mount::Flags::MOUNT_ATTR_NOEXEC;
    let directory = sys::mount::new_filesystem("tmpfs", &options, flags).because(error)?;
    let (default, wanted) = nodes(spec);
    for (index, node) in default.iter().chain(&wanted).enumerate() {
        if node.kind == FileType::Fifo {
            continue;
        }
        let error = |cause| failed(&node.path, cause);
        let name = index.to_string();
        let mode = Mode::from_raw_mode(node.mode);
        match rustix::fs::mknodat(&directory, name.as_str(), node.kind, mode, node.number) {
            // The host's own node will do.
            Err(rustix::io::Errno::PERM) => continue,
            other => other.because(error)?,
        }
        let uid = map.map_or(Some(node.owner.0), |map| map.user_outside(node.owner.0));
        let gid = map.map_or(Some(node.owner.1), |map| map.group_outside(node.owner.1));
        let (uid, gid) = match (uid, gid) {
            (Some(uid), Some(gid)) => (uid, gid),
            // Root, where the container has none: the host's.
            _ if node.owner == (0, 0) => (0, 0),
            _ => return Err(failed(&node.path, crate::Errno(75))),
        };
        sys::path::set_owner_and_mode(directory.as_fd(), name.as_ref(), uid, gid, node.mode)
            .because(error)?;
    }
    Ok(directory)
}

/// Each node of the caller's directory as a mount of its own; `None` where the caller could not make it. Only from a mount of our
/// own namespace can parts be cloned, so the directory is attached for a moment, on top of everything.
pub(super) fn clone_made(spec: &Spec, made: BorrowedFd<'_>) -> Result<Nodes, InitError> {
    let error = |cause| failed("of the container", cause);
    let top = sys::mount::open_root(Path::new("/")).because(error)?;
    sys::mount::attach(made, top.as_fd()).because(error)?;
    let (default, wanted) = nodes(spec);
    let mut trees = Vec::new();
    for index in 0..default.len() + wanted.len() {
        let name = CString::new(index.to_string()).map_err(|_| InitError::ZeroByte {
            what: "a device".to_owned(),
        })?;
        trees.push(match sys::mount::clone_tree(made, &name, Recursion::None) {
            Err(e) if e.raw_os_error() == Some(2) => None,
            other => Some(other.because(error)?),
        });
    }
    // What stays on top of the root would be what a process finds that enters the container later.
    sys::mount::detach(Path::new("/")).because(error)?;
    Ok(trees)
}

/// In the order of [`nodes`].
pub(super) type Nodes = Vec<Option<OwnedFd>>;

/// Fills /dev unless it is the caller's own (a bind mount), and opens the terminal if one is asked for. `made`: the nodes that the
/// caller had to make.
pub(super) fn populate(
    root: BorrowedFd<'_>,
    request: &Request<'_>,
    made: Option<Nodes>,
) -> Result<Option<Pty>, InitError> {
    let dev = open_dev(root)?;
    let make = |node: &Node, index: usize| {
        let place = Place::of(root, dev.as_fd(), &node.path)?;
        match made.as_ref().filter(|_| node.kind != FileType::Fifo) {
            None => place.make(node),
            Some(made) => match made.get(index).and_then(Option::as_ref) {
                Some(tree) => place.bind(tree),
                None => place.bind_host_node(node),
            },
        }
    };
    let (default, wanted) = nodes(request.spec);
    if !is_bound(request) {
        for (index, node) in default.iter().enumerate() {
            make(node, index)?;
        }
        make_links(dev.as_fd())?;
    }
    for (index, node) in wanted.iter().enumerate() {
        make(node, default.len() + index)?;
    }
    match request.stdio {
        Stdio::Fds { .. } => Ok(None),
        Stdio::Terminal { rows, columns } => open_terminal(dev.as_fd(), rows, columns).map(Some),
    }
}

fn make_links(dev: BorrowedFd<'_>) -> Result<(), InitError> {
    for (name, target) in LINKS {
        sys::path::ensure_link(dev, name, target)
            .because(|cause| failed(&format!("/dev/{name}"), cause))?;
    }
    let access = rustix::fs::Access::EXISTS;
    if rustix::fs::accessat(dev, "../proc/kcore", access, AtFlags::empty()).is_ok() {
        sys::path::ensure_link(dev, "core", "/proc/kcore")
            .because(|cause| failed("/dev/core", cause))?;
    }
    Ok(())
}

/// The container's /dev. An image whose /dev is a link to a directory of its own would have its devices there, for everybody who
/// mounts the image; a link to where something is mounted leads to the container's own.
fn open_dev(root: BorrowedFd<'_>) -> Result<OwnedFd, InitError> {
    let error = |cause| failed("/dev", cause);
    let path = Path::new("/dev");
    match sys::path::open_without_links(root, path, OFlags::PATH | OFlags::DIRECTORY) {
        Ok(dev) => return Ok(dev),
        Err(e) if matches!(e.raw_os_error(), Some(2 | 40)) => {}
        Err(e) => return Err(error(e.into())),
    }
    let dev = sys::path::make_in_root(root, path, Missing::Directory, 0o755).because(error)?;
    let is_link = sys::path::open_without_links(root, path, OFlags::PATH).is_err();
    let device = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| stat.st_dev);
    if is_link && device(dev.as_fd()).because(error)? == device(root).because(error)? {
        return Err(InitError::LinkedDev);
    }
    Ok(dev)
}

fn failed(path: &str, cause: crate::Errno) -> InitError {
    InitError::Device {
        path: path.to_owned(),
        cause,
    }
}

fn is_bound(request: &Request<'_>) -> bool {
    let mounts = request.spec.mounts().as_deref().unwrap_or_default();
    mounts.iter().any(|mount| {
        let bind = mount
            .options()
            .as_ref()
            .is_some_and(|options| options.iter().any(|o| o == "bind" || o == "rbind"));
        mount.destination() == Path::new("/dev") && (bind || mount.typ().as_deref() == Some("bind"))
    })
}

/// Where a node goes: a directory beneath the root, and a name in it.
struct Place<'a> {
    parent: Parent<'a>,
    name: &'a OsStr,
    path: &'a str,
}

enum Parent<'a> {
    Dev(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Dev(dev) => dev.as_fd(),
            Self::Below(directory) => directory.as_fd(),
        }
    }
}

impl<'a> Place<'a> {
    fn of(root: BorrowedFd<'_>, dev: BorrowedFd<'a>, path: &'a str) -> Result<Self, InitError> {
        let error = |cause| failed(path, cause);
        let full = Path::new(path);
        let name = full.file_name().ok_or_else(|| error(crate::Errno(22)))?;
        let parent_path = full.parent().unwrap_or(Path::new("/"));
        let parent = if parent_path == Path::new("/dev") {
            Parent::Dev(dev)
        } else {
            let made = sys::path::make_in_root(root, parent_path, Missing::Directory, 0o755);
            Parent::Below(made.because(error)?)
        };
        Ok(Self { parent, name, path })
    }

    /// Makes the node; one that is there with the right numbers stays.
    fn make(&self, node: &Node) -> Result<(), InitError> {
        let error = |cause| failed(self.path, cause);
        let mode = Mode::from_raw_mode(node.mode);
        match rustix::fs::mknodat(&self.parent, self.name, node.kind, mode, node.number) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return self.require(node),
            // A host that forbids mknod to us (nested containers) may still have the node itself: bind it.
            Err(rustix::io::Errno::PERM) => return self.bind_host_node(node),
            Err(e) => return Err(error(e.into())),
        }
        if node.owner != (0, 0) {
            let (uid, gid) = node.owner;
            sys::path::set_owner_and_mode(self.parent.as_fd(), self.name, uid, gid, node.mode)
                .because(error)?;
        }
        Ok(())
    }

    /// What is there must be what was asked for: an image could have anything in its place.
    fn require(&self, node: &Node) -> Result<(), InitError> {
        let error = |cause| failed(self.path, cause);
        let found = rustix::fs::statat(&self.parent, self.name, AtFlags::SYMLINK_NOFOLLOW)
            .because(error)?;
        if FileType::from_raw_mode(found.st_mode) == node.kind && found.st_rdev == node.number {
            return Ok(());
        }
        Err(error(crate::Errno(17)))
    }

    fn bind_host_node(&self, node: &Node) -> Result<(), InitError> {
        let error = |cause| failed(self.path, cause);
        let tree = sys::mount::clone_path(Path::new(self.path), Recursion::None).because(error)?;
        let found = rustix::fs::fstat(&tree).because(error)?;
        // The host may have something else by that name, another device even.
        if FileType::from_raw_mode(found.st_mode) != node.kind || found.st_rdev != node.number {
            return Err(error(crate::Errno(1)));
        }
        self.bind(&tree)
    }

    fn bind(&self, tree: &OwnedFd) -> Result<(), InitError> {
        let error = |cause| failed(self.path, cause);
        let target = cover_file(self.parent.as_fd(), self.name, 0o600).because(error)?;
        sys::mount::attach(tree.as_fd(), target.as_fd()).because(error)
    }
}

/// A file to mount upon, made if it is not there. Never through a link, and what is there already is not opened but only
/// looked at: a pipe would wait, a device would do something (CVE-2025-52565).
fn cover_file(parent: BorrowedFd<'_>, name: &OsStr, mode: u32) -> std::io::Result<OwnedFd> {
    let make = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::openat(parent, name, make, Mode::from_raw_mode(mode)) {
        Ok(_) | Err(rustix::io::Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    let look = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let target = rustix::fs::openat(parent, name, look, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode) == FileType::Symlink {
        return Err(std::io::Error::from_raw_os_error(40));
    }
    Ok(target)
}

/// A terminal of the container's own devpts, shown at /dev/console as well.
fn open_terminal(dev: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<Pty, InitError> {
    let error = |cause| InitError::Terminal { cause };
    let pts =
        sys::path::open_without_links(dev, Path::new("pts"), OFlags::PATH | OFlags::DIRECTORY)
            .because(error)?;
    if !sys::path::is_on(&pts, Magic::Devpts).because(error)? {
        return Err(error(crate::Errno(19)));
    }
    let pty = sys::tty::open_in(pts.as_fd()).because(error)?;
    if rows != 0 || columns != 0 {
        sys::tty::set_size(&pty.master, rows, columns).because(error)?;
    }
    let console = cover_file(dev, "console".as_ref(), 0o600).because(error)?;
    // The very terminal we hold, not what has its name by now (CVE-2025-52565).
    let tree = sys::mount::clone_tree(pty.slave.as_fd(), c"", Recursion::None).because(error)?;
    sys::mount::attach(tree.as_fd(), console.as_fd()).because(error)?;
    Ok(pty)
}

/// The terminal of a further process, in a devpts that is there already.
pub(crate) fn open_terminal_in_running(
    root: BorrowedFd<'_>,
    rows: u16,
    columns: u16,
) -> Result<Pty, InitError> {
    let error = |cause| InitError::Terminal { cause };
    let pts = sys::path::open_in_root(
        root,
        Path::new("/dev/pts"),
        OFlags::PATH | OFlags::DIRECTORY,
    )
    .because(error)?;
    if !sys::path::is_on(&pts, Magic::Devpts).because(error)? {
        return Err(InitError::Terminal {
            cause: crate::Errno(19),
        });
    }
    let pty = sys::tty::open_in(pts.as_fd()).because(error)?;
    if rows != 0 || columns != 0 {
        sys::tty::set_size(&pty.master, rows, columns).because(error)?;
    }
    Ok(pty)
}
