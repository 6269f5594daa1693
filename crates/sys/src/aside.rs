//! Work in another mount namespace than the process's own: in a thread, which alone is there and ends with the work.
//!
//! Source: mount_namespaces(7); setns(2): only who shares its root and working directory with nobody may enter a mount namespace.

use crate::mount::{Propagation, set_root_propagation};
use crate::namespace::{flags, unshare};
use crate::process::thread_count;
use std::io;

/// In a copy of our mounts, from which nothing travels back. It ends with the thread, unless the work hands out its descriptor.
pub fn in_new<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_thread(|| {
        unshare(flags::NEWNS)?;
        set_root_propagation(Propagation::Private)?;
        Ok(work())
    })
}

/// In those that the work enters.
pub fn roaming<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_thread(|| {
        unshare(flags::FS)?;
        Ok(work())
    })
}

fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let threads = thread_count()?;
    let done = std::thread::scope(|scope| {
        let gone = || io::Error::other("the thread for it ended");
        scope.spawn(work).join().unwrap_or_else(|_| Err(gone()))
    });
    // The thread is joined a moment before the kernel takes it off the list, and who clones next must be alone.
    while threads == 1 && thread_count().is_ok_and(|count| count > 1) {
        std::thread::yield_now();
    }
    done
}
