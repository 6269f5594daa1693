//! Descriptors that a role finds open when it starts.
//!
//! Source: fcntl(2).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Takes over an inherited descriptor, once. It gets close-on-exec, so that no container inherits it.
pub fn take(number: i32) -> io::Result<OwnedFd> {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let bit = u32::try_from(number)
        .ok()
        .filter(|n| (3..64).contains(n))
        .map(|n| 1u64 << n);
    let bit = bit.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
    if TAKEN.fetch_or(bit, Ordering::SeqCst) & bit != 0 {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("descriptor {number} was taken already"),
        ));
    }
    // SAFETY: fcntl on a number that is no open descriptor fails with EBADF and does nothing else.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (fcntl succeeded), came from the process that started this one, and nothing
    // here owns it: the standard library owns none above 2, and TAKEN hands each number out once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether this number is open and was not opened by this program, whose own descriptors all close on execve.
pub fn is_inherited(number: i32) -> bool {
    // SAFETY: F_GETFD reads a flag of a number, or answers EBADF; nothing is owned or changed.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}
