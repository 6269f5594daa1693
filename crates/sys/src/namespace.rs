//! Entering and leaving namespaces: `setns`, `unshare`, the links under /proc.
//!
//! Source: namespaces(7), setns(2), unshare(2), ioctl_ns(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

pub use crate::process::flags;
use rustix::fs::{Mode, OFlags};

/// Enters one namespace by its descriptor, or several at once by a pidfd (Linux 5.8).
///
/// `NEWPID` concerns only children born later. Mount and user namespaces need a single-threaded caller; the kernel refuses others.
pub fn enter(fd: impl AsFd, which: u64) -> io::Result<()> {
    // SAFETY: a borrowed descriptor and an integer. What changes is what later path look-ups and ids mean, not memory.
    if unsafe { libc::setns(fd.as_fd().as_raw_fd(), which as libc::c_int) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// New namespaces for the calling thread.
pub fn unshare(which: u64) -> io::Result<()> {
    // SAFETY: only CLONE_NEW* flags and CLONE_FS are offered by `flags`; no memory or descriptor table becomes unshared.
    if unsafe { libc::unshare(which as libc::c_int) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A new network namespace; the calling thread is back where it was when this returns.
pub fn new_network() -> io::Result<OwnedFd> {
    let home = open_own("net")?;
    unshare(flags::NEWNET)?;
    let made = open_own("net");
    if enter(&home, flags::NEWNET).is_err() {
        // Everything after would act on the wrong host.
        std::process::abort();
    }
    made
}

/// A namespace of a process by its name under `/proc/PID/ns`.
pub fn open(pid: i32, name: &str) -> io::Result<OwnedFd> {
    open_path(&format!("/proc/{pid}/ns/{name}"))
}

/// A namespace of the calling thread.
pub fn open_own(name: &str) -> io::Result<OwnedFd> {
    open_path(&format!("/proc/thread-self/ns/{name}"))
}

fn open_path(path: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// What kind of namespace a descriptor is: one of [`flags`]. Anything that is no namespace says `ENOTTY`.
pub fn kind(fd: impl AsFd) -> io::Result<u64> {
    const NS_GET_NSTYPE: u64 = 0xb703;
    // SAFETY: the ioctl takes no argument and returns an integer.
    let kind = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_NSTYPE as _) };
    if kind < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(kind as u64)
}

/// The number that names a namespace: two handles with the same number are the same namespace.
pub fn inode(fd: impl AsFd) -> io::Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_ino)
}
