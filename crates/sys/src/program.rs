//! Becoming another program: what is inherited over `execve`, and the call itself.
//!
//! Source: execve(2), close_range(2), dup(2), keyctl(2), personality(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

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

/// Replaces the program of this process by the file that is open; returns only the error.
pub fn execveat(
    file: BorrowedFd<'_>,
    argv: &[std::ffi::CString],
    env: &[std::ffi::CString],
) -> io::Error {
    let argv = pointers(argv);
    let env = pointers(env);
    // SAFETY: both arrays end with a null pointer and point into strings borrowed for the call; the path is a literal.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
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

/// The number of this process's session keyring, by which two processes can tell whether they share it; see keyctl(2).
pub fn session_keyring() -> io::Result<i32> {
    const KEYCTL_GET_KEYRING_ID: libc::c_int = 0;
    const KEY_SPEC_SESSION_KEYRING: libc::c_int = -3;
    // SAFETY: integers only; nothing is created.
    let number = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_GET_KEYRING_ID,
            KEY_SPEC_SESSION_KEYRING,
            0,
        )
    };
    match number {
        -1 => Err(io::Error::last_os_error()),
        number => Ok(number as i32),
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

/// Leaves a descriptor to [`close_all_but`], which closes all at once: for a process that is about to come there, and would else
/// spend a system call on each. Only so many: they count against the limit of open files.
pub fn leave_open(fd: OwnedFd) {
    if fd.as_raw_fd() < FEW {
        let _ = fd.into_raw_fd();
    }
}

const FEW: RawFd = 96;

/// Closes every descriptor from `first` on but those in `keep`, then goes on in `then` for ever.
///
/// For what a hostile container may reach through `/proc/PID/fd`: a process that stays beside it, and one that is about to
/// execute a path of its choice, which the kernel resolves before it closes what is close-on-exec (CVE-2024-21626).
/// It never returns, so that no owner of a closed number is left to use it.
pub fn close_all_but(
    first: RawFd,
    keep: &[BorrowedFd<'_>],
    then: impl FnOnce() -> std::convert::Infallible,
) -> ! {
    let mut keep: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    keep.sort_unstable();
    let mut from = first;
    for number in keep {
        close_between(from, number - 1);
        from = from.max(number + 1);
    }
    close_between(from, RawFd::MAX);
    match then() {}
}

/// Both ends included.
fn close_between(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: whoever owns these numbers never runs again: the only caller does not return to them.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            last as libc::c_uint,
            0,
        )
    };
    if done == 0 {
        return;
    }
    // Before Linux 5.9, or under a filter that does not know the call: one by one, as many as may be open.
    for number in first..=last.min(65_535) {
        // SAFETY: as above.
        unsafe { libc::close(number) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_everything_is_left_open() {
        let null = || {
            rustix::fs::open(
                "/dev/null",
                rustix::fs::OFlags::PATH,
                rustix::fs::Mode::empty(),
            )
            .unwrap()
        };
        let is_open =
            |number: RawFd| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
        let low = rustix::io::fcntl_dupfd_cloexec(null(), FEW - 20).unwrap();
        let high = rustix::io::fcntl_dupfd_cloexec(null(), FEW + 100).unwrap();
        let numbers = [low.as_raw_fd(), high.as_raw_fd()];
        leave_open(low);
        leave_open(high);
        assert_eq!(numbers.map(is_open), [true, false]);
    }
}
