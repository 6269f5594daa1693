//! Owner, mode, times and extended attributes of what was unpacked. Source: chown(2), xattr(7).

use crate::layer::root;
use crate::layer::unpack::{Error, failed};
use crate::tarball::{Entry, Kind};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

/// Owner, mode and attributes of an open file or directory. The owner first: chown(2) clears set-id
/// bits and `security.capability`.
pub(crate) fn set_on_fd(fd: BorrowedFd<'_>, entry: &Entry, path: &[u8]) -> Result<(), Error> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::fchown(fd, Some(uid), Some(gid))
        .map_err(|e| failed("set the owner of", path, e))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode))
        .map_err(|e| failed("set the mode of", path, e))?;
    for (name, value) in entry.xattrs.iter().filter(|(n, _)| root::xattr_allowed(n)) {
        match rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {} // as Docker: the filesystem cannot, the image still runs
            Err(e) => return Err(failed("set an extended attribute of", path, e)),
        }
    }
    Ok(())
}

/// The same for what cannot be opened: links, devices, fifos.
pub(crate) fn set_at(
    dir: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    path: &[u8],
) -> Result<(), Error> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| failed("set the owner of", path, e))?;
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
