//! Resource limits by name and by 64-bit value.
//!
//! Source: getrlimit(2), prlimit(2).

use std::io;

const NAMES: [(&str, u32); 16] = [
    ("CPU", 0),
    ("FSIZE", 1),
    ("DATA", 2),
    ("STACK", 3),
    ("CORE", 4),
    ("RSS", 5),
    ("NPROC", 6),
    ("NOFILE", 7),
    ("MEMLOCK", 8),
    ("AS", 9),
    ("LOCKS", 10),
    ("SIGPENDING", 11),
    ("MSGQUEUE", 12),
    ("NICE", 13),
    ("RTPRIO", 14),
    ("RTTIME", 15),
];

/// The number of `RLIMIT_NOFILE`, `nofile`, ...
pub fn number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
    NAMES
        .iter()
        .find(|(known, _)| *known == short)
        .map(|(_, number)| *number)
}

/// Soft and hard limit; `u64::MAX` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

/// Sets a limit of this process.
pub fn set(resource: u32, limit: Limit) -> io::Result<()> {
    set_of(0, resource, limit)
}

/// Sets a limit of another process; 0 is this one.
pub fn set_of(pid: i32, resource: u32, limit: Limit) -> io::Result<()> {
    let new = libc::rlimit64 {
        rlim_cur: limit.soft,
        rlim_max: limit.hard,
    };
    // SAFETY: reads one structure that lives through the call; the old limit is not asked for.
    let done = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid,
            resource,
            &raw const new,
            std::ptr::null::<libc::rlimit64>(),
        )
    };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A limit of this process.
pub fn get(resource: u32) -> io::Result<Limit> {
    let mut old = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes one structure that lives through the call; a null new limit changes nothing.
    let done = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            resource,
            std::ptr::null::<libc::rlimit64>(),
            &raw mut old,
        )
    };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(Limit {
            soft: old.rlim_cur,
            hard: old.rlim_max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_a_round_trip() {
        assert_eq!(number("RLIMIT_NOFILE"), Some(7));
        assert_eq!(number("core"), Some(4));
        assert_eq!(number("nope"), None);
        let now = get(4).unwrap();
        set(4, now).unwrap();
        assert_eq!(get(4).unwrap(), now);
    }
}
