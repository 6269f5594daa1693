//! What is in small files, and their attributes, written by a thread of its own: half of what a small file costs is making it, in the
//! archive's order, the other half is filling it, in any order.

use crate::layer::attributes::{self, Ground};
use crate::layer::unpack::{Error, failed};
use crate::tarball::Entry;
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Larger files are filled where they are made, from where their bytes lie.
pub(super) const SMALL: u64 = 64 << 10;
/// So many wait: as many descriptors are open.
const DEPTH: usize = 32;

/// A file that was just made, and is empty.
pub(super) struct Made {
    pub(super) fd: OwnedFd,
    pub(super) bytes: Vec<u8>,
    pub(super) entry: Entry,
    pub(super) path: Vec<u8>,
}

/// The thread's end here.
pub(super) struct Filler<'scope> {
    files: SyncSender<Made>,
    thread: ScopedJoinHandle<'scope, Result<(), Error>>,
}

impl<'scope> Filler<'scope> {
    pub(super) fn start(scope: &'scope Scope<'scope, '_>, ground: Ground) -> Self {
        let (files, waiting) = sync_channel(DEPTH);
        Self {
            files,
            thread: scope.spawn(move || fill_all(&waiting, ground)),
        }
    }

    /// Hands a file over. An error says that the thread has one of its own to tell.
    pub(super) fn give(&self, file: Made) -> Result<(), Error> {
        let lost = |e: std::sync::mpsc::SendError<Made>| failed("write", &e.0.path, Errno::PIPE);
        self.files.send(file).map_err(lost)
    }

    /// Waits until all is written.
    pub(super) fn finish(self) -> Result<(), Error> {
        drop(self.files);
        match self.thread.join() {
            Ok(filled) => filled,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn fill_all(files: &Receiver<Made>, ground: Ground) -> Result<(), Error> {
    files.iter().try_for_each(|file| fill(&file, ground))
}

fn fill(file: &Made, ground: Ground) -> Result<(), Error> {
    let mut left = file.bytes.as_slice();
    while !left.is_empty() {
        match rustix::io::write(&file.fd, left) {
            Ok(written) => left = &left[written..],
            Err(Errno::INTR) => {}
            Err(e) => return Err(failed("write", &file.path, e)),
        }
    }
    describe(&file.fd, &file.entry, &file.path, ground)
}

/// What a file has beside its content; its times last, since all else would change them.
pub(super) fn describe(
    fd: impl AsFd,
    entry: &Entry,
    path: &[u8],
    ground: Ground,
) -> Result<(), Error> {
    attributes::set_on_fd(fd.as_fd(), entry, path, ground)?;
    attributes::set_times(fd.as_fd(), entry.mtime).map_err(|e| failed("set the times of", path, e))
}
