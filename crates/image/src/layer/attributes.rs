//! Owner, mode, times and extended attributes of what was unpacked. Source: chown(2), xattr(7).

use crate::layer::root;
use crate::layer::unpack::{Error, failed};
use crate::tarball::{Entry, Kind};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

/// What a new directory hands on to all that is made in it.
pub(crate) const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
const SET_GID: u32 = 0o2000;

/// Where nothing is inherited, what is made has the owner root and just the mode that was asked for: two calls less for each file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground {
    /// Bits that are taken off every mode; `None` where attributes are always set.
    umask: Option<u32>,
}

impl Ground {
    /// A place that others may have prepared.
    pub(crate) const FOREIGN: Self = Self { umask: None };

    /// An empty directory of our own.
    pub(crate) fn of(fresh: BorrowedFd<'_>) -> Self {
        let inherits = || -> Result<bool, Errno> {
            let set_gid = rustix::fs::fstat(fresh)?.st_mode & SET_GID != 0;
            let acl = rustix::fs::fgetxattr(fresh, DEFAULT_ACL, &mut [0u8; 0][..]);
            Ok(set_gid || !matches!(acl, Err(Errno::NODATA | Errno::OPNOTSUPP)))
        };
        let root = rustix::process::geteuid().is_root() && rustix::process::getegid().is_root();
        match root && inherits() == Ok(false) {
            true => Self { umask: umask() },
            false => Self::FOREIGN,
        }
    }

    /// Whether what is made has its entry's owner.
    fn owned(self, entry: &Entry) -> bool {
        self.umask.is_some() && (entry.uid, entry.gid) == (0, 0)
    }

    /// Whether what is made with this mode has it.
    pub(crate) fn has_mode(self, mode: u32) -> bool {
        self.umask.is_some_and(|mask| mode & (mask | !0o777) == 0)
    }
}

/// umask(2) tells the mask only by changing it, for all threads. Source: proc_pid_status(5).
fn umask() -> Option<u32> {
    let status = sys::file::read_made_up_at("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

/// Owner, mode and attributes of an open file or directory, just made on `ground`. The owner first: chown(2) clears set-id
/// bits and `security.capability`. What a directory would hand on is left to [`Late`].
pub(crate) fn set_on_fd(
    fd: BorrowedFd<'_>,
    entry: &Entry,
    path: &[u8],
    ground: Ground,
) -> Result<(), Error> {
    if !ground.owned(entry) {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::fchown(fd, Some(uid), Some(gid))
            .map_err(|e| failed("set the owner of", path, e))?;
    }
    let directory = entry.kind == Kind::Directory;
    let mode = match directory {
        true => entry.mode & !SET_GID,
        false => entry.mode,
    };
    if !ground.has_mode(mode) {
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))
            .map_err(|e| failed("set the mode of", path, e))?;
    }
    for (name, value) in &entry.xattrs {
        if root::xattr_allowed(name) && !(directory && name == DEFAULT_ACL) {
            set_xattr(fd, name, value, path)?;
        }
    }
    Ok(())
}

fn set_xattr(fd: BorrowedFd<'_>, name: &[u8], value: &[u8], path: &[u8]) -> Result<(), Error> {
    match rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()), // as Docker: the filesystem cannot, the image still runs
        Err(e) => Err(failed("set an extended attribute of", path, e)),
    }
}

/// What of a directory's attributes waits until all is made in it: its times, which that changes, and what it hands on.
#[derive(Debug)]
pub(crate) struct Late {
    mtime: (i64, u32),
    mode: u32,
    acl: Option<Vec<u8>>,
}

impl Late {
    /// What an entry says; an attribute that it does not name stays as an earlier one had it.
    pub(crate) fn of(entry: &Entry, before: Option<Self>) -> Self {
        let acl = entry.xattrs.iter().find(|(name, _)| name == DEFAULT_ACL);
        let acl = acl.map(|(_, value)| value.clone());
        Self {
            mtime: entry.mtime,
            mode: entry.mode,
            acl: acl.or(before.and_then(|before| before.acl)),
        }
    }

    pub(crate) fn set(&self, fd: BorrowedFd<'_>, path: &[u8]) -> Result<(), Error> {
        if self.mode & SET_GID != 0 {
            rustix::fs::fchmod(fd, Mode::from_raw_mode(self.mode))
                .map_err(|e| failed("set the mode of", path, e))?;
        }
        if let Some(acl) = &self.acl {
            set_xattr(fd, DEFAULT_ACL, acl, path)?;
        }
        set_times(fd, self.mtime).map_err(|e| failed("set the times of", path, e))
    }
}

/// The same for what cannot be opened: links, devices, fifos.
pub(crate) fn set_at(
    dir: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    path: &[u8],
    ground: Ground,
) -> Result<(), Error> {
    if !ground.owned(entry) {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| failed("set the owner of", path, e))?;
    }
    if entry.kind != Kind::Symlink {
        // Nothing in this private tree can turn the node just made into a link.
        rustix::fs::chmodat(dir, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
            .map_err(|e| failed("set the mode of", path, e))?;
    }
    for (attribute, value) in entry.xattrs.iter().filter(|(n, _)| root::xattr_allowed(n)) {
        let at = root::proc_path(dir, name);
        match rustix::fs::lsetxattr(
            at.as_slice(),
            attribute.as_slice(),
            value,
            XattrFlags::empty(),
        ) {
            // EPERM: user.* is for files and directories only (xattr(7)).
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(e) => return Err(failed("set an extended attribute of", path, e)),
        }
    }
    let times = timestamps(entry.mtime);
    rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| failed("set the times of", path, e))
}

fn timestamps((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanos.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

pub(crate) fn set_times(fd: BorrowedFd<'_>, time: (i64, u32)) -> Result<(), Errno> {
    rustix::fs::futimens(fd, &timestamps(time))
}
