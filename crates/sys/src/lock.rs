//! `flock(2)` on a file of its own: the lock goes when the holder does, however it dies.

use rustix::fs::{FlockOperation, Mode, OFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct FileLock {
    _file: OwnedFd,
    path: PathBuf,
}

impl FileLock {
    /// Waits until the lock is ours.
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        Self::take(path, FlockOperation::LockExclusive)
    }

    /// Waits until nobody holds the lock exclusively.
    pub fn shared(path: &Path) -> io::Result<Self> {
        Self::take(path, FlockOperation::LockShared)
    }

    /// `None` when another process holds it.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        match Self::take(path, FlockOperation::NonBlockingLockExclusive) {
            Ok(lock) => Ok(Some(lock)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn take(path: &Path, operation: FlockOperation) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        loop {
            let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?;
            match rustix::fs::flock(&file, operation) {
                // Its last holder may have removed it while we waited: then others lock another file of this name.
                Ok(()) if is_at(&file, path)? => {
                    return Ok(Self {
                        _file: file,
                        path: path.to_owned(),
                    });
                }
                Ok(()) | Err(rustix::io::Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// A lock on a directory that is there, without a file of its own.
#[derive(Debug)]
pub struct DirectoryLock {
    directory: OwnedFd,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // A child cloned meanwhile shares the lock, and closing our descriptor alone would leave it held.
        let _ = rustix::fs::flock(&self.directory, FlockOperation::Unlock);
    }
}

impl DirectoryLock {
    /// Waits until the lock is ours; `NotFound` once the directory is gone.
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        Self::take(path, FlockOperation::LockExclusive)
    }

    /// `None` when another process holds it.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        match Self::take(path, FlockOperation::NonBlockingLockExclusive) {
            Ok(lock) => Ok(Some(lock)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn take(path: &Path, operation: FlockOperation) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        loop {
            let directory = rustix::fs::open(path, flags, Mode::empty())?;
            match rustix::fs::flock(&directory, operation) {
                // Whoever held it may have removed it, and somebody made another one of this name.
                Ok(()) if is_at(&directory, path)? => {
                    return Ok(Self { directory });
                }
                Ok(()) | Err(rustix::io::Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Whether the open file is the one that has this name.
fn is_at(file: &OwnedFd, path: &Path) -> io::Result<bool> {
    let ours = rustix::fs::fstat(file)?;
    match rustix::fs::stat(path) {
        Ok(found) => Ok((found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_removed_by_its_holder_is_not_what_the_next_one_holds() {
        let dir = std::env::temp_dir().join(format!("lock-test-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("object");
        let first = FileLock::exclusive(&path).unwrap();
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || FileLock::exclusive(&path).unwrap())
        };
        std::fs::remove_file(&path).unwrap();
        drop(first);
        let _second = waiting.join().unwrap();
        assert!(path.exists(), "the second holds a file that others find");
        assert!(FileLock::try_exclusive(&path).unwrap().is_none());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
