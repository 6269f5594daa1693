//! Mounts as descriptors: made detached, given attributes, attached where a directory handle says.
//!
//! Leaves to others: what to mount where. Source: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2),
//! mount_setattr(2), pivot_root(2), umount2(2).

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A filesystem being configured, before it exists.
#[derive(Debug)]
pub struct FsContext {
    fd: OwnedFd,
    /// Mounts that are attached nowhere and must not go before the filesystem is made.
    held: Vec<OwnedFd>,
}

impl FsContext {
    pub fn open(kind: &str) -> io::Result<Self> {
        let fd = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        Ok(Self {
            fd,
            held: Vec::new(),
        })
    }

    pub fn set(&self, key: &str, value: impl rustix::path::Arg) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_string(
            self.fd.as_fd(),
            key,
            value,
        )?)
    }

    /// A parameter that is a file: its place in any namespace, and on a mount with attributes of its own.
    pub fn set_fd(&self, key: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_fd(self.fd.as_fd(), key, fd)?)
    }

    /// The same with a descriptor that is given away.
    pub fn give_fd(&mut self, key: &str, fd: OwnedFd) -> io::Result<()> {
        self.set_fd(key, fd.as_fd())?;
        self.held.push(fd);
        Ok(())
    }

    pub fn set_flag(&self, key: &str) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_flag(self.fd.as_fd(), key)?)
    }

    /// Makes the filesystem and a mount of it that is attached nowhere yet.
    pub fn create(&self, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
        rustix::mount::fsconfig_create(self.fd.as_fd())?;
        Ok(rustix::mount::fsmount(
            self.fd.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            attributes,
        )?)
    }

    /// What the kernel has to say about a refusal: the lines it leaves on the context, without their level letter.
    pub fn messages(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = [0u8; 512];
        while let Ok(length) = rustix::io::read(&self.fd, &mut buffer) {
            let line = String::from_utf8_lossy(&buffer[..length]);
            let text = line.trim_end();
            lines.push(text.get(2..).unwrap_or(text).to_owned());
        }
        lines
    }
}

pub use rustix::mount::MountAttrFlags as Flags;

/// Makes a filesystem in one go: kind, options (`key=value`, or a bare flag), mount attributes.
pub fn new_filesystem(
    kind: &str,
    options: &[(&str, Option<&str>)],
    attributes: Flags,
) -> io::Result<OwnedFd> {
    let context = FsContext::open(kind)?;
    for (key, value) in options {
        match value {
            Some(value) => context.set(key, *value)?,
            None => context.set_flag(key)?,
        }
    }
    context.create(attributes)
}

/// Whether a clone takes the mounts below along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recursion {
    None,
    Subtree,
}

/// A detached bind mount of what `directory`/`path` names (`path` empty: the descriptor itself).
pub fn clone_tree(
    directory: BorrowedFd<'_>,
    path: &CStr,
    recursion: Recursion,
) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursion == Recursion::Subtree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(directory, path, flags)?)
}

/// A detached bind mount of a path of our own namespace.
pub fn clone_path(path: &Path, recursion: Recursion) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursion == Recursion::Subtree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(CWD, path, flags)?)
}

/// The same, of a link at the path's end itself.
pub fn clone_path_itself(path: &Path, recursion: Recursion) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    if recursion == Recursion::Subtree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(CWD, path, flags)?)
}

/// Gives parameters to the file system that is mounted at a handle.
pub fn reconfigure(mount: BorrowedFd<'_>, options: &[(&str, Option<&str>)]) -> io::Result<()> {
    use rustix::mount::FsPickFlags;
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = FsContext {
        fd: rustix::mount::fspick(mount, c"", flags)?,
        held: Vec::new(),
    };
    for (key, value) in options {
        match value {
            Some(value) => context.set(key, *value)?,
            None => context.set_flag(key)?,
        }
    }
    Ok(rustix::mount::fsconfig_reconfigure(context.fd.as_fd())?)
}

/// Attaches a detached mount exactly at the object that `target` refers to.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, c"", target, c"", flags)?)
}

/// Attaches a detached mount at a path beneath a directory.
pub fn attach_at(mount: BorrowedFd<'_>, directory: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    Ok(rustix::mount::move_mount(
        mount,
        c"",
        directory,
        path,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?)
}

/// How mount events travel between copies of a mount; see mount_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    Private,
    Slave,
    Shared,
    Unbindable,
}

impl Propagation {
    fn bits(self) -> u64 {
        match self {
            Self::Private => libc::MS_PRIVATE,
            Self::Slave => libc::MS_SLAVE,
            Self::Shared => libc::MS_SHARED,
            Self::Unbindable => libc::MS_UNBINDABLE,
        }
    }
}

/// A change for `mount_setattr`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
    pub propagation: Option<Propagation>,
    pub recursive: bool,
}

impl Attributes {
    pub fn read_only() -> Self {
        Self {
            set: Flags::MOUNT_ATTR_RDONLY.bits().into(),
            ..Self::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        self.set == 0 && self.clear == 0 && self.propagation.is_none()
    }
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// The bits of the access-time field: it is a number, not flags, and is cleared whole before it is set.
pub const ATIME_FIELD: u64 = 0x70;

/// Changes the attributes of a mount (and of those below, with `recursive`).
pub fn set_attributes(mount: BorrowedFd<'_>, change: Attributes) -> io::Result<()> {
    let mut attributes = MountAttr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation.map_or(0, Propagation::bits),
        userns_fd: 0,
    };
    if change.set & ATIME_FIELD != 0 {
        attributes.attr_clr |= ATIME_FIELD;
    }
    mount_setattr(mount, attributes, change.recursive)
}

/// Shows the ids of a detached mount as a user namespace maps them: on disk as inside, seen as outside (Linux 5.12).
///
/// Source: mount_setattr(2), "ID-mapped mounts".
pub fn set_idmap(mount: BorrowedFd<'_>, userns: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    let attributes = MountAttr {
        attr_set: Flags::MOUNT_ATTR_IDMAP.bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: userns.as_raw_fd() as u64,
    };
    mount_setattr(mount, attributes, recursive)
}

fn mount_setattr(
    mount: BorrowedFd<'_>,
    mut attributes: MountAttr,
    recursive: bool,
) -> io::Result<()> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is a literal, the structure lives through the call and has the size that is passed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw mut attributes,
            size_of::<MountAttr>(),
        )
    };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Changes how events travel for every mount of this namespace.
pub fn set_root_propagation(propagation: Propagation) -> io::Result<()> {
    let change = match propagation {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Shared => MountPropagationFlags::SHARED,
        Propagation::Unbindable => MountPropagationFlags::UNBINDABLE,
    };
    Ok(rustix::mount::mount_change(
        "/",
        change | MountPropagationFlags::REC,
    )?)
}

/// Makes `root` the root of this mount namespace and throws the old one away.
///
/// The old root is stacked on top of the new one (`pivot_root(".", ".")`) and detached: no directory for it is needed.
pub fn pivot_into(root: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => rustix::mount::unmount(".", UnmountFlags::DETACH)?,
        // On an initramfs the root cannot be taken away (EINVAL): it is covered instead, as switch_root(8) does.
        Err(rustix::io::Errno::INVAL) => return move_over_root(root),
        Err(e) => return Err(e.into()),
    }
    Ok(rustix::process::chdir("/")?)
}

/// Moves `root` over the root of this mount namespace. Every look-up of `/` and every `..` from within ends in it: what
/// lies below can be reached only by unmounting it.
pub fn move_over_root(root: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    rustix::mount::move_mount(
        root,
        "",
        rustix::fs::CWD,
        "/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    rustix::process::fchdir(root)?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// Mounts at a name in a directory by mount(2), whose one call does what takes fsopen(2) and its like seven. Where the kernel has
/// nothing to explain, and for a name that nobody else can change. The directory becomes the working directory.
pub fn mount_at(
    directory: BorrowedFd<'_>,
    name: &str,
    kind: &str,
    attributes: MountAttrFlags,
    data: &str,
) -> io::Result<()> {
    use rustix::mount::MountFlags;
    let mut flags = MountFlags::empty();
    for (attribute, flag) in [
        (MountAttrFlags::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (MountAttrFlags::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (MountAttrFlags::MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (MountAttrFlags::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
    ] {
        flags.set(flag, attributes.contains(attribute));
    }
    let data = std::ffi::CString::new(data)?;
    rustix::process::fchdir(directory)?;
    Ok(rustix::mount::mount(
        kind,
        name,
        kind,
        flags,
        data.as_c_str(),
    )?)
}

/// Mounts by mount(2), for kernels whose new calls lack something.
pub fn mount_legacy(source: &str, target: &Path, kind: &str, data: &CStr) -> io::Result<()> {
    Ok(rustix::mount::mount(
        source,
        target,
        kind,
        rustix::mount::MountFlags::empty(),
        data,
    )?)
}

/// Unmounts what is mounted at `path`; `ResourceBusy` while somebody uses it.
pub fn unmount(path: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(path, UnmountFlags::NOFOLLOW)?)
}

/// Unmounts lazily what is mounted at `path`.
pub fn detach(path: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(
        path,
        UnmountFlags::DETACH | UnmountFlags::NOFOLLOW,
    )?)
}

/// The mount on top at `path`, as a handle for `attach` targets and look-ups.
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}
