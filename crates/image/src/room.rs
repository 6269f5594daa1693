//! How much room is left on the data root's file system. A full disk harms everybody on the host, so bringing something in ends
//! while there is some left, with a message that says so; what did come in is taken away again. Source: statvfs(3).

use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// So much is kept free where nothing else is said.
const KEPT_FREE: u64 = 256 << 20;
/// Of a small file system one part in so many.
const PART: u64 = 20;
/// A disk with less is full.
const LEAST: u64 = 1 << 20;
/// It is looked again each time so many bytes were written.
pub(crate) const STRIDE: u64 = 16 << 20;

/// Why something is not brought in.
#[derive(Debug, thiserror::Error)]
#[error("not enough room on the file system of {}: {}", path.display(), figures(*free, *needed, *kept))]
pub struct LowDisk {
    pub path: PathBuf,
    pub free: u64,
    /// 0: whatever more.
    pub needed: u64,
    pub kept: u64,
    source: Full,
}

fn figures(free: u64, needed: u64, kept: u64) -> String {
    let needed = match needed.div_ceil(1 << 20) {
        0 => String::new(),
        megabytes => format!(" {megabytes} MB are needed,"),
    };
    let (free, kept) = (free >> 20, kept >> 20);
    format!("{free} MB are free,{needed} and {kept} MB stay free (min-free-space)")
}

/// It is in the chain of every error that comes of [`LowDisk`], to be known by. What it says has been said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("(min-free-space)")]
struct Full;

/// What is kept free on one file system.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    path: PathBuf,
    /// As configured.
    kept: Option<u64>,
}

impl Room {
    pub(crate) fn new(path: &Path, kept: Option<u64>) -> Self {
        Self {
            path: path.to_owned(),
            kept,
        }
    }

    /// Whether `needed` bytes may come in. A file system that does not say is taken to have room.
    pub(crate) fn check(&self, needed: u64) -> Result<(), LowDisk> {
        let Ok(stat) = rustix::fs::statvfs(&self.path) else {
            return Ok(());
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let size = stat.f_blocks.saturating_mul(stat.f_frsize);
        let kept = self.kept.unwrap_or(KEPT_FREE.min(size / PART));
        if size == 0 || free >= needed.saturating_add(kept) {
            return Ok(());
        }
        Err(LowDisk {
            path: self.path.clone(),
            free,
            needed,
            kept,
            source: Full,
        })
    }

    /// Whether there is none left for a program that knows nothing of what stays free.
    pub(crate) fn exhausted(&self) -> Option<LowDisk> {
        self.check(LEAST)
            .err()
            .map(|low| LowDisk { needed: 0, ..low })
    }

    /// The same where only an I/O error can be passed on.
    pub(crate) fn check_io(&self) -> io::Result<()> {
        self.check(0)
            .map_err(|low| io::Error::new(io::ErrorKind::StorageFull, low))
    }
}

/// Looks at every [`STRIDE`] of what is written.
#[derive(Debug)]
pub(crate) struct Watched {
    room: Room,
    since: u64,
}

impl Watched {
    pub(crate) fn new(room: Room) -> Self {
        Self { room, since: 0 }
    }

    pub(crate) fn wrote(&mut self, bytes: usize) -> io::Result<()> {
        self.since += bytes as u64;
        if self.since < STRIDE {
            return Ok(());
        }
        self.since = 0;
        self.room.check_io()
    }
}

/// Whether an error, or what caused it, is a disk without room.
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        let full = |e: &io::Error| {
            matches!(
                e.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        let errno = error.downcast_ref::<Errno>();
        let none = |e: &Errno| matches!(*e, Errno::NOSPC | Errno::DQUOT);
        if error.is::<Full>() || io.is_some_and(full) || errno.is_some_and(none) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_leave_too_little_is_refused_with_the_figures() {
        let dir = tempfile::tempdir().unwrap();
        Room::new(dir.path(), Some(0)).check(1).unwrap();
        let low = Room::new(dir.path(), Some(0)).check(u64::MAX).unwrap_err();
        assert!(low.to_string().contains("min-free-space"), "{low}");
        let kept = Room::new(dir.path(), Some(u64::MAX / 2)).check(0);
        assert!(is_full(&kept.unwrap_err()));
        Room::new(Path::new("/nowhere"), None).check(1).unwrap();
    }

    #[test]
    fn a_full_disk_is_known_below_other_errors() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = crate::Error::Content(crate::content::Error::Io {
            step: "write",
            path: "/x".into(),
            source: full,
        });
        assert!(is_full(&error));
        assert!(!is_full(&crate::Error::NoSuchImage("x".into())));
    }
}
