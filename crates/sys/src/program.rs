//! Becoming another program: what is inherited over `execve`, and the call itself.
//!
//! Source: execve(2), close_range(2), dup(2), keyctl(2), personality(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// Replaces the program of this process; returns only the error.
pub fn execve(
    program: &std::ffi::CStr,
    argv: &[std::ffi::CString],
    env: &[std::ffi::CString],
) -> io::Error {
    let argv = pointers(argv);
    let env = pointers(env);
    // SAFETY: both arrays end with a null pointer and point into strings borrowed for the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

pub(crate) fn pointers(strings: &[std::ffi::CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// Marks every descriptor from `first` on close-on-exec; `ENOSYS` before Linux 5.11 falls back to the list in /proc.
pub fn cloexec_from(first: i32) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: integers only; nothing is closed, so no descriptor owned elsewhere becomes invalid.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            libc::c_uint::MAX,
            CLOSE_RANGE_CLOEXEC,
        )
    };
    if done == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(fd) = name
            .to_str()
            .and_then(|n| n.parse::<i32>().ok())
            .filter(|fd| *fd >= first)
        else {
            continue;
        };
        // SAFETY: sets a flag on a descriptor number; one that was closed meanwhile answers EBADF.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Makes `fd` the descriptor number `target`, inherited over execve.
pub fn dup_onto(fd: BorrowedFd<'_>, target: i32) -> io::Result<()> {
    if fd.as_raw_fd() == target {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
        return Ok(());
    }
    // SAFETY: the number `target` is given up by the caller, who is about to execute another program.
    let done = unsafe { libc::dup2(fd.as_raw_fd(), target) };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A new anonymous session keyring, so that the keys of the host's session stay out of reach; see keyctl(2).
pub fn join_new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is passed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Sets the execution domain (`personality(2)`).
pub fn set_personality(persona: u64) -> io::Result<()> {
    // SAFETY: an integer in, an integer out.
    let done = unsafe { libc::personality(persona as _) };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Closes everything but the three standard streams and `keep`, then goes on in `then` for ever.
///
/// For a process that stays what it is, beside one that it does not trust: nothing it still held open may be reached through
/// `/proc/PID/fd`. It never returns, so that no owner of a closed number is left to use it.
pub fn keep_only(keep: OwnedFd, then: impl FnOnce(OwnedFd) -> std::convert::Infallible) -> ! {
    const FIRST: RawFd = 3;
    let number = keep.into_raw_fd();
    if number != FIRST {
        // SAFETY: whoever owns number 3 never runs again: this function does not return.
        unsafe { libc::dup3(number, FIRST, libc::O_CLOEXEC) };
    }
    // SAFETY: as above, for every other number.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST as libc::c_uint + 1,
            libc::c_uint::MAX,
            0,
        )
    };
    if done == -1 {
        // Before Linux 5.9: one by one, as many as may be open.
        for other in FIRST + 1..65_536 {
            // SAFETY: as above.
            unsafe { libc::close(other) };
        }
    }
    // SAFETY: number 3 is the descriptor that was kept, and nobody else's any more.
    let keep = unsafe { OwnedFd::from_raw_fd(FIRST) };
    match then(keep) {}
}
