//! The two ends of a filter, for those who test one: any call made by its number, and the agent who answers those that wait.
//!
//! Source: syscall(2), seccomp_unotify(2), linux/seccomp.h.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes a call that takes no pointers, as getppid(2) or getpriority(2).
pub fn try_call(number: u64, arguments: &[u64; 6]) -> io::Result<i64> {
    let harmless = [
        libc::SYS_getppid,
        libc::SYS_getpriority,
        libc::SYS_getpid,
        libc::SYS_gettid,
    ];
    let unknown = number >= 1000;
    if !unknown
        && !harmless
            .iter()
            .any(|known| u64::try_from(*known) == Ok(number))
    {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let [a, b, c, d, e, f] = *arguments;
    // SAFETY: these calls read and write no memory of ours; of the numbers from 1000 on the kernel has none.
    let done = unsafe { libc::syscall(number as libc::c_long, a, b, c, d, e, f) };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(done)
    }
}

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    instruction_pointer: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

const CONTINUE: u32 = 1;

/// Answers one call that waits: by a value, or (`None`) by letting the kernel carry it out. Fails when nobody is left to ask.
pub fn answer(listener: BorrowedFd<'_>, decide: impl FnOnce(u64) -> Option<i64>) -> io::Result<()> {
    use crate::poll::{PollFd, PollFlags};
    let mut fds = [PollFd::from_borrowed_fd(listener, PollFlags::IN)];
    crate::poll::wait(&mut fds, None)?;
    if !fds[0].revents().contains(PollFlags::IN) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // _IOWR('!', 0, struct seccomp_notif) and _IOWR('!', 1, struct seccomp_notif_resp)
    let request =
        |number: u64, size: usize| (3 << 30) | ((size as u64) << 16) | (0x21 << 8) | number;
    let mut asked = Notification::default();
    // SAFETY: the structure is as large as the request says and zeroed, as the kernel wants it; it lives through the call.
    let done = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            request(0, size_of::<Notification>()) as _,
            &raw mut asked,
        )
    };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    let value = decide(u64::try_from(asked.number).unwrap_or(0));
    let mut response = Response {
        id: asked.id,
        value: value.unwrap_or(0),
        error: 0,
        flags: if value.is_some() { 0 } else { CONTINUE },
    };
    // SAFETY: as above; the kernel reads the response.
    let done = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            request(1, size_of::<Response>()) as _,
            &raw mut response,
        )
    };
    // ENOENT: it was killed while it waited.
    if done == -1 && io::Error::last_os_error().raw_os_error() != Some(libc::ENOENT) {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
