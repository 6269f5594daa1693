//! The hierarchies of this host, and what is below a parent in all of them.

use super::Error;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use sys::cgroupfs::{self, Hierarchies};
use sys::mount::Flags;

/// The names of the groups below a parent, over all hierarchies.
pub fn children(parent: &str) -> Vec<String> {
    let mut names: Vec<String> = parents(parent)
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flat_map(|entries| entries.flatten())
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        // What containers share is not one of them.
        .filter(|name| name != super::devices::SHARED)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Removes the empty group above the containers; one that is in use stays.
pub fn remove_parent(parent: &str) {
    let parents = parents(parent);
    // Whoever starts one holds the shared group before anything is in it.
    if !parents
        .iter()
        .all(|directory| super::devices::remove(directory))
    {
        return;
    }
    for directory in parents {
        // EBUSY is the answer for a group that is in use, ENOENT for one that is gone.
        let _ = std::fs::remove_dir(directory);
    }
}

fn parents(parent: &str) -> Vec<PathBuf> {
    let Ok(hierarchies) = cgroupfs::detect() else {
        return Vec::new();
    };
    let mounts = hierarchies.v1.iter().map(|v1| v1.mount.clone());
    mounts
        .chain(hierarchies.v2.clone())
        .map(|mount| mount.join(parent.trim_start_matches('/')))
        .collect()
}

/// Whether memory and swap together can be limited here.
pub fn limits_swap() -> bool {
    let Ok(hierarchies) = cgroupfs::detect() else {
        return false;
    };
    match hierarchies.v1_with("memory") {
        Some(v1) => v1.mount.join("memory.memsw.limit_in_bytes").exists(),
        // There the file is in every group but the root's; swap accounting is a part of the controller.
        None => Path::new("/proc/swaps").exists(),
    }
}

/// All groups below, at any depth.
pub(super) fn child_groups(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push(entry.path());
                open.push(entry.path());
            }
        }
    }
    found
}

/// The hierarchies of this host. With none mounted (a minimal init), v2 is mounted at its usual place for everybody.
pub fn hierarchies() -> Result<Hierarchies, Error> {
    let found = cgroupfs::detect().map_err(Error::Detect)?;
    if !found.is_empty() {
        return Ok(found);
    }
    let place = Path::new("/sys/fs/cgroup");
    if !place.is_dir() {
        return Ok(found);
    }
    let flags = Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NODEV | Flags::MOUNT_ATTR_NOEXEC;
    let mounted = sys::mount::new_filesystem("cgroup2", &[], flags).and_then(|mount| {
        let place = sys::mount::open_root(place)?;
        sys::mount::attach(mount.as_fd(), place.as_fd())
    });
    mounted.map_err(|source| Error::Mount {
        path: place.to_owned(),
        source,
    })?;
    cgroupfs::detect().map_err(Error::Detect)
}
