//! User namespaces: ids inside and outside, writing the maps, a namespace without a process.
//!
//! Leaves to others: which ranges are used. Source: user_namespaces(7), "Defining user and group ID mappings".

use crate::namespace::{self, flags};
use crate::process::{Child, PidfdNamespace};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A run of ids: `inside`.. of the namespace are `outside`.. of its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// What the ids of a namespace are outside of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMap {
    pub uids: Vec<IdRange>,
    pub gids: Vec<IdRange>,
}

/// The kernel's limit on lines of a map.
const MAX_RANGES: usize = 340;

impl IdMap {
    /// `count` ids from 0 inside, from `outside` outside, users and groups alike.
    pub fn range(outside: u32, count: u32) -> Self {
        let range = IdRange {
            inside: 0,
            outside,
            count,
        };
        Self {
            uids: vec![range],
            gids: vec![range],
        }
    }

    /// What is wrong with it, in words; the kernel would only say EINVAL.
    pub fn check(&self) -> Result<(), &'static str> {
        check(&self.uids)?;
        check(&self.gids)
    }

    /// The user outside that is `id` inside.
    pub fn user_outside(&self, id: u32) -> Option<u32> {
        outside(&self.uids, id)
    }

    /// Root outside, or else the first user that is mapped.
    pub fn first_user(&self) -> Option<u32> {
        let first = self.uids.first().map(|range| range.outside);
        self.user_outside(0).or(first)
    }

    /// The same for groups.
    pub fn first_group(&self) -> Option<u32> {
        let first = self.gids.first().map(|range| range.outside);
        self.group_outside(0).or(first)
    }

    /// The group outside that is `id` inside.
    pub fn group_outside(&self, id: u32) -> Option<u32> {
        outside(&self.gids, id)
    }
}

fn outside(ranges: &[IdRange], id: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.inside)?;
        (offset < range.count).then(|| range.outside.checked_add(offset))?
    })
}

fn check(ranges: &[IdRange]) -> Result<(), &'static str> {
    if ranges.is_empty() {
        return Err("it maps no ids");
    }
    if ranges.len() > MAX_RANGES {
        return Err("it has more than 340 ranges");
    }
    for (index, range) in ranges.iter().enumerate() {
        if range.count == 0 {
            return Err("a range is empty");
        }
        // The last id, 2^32-1, stands for "none" and cannot be mapped.
        if range.inside.checked_add(range.count).is_none()
            || range.outside.checked_add(range.count).is_none()
        {
            return Err("a range goes beyond the last id");
        }
        let overlap = |a: u32, b: u32, count: u32| a < b + count && b < a + range.count;
        if ranges[..index].iter().any(|other| {
            overlap(range.inside, other.inside, other.count)
                || overlap(range.outside, other.outside, other.count)
        }) {
            return Err("its ranges overlap");
        }
    }
    Ok(())
}

/// Gives a process that was born into a new user namespace its ids. `proc` is a verified procfs root.
///
/// Each file takes one write, once.
pub fn write_maps(proc: BorrowedFd<'_>, pid: i32, map: &IdMap) -> io::Result<()> {
    for (file, ranges) in [("gid_map", &map.gids), ("uid_map", &map.uids)] {
        let text: String = ranges
            .iter()
            .map(|range| format!("{} {} {}\n", range.inside, range.outside, range.count))
            .collect();
        let path = format!("{pid}/{file}");
        crate::path::write_proc(proc, Path::new(&path), text.as_bytes())?;
    }
    Ok(())
}

/// The user namespace of a process.
pub fn of(child: &Child) -> io::Result<OwnedFd> {
    match crate::process::pidfd_namespace(&child.pidfd, PidfdNamespace::User) {
        Ok(fd) => Ok(fd),
        // Before Linux 6.11. The pid is not another's: nobody has reaped our child.
        Err(_) => namespace::open(child.pid, "user"),
    }
}

/// A namespace with these ids and no process in it, to show a mount's ids by.
pub fn new(map: &IdMap) -> io::Result<OwnedFd> {
    let proc = crate::path::open_proc()?;
    let (hold, release) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the child makes nothing but the three plain system calls of `wait_for_end`.
    let cloned = unsafe { crate::process::clone3(flags::NEWUSER, libc::SIGCHLD, None) }?;
    let Some(child) = cloned else {
        wait_for_end(&hold, &release)
    };
    let namespace = write_maps(proc.as_fd(), child.pid, map).and_then(|()| of(&child));
    drop(release);
    crate::process::wait(&child.pidfd)?;
    namespace
}

/// In the child: stays until the parent has closed its end of the pipe, or died.
fn wait_for_end(hold: &OwnedFd, release: &OwnedFd) -> ! {
    let mut byte = 0u8;
    // SAFETY: plain system calls on descriptors of this process alone and on a byte of our stack. Our copy of the writing end
    // is closed by number, and its owner is never dropped here: `exit_now` runs no destructor.
    unsafe {
        libc::close(release.as_raw_fd());
        libc::read(hold.as_raw_fd(), (&raw mut byte).cast(), 1);
    }
    crate::process::exit_now(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ranges: &[(u32, u32, u32)]) -> IdMap {
        let ranges: Vec<IdRange> = ranges
            .iter()
            .map(|&(inside, outside, count)| IdRange {
                inside,
                outside,
                count,
            })
            .collect();
        IdMap {
            uids: ranges.clone(),
            gids: ranges,
        }
    }

    #[test]
    fn ids_outside() {
        let map = map(&[(0, 100_000, 1000), (5000, 7, 2)]);
        assert_eq!(map.user_outside(0), Some(100_000));
        assert_eq!(map.user_outside(999), Some(100_999));
        assert_eq!(map.group_outside(1000), None);
        assert_eq!(map.group_outside(5001), Some(8));
    }

    #[test]
    fn wrong_maps_have_a_name() {
        assert!(map(&[(0, 1, 10), (10, 11, 1)]).check().is_ok());
        for (ranges, expected) in [
            (&[][..], "it maps no ids"),
            (&[(0, 1, 0)], "a range is empty"),
            (&[(u32::MAX, 0, 1)], "a range goes beyond the last id"),
            (&[(0, 100, 10), (5, 200, 1)], "its ranges overlap"),
            (&[(0, 100, 10), (50, 109, 1)], "its ranges overlap"),
        ] {
            assert_eq!(map(ranges).check(), Err(expected), "{ranges:?}");
        }
    }
}
