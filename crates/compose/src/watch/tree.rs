//! What changes below directories of the host: `inotify(7)`, one watch for each directory.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long nothing may happen before what happened is one change: an editor writes a file in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// Whoever never stops writing is not waited for longer.
const AT_MOST: Duration = Duration::from_secs(2);
/// How often it is looked whether all is over.
const TURN: Duration = Duration::from_millis(200);

/// Watches trees; what `skip` says true to is not walked into.
pub(super) struct Tree<'a> {
    fd: OwnedFd,
    /// By the number the kernel gave.
    directories: BTreeMap<i32, PathBuf>,
    roots: Vec<PathBuf>,
    skip: &'a dyn Fn(&Path) -> bool,
}

impl std::fmt::Debug for Tree<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree")
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

impl<'a> Tree<'a> {
    /// Begins to watch. A root that is a file is watched by the directory it lies in: editors replace files.
    pub(super) fn new(roots: Vec<PathBuf>, skip: &'a dyn Fn(&Path) -> bool) -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let mut tree = Self {
            fd: inotify::init(flags)?,
            directories: BTreeMap::new(),
            roots: roots.clone(),
            skip,
        };
        for root in roots {
            match root.is_dir() {
                true => tree.add(&root, &mut BTreeSet::new())?,
                false => tree.add_one(root.parent().unwrap_or(Path::new("/")))?,
            }
        }
        Ok(tree)
    }

    fn add_one(&mut self, directory: &Path) -> io::Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK;
        match inotify::add_watch(&self.fd, directory, flags) {
            Ok(number) => drop(self.directories.insert(number, directory.to_owned())),
            // It went while we came.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
            Err(rustix::io::Errno::NOSPC) => {
                return Err(io::Error::other(
                    "too many directories: raise fs.inotify.max_user_watches, or ignore some of them",
                ));
            }
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    /// Watches a directory and those in it; what is there already is `found`. The watch comes before the look, so that nothing
    /// that is made meanwhile is missed.
    fn add(&mut self, directory: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        self.add_one(directory)?;
        let Ok(entries) = std::fs::read_dir(directory) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if (self.skip)(&path) {
                continue;
            }
            // Links are files here: what they lead to is not ours to walk.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add(&path, found)?;
            }
            found.insert(path);
        }
        Ok(())
    }

    /// Waits for changes and gives the paths they concern; `None`: it is over.
    pub(super) fn changes(&mut self, over: &AtomicBool) -> io::Result<Option<BTreeSet<PathBuf>>> {
        let mut changed = BTreeSet::new();
        let mut first: Option<Instant> = None;
        loop {
            if over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let happened = self.poll(if first.is_some() { QUIET } else { TURN })?;
            if happened {
                self.read(&mut changed)?;
            }
            let Some(since) = first else {
                first = (!changed.is_empty()).then(Instant::now);
                continue;
            };
            if !happened || since.elapsed() >= AT_MOST {
                return Ok(Some(changed));
            }
        }
    }

    fn poll(&self, limit: Duration) -> io::Result<bool> {
        let limit = Timespec {
            tv_sec: limit.as_secs() as i64,
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&limit)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn read(&mut self, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut made = Vec::new();
        let mut lost = false;
        {
            let mut reader = inotify::Reader::new(&self.fd, &mut buffer);
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(rustix::io::Errno::AGAIN) => break,
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(e) => return Err(e.into()),
                };
                let what = event.events();
                lost |= what.contains(ReadFlags::QUEUE_OVERFLOW);
                if what.contains(ReadFlags::IGNORED) {
                    self.directories.remove(&event.wd());
                    continue;
                }
                let (Some(directory), Some(name)) =
                    (self.directories.get(&event.wd()), event.file_name())
                else {
                    continue;
                };
                let path = directory.join(OsStr::from_bytes(name.to_bytes()));
                let is_new = what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
                if what.contains(ReadFlags::ISDIR) && is_new {
                    made.push(path.clone());
                }
                changed.insert(path);
            }
        }
        for directory in made {
            if !(self.skip)(&directory) {
                self.add(&directory, changed)?;
            }
        }
        if lost {
            // More happened than the kernel kept: everything counts as changed.
            for root in self.roots.clone() {
                self.add(&root, changed)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_new_directories_are_seen_and_skipped_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        std::fs::create_dir(root.join("skipped")).unwrap();
        let skip = |path: &Path| path.ends_with("skipped");
        let mut tree = Tree::new(vec![root.clone()], &skip).unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/c"), "x").unwrap();
        std::fs::write(root.join("skipped/d"), "x").unwrap();
        let never = AtomicBool::new(false);
        let changed = tree.changes(&never).unwrap().unwrap();
        let all = ["a", "a/b", "a/b/c"].map(|path| root.join(path));
        assert!(all.iter().all(|path| changed.contains(path)), "{changed:?}");
        assert!(!changed.contains(&root.join("skipped/d")));
        std::fs::rename(root.join("a/b/c"), root.join("a/b/e")).unwrap();
        let changed = tree.changes(&never).unwrap().unwrap();
        assert_eq!(changed, ["a/b/c", "a/b/e"].map(|p| root.join(p)).into());
        assert!(tree.changes(&AtomicBool::new(true)).unwrap().is_none());
    }
}
