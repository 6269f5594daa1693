//! /dev: the devices every container has, those of the spec, the links, and the terminal.
//!
//! Source: runtime-spec `config-linux.md` "Default Devices", devices.txt of the kernel.

use crate::error::{InitError, OrInit};
use crate::request::{Request, Stdio};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{FileType, Mode, OFlags};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::mount::Recursion;
use sys::path::{Magic, Missing};
use sys::tty::Pty;

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

/// Fills /dev unless it is the caller's own (a bind mount), and opens the terminal if one is asked for.
pub(super) fn populate(
    root: BorrowedFd<'_>,
    request: &Request<'_>,
) -> Result<Option<Pty>, InitError> {
    let dev = open_dev(root)?;
    if !is_bound(request) {
        for (name, major, minor) in DEFAULT {
            make(
                root,
                dev.as_fd(),
                &format!("/dev/{name}"),
                FileType::CharacterDevice,
                (major, minor),
                0o666,
                (0, 0),
            )?;
        }
        for (name, target) in LINKS {
            sys::path::ensure_link(dev.as_fd(), name, target)
                .because(|cause| failed(&format!("/dev/{name}"), cause))?;
        }
        if rustix::fs::accessat(
            &dev,
            "../proc/kcore",
            rustix::fs::Access::EXISTS,
            rustix::fs::AtFlags::empty(),
        )
        .is_ok()
        {
            sys::path::ensure_link(dev.as_fd(), "core", "/proc/kcore")
                .because(|cause| failed("/dev/core", cause))?;
        }
    }
    let devices = request
        .spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.devices().as_deref())
        .unwrap_or_default();
    for device in devices {
        make_from_spec(root, dev.as_fd(), device)?;
    }
    match request.stdio {
        Stdio::Fds { .. } => Ok(None),
        Stdio::Terminal { rows, columns } => open_terminal(dev.as_fd(), rows, columns).map(Some),
    }
}

fn open_dev(root: BorrowedFd<'_>) -> Result<OwnedFd, InitError> {
    let error = |cause| failed("/dev", cause);
    let dev = sys::path::make_in_root(root, Path::new("/dev"), Missing::Directory, 0o755)
        .because(error)?;
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

fn make_from_spec(
    root: BorrowedFd<'_>,
    dev: BorrowedFd<'_>,
    device: &LinuxDevice,
) -> Result<(), InitError> {
    let path = device.path().display().to_string();
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        _ => FileType::CharacterDevice,
    };
    let numbers = (device.major() as u32, device.minor() as u32);
    let owner = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    make(
        root,
        dev,
        &path,
        kind,
        numbers,
        device.file_mode().unwrap_or(0o666),
        owner,
    )
}

/// Makes one node beneath the root; one that is there with the right numbers stays.
fn make(
    root: BorrowedFd<'_>,
    dev: BorrowedFd<'_>,
    path: &str,
    kind: FileType,
    (major, minor): (u32, u32),
    mode: u32,
    (uid, gid): (u32, u32),
) -> Result<(), InitError> {
    let error = |cause| failed(path, cause);
    let full = Path::new(path);
    let name = full
        .file_name()
        .ok_or_else(|| failed(path, crate::Errno(22)))?;
    let parent_path = full.parent().unwrap_or(Path::new("/"));
    let parent = if parent_path == Path::new("/dev") {
        rustix::io::fcntl_dupfd_cloexec(dev, 0).because(error)?
    } else {
        sys::path::make_in_root(root, parent_path, Missing::Directory, 0o755).because(error)?
    };
    let number = rustix::fs::makedev(major, minor);
    match rustix::fs::mknodat(
        &parent,
        name,
        kind,
        Mode::from_raw_mode(mode & 0o7777),
        number,
    ) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => {
            let found = rustix::fs::statat(&parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                .because(error)?;
            if FileType::from_raw_mode(found.st_mode) != kind || found.st_rdev != number {
                return Err(failed(path, crate::Errno(17)));
            }
        }
        // A host that forbids mknod to us (nested containers) may still have the node itself: bind it.
        Err(rustix::io::Errno::PERM) => return bind_host_node(&parent, name, full),
        Err(e) => return Err(error(e.into())),
    }
    if (uid, gid) != (0, 0) {
        sys::path::set_owner_and_mode(parent.as_fd(), name, uid, gid, mode & 0o7777)
            .because(error)?;
    }
    Ok(())
}

fn bind_host_node(parent: &OwnedFd, name: &std::ffi::OsStr, host: &Path) -> Result<(), InitError> {
    let error = |cause| failed(&host.display().to_string(), cause);
    let tree = sys::mount::clone_path(host, Recursion::None).because(error)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600)).because(error)?;
    let target = rustix::fs::openat(
        parent,
        name,
        OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )
    .because(error)?;
    sys::mount::attach(tree.as_fd(), target.as_fd()).because(error)
}

/// A terminal of the container's own devpts, shown at /dev/console as well.
fn open_terminal(dev: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<Pty, InitError> {
    let error = |cause| InitError::Terminal { cause };
    let pts =
        sys::path::open_without_links(dev, Path::new("pts"), OFlags::PATH | OFlags::DIRECTORY)
            .because(error)?;
    let pty = sys::tty::open_in(pts.as_fd()).because(error)?;
    if rows != 0 || columns != 0 {
        sys::tty::set_size(&pty.master, rows, columns).because(error)?;
    }
    let flags = OFlags::CREATE
        | OFlags::RDWR
        | OFlags::CLOEXEC
        | OFlags::NOFOLLOW
        | OFlags::NOCTTY
        | OFlags::NONBLOCK;
    drop(rustix::fs::openat(dev, "console", flags, Mode::from_raw_mode(0o600)).because(error)?);
    let console = rustix::fs::openat(
        dev,
        "console",
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .because(error)?;
    let name = CString::new(pty.number.to_string()).map_err(|_| InitError::ZeroByte {
        what: "a terminal".to_owned(),
    })?;
    let tree = sys::mount::clone_tree(pts.as_fd(), &name, Recursion::None).because(error)?;
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
