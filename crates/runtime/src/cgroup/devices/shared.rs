//! The group beside the containers that holds the default device rules: taken into use, and removed when nobody uses it.
//!
//! Whoever is about to use it holds a shared `flock` on its directory, because until the process is in it the kernel would let
//! another's clean-up remove it.

use super::rules::DEFAULT_RULES;
use super::{Error, SHARED, write_v1};
use rustix::fs::{FlockOperation, flock};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use sys::cgroupfs;

/// How often a clean-up at the same moment may be in the way.
const ROUNDS: usize = 64;
/// Until others that look at the same moment have looked.
const BETWEEN: Duration = Duration::from_millis(1);

/// v1: the group that containers without rules of their own share, below the parent. The parent itself allows everything,
/// because a child may only narrow what its parent has, and `--device` must be able to add. Locked until [`let_go`].
pub(in crate::cgroup) fn hold_v1(
    parent: &Path,
    mut make_parent: impl FnMut() -> Result<(), Error>,
) -> Result<OwnedFd, Error> {
    let path = parent.join(SHARED);
    let failed = |source| Error::Make {
        path: path.clone(),
        source,
    };
    for _ in 0..ROUNDS {
        let directory = match lock(&path, FlockOperation::LockShared) {
            Ok(directory) => directory,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_parent()?;
                continue;
            }
            Err(e) => return Err(failed(e)),
        };
        match cgroupfs::read(&directory, "devices.list") {
            // Removed between its making and our lock.
            Err(_) => continue,
            Ok(list) if !allows_everything(&list) => return Ok(directory),
            Ok(_) => drop(directory),
        }
        // Two first containers at once: one writes, the other looks again and sees it done. It must not wait for the lock: the
        // one that wrote holds it, shared, as long as its container lives.
        let directory = match lock(&path, FlockOperation::NonBlockingLockExclusive) {
            Ok(directory) => directory,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(BETWEEN);
                continue;
            }
            Err(e) => return Err(failed(e)),
        };
        if cgroupfs::read(&directory, "devices.list").is_ok_and(|list| allows_everything(&list)) {
            write_v1(&directory, &path, &DEFAULT_RULES)?;
        }
    }
    Err(failed(io::Error::from(io::ErrorKind::ResourceBusy)))
}

fn lock(path: &Path, operation: FlockOperation) -> io::Result<OwnedFd> {
    let (directory, _) = cgroupfs::make(path)?;
    flock(&directory, operation)?;
    Ok(directory)
}

fn allows_everything(list: &str) -> bool {
    list.starts_with("a ")
}

/// The lock goes though copies of the descriptor may live in children.
pub(in crate::cgroup) fn let_go(directory: &OwnedFd) {
    let _ = flock(directory, FlockOperation::Unlock);
}

/// v2: programs of ancestors must all agree, so the parent carries none. The default program is loaded once, kept by an empty
/// group, and attached from there to each container: microseconds in place of a verifier's run.
pub(super) fn attach_v2(group: BorrowedFd<'_>, shared: &Path) -> io::Result<()> {
    let mut round = 0;
    let keeper = loop {
        let keeper = lock(shared, FlockOperation::LockShared)?;
        round += 1;
        if cgroupfs::exists(keeper.as_fd(), "cgroup.procs") || round == ROUNDS {
            break keeper;
        }
    };
    let attached = attach_kept(group, &keeper);
    let_go(&keeper);
    attached
}

fn attach_kept(group: BorrowedFd<'_>, keeper: &OwnedFd) -> io::Result<()> {
    if sys::bpf::attach_kept(keeper.as_fd(), group)? {
        return Ok(());
    }
    let program = sys::bpf::load_device_program(&sys::bpf::device_program(&DEFAULT_RULES))?;
    sys::bpf::attach(keeper.as_fd(), program.as_fd())?;
    sys::bpf::attach(group, program.as_fd())
}

/// Removes it below this parent, if it is there; `false` when somebody uses it or is about to.
pub(in crate::cgroup) fn remove(parent: &Path) -> bool {
    let path = parent.join(SHARED);
    let Ok(directory) = cgroupfs::open(&path) else {
        return true;
    };
    flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok()
        && std::fs::remove_dir(&path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group that a killed container left behind has the program already.
    #[test]
    fn the_default_program_is_attached_once() {
        let Some(mount) = crate::cgroup::hierarchies().unwrap().v2.clone() else {
            return;
        };
        let parent = mount.join(format!("dockless-devices-{}", std::process::id()));
        let (shared, path) = (parent.join(SHARED), parent.join("container"));
        cgroupfs::make(&parent).unwrap();
        let (group, _) = cgroupfs::make(&path).unwrap();
        let outcome = [(); 3].map(|()| attach_v2(group.as_fd(), &shared));
        for directory in [&path, &shared, &parent] {
            std::fs::remove_dir(directory).unwrap();
        }
        for attached in outcome {
            attached.unwrap();
        }
    }

    /// A sandbox that ends must not take the group from one that is about to join it.
    #[test]
    fn who_is_about_to_join_keeps_it() {
        let Some(v1) = crate::cgroup::hierarchies()
            .unwrap()
            .v1_with("devices")
            .cloned()
        else {
            return;
        };
        let parent = v1
            .mount
            .join(format!("dockless-held-{}", std::process::id()));
        let make_parent = || {
            cgroupfs::make(&parent)
                .map(drop)
                .map_err(|source| Error::Make {
                    path: parent.clone(),
                    source,
                })
        };
        let first = hold_v1(&parent, make_parent).unwrap();
        let second = hold_v1(&parent, make_parent).unwrap();
        let_go(&first);
        assert!(!remove(&parent), "the second still holds it");
        assert!(cgroupfs::exists(second.as_fd(), "tasks"));
        let_go(&second);
        assert!(remove(&parent));
        assert!(!cgroupfs::exists(second.as_fd(), "tasks"));
        // And it comes back with its rules.
        let third = hold_v1(&parent, make_parent).unwrap();
        assert!(!allows_everything(
            &cgroupfs::read(&third, "devices.list").unwrap()
        ));
        let_go(&third);
        assert!(remove(&parent));
        std::fs::remove_dir(&parent).unwrap();
    }

    #[test]
    fn made_and_removed_by_many_at_once() {
        let Some(v1) = crate::cgroup::hierarchies()
            .unwrap()
            .v1_with("devices")
            .cloned()
        else {
            return;
        };
        let parent = v1
            .mount
            .join(format!("dockless-many-{}", std::process::id()));
        let make_parent = || {
            cgroupfs::make(&parent)
                .map(drop)
                .map_err(|source| Error::Make {
                    path: parent.clone(),
                    source,
                })
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let held = hold_v1(&parent, make_parent).unwrap();
                        assert!(cgroupfs::exists(held.as_fd(), "tasks"));
                        let_go(&held);
                        remove(&parent);
                    }
                });
            }
        });
        remove(&parent);
        std::fs::remove_dir(&parent).unwrap();
    }
}
