//! Removal in two steps: one rename into the trash directory (4 µs, and whole even after `kill -9`), then the
//! deletion, which may take its time and is done by whoever comes by. Images are large and have no monitor that would stay to do
//! it: for them there is a role, `dockless trash <data root> <run root>`, which nobody waits for.

use crate::context::Context;
use crate::error::{Error, Result};
use runtime::Cgroup;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The role's name.
pub const ROLE: &str = "trash";

/// The whole life of the role.
pub fn role_main(arguments: &[OsString]) -> u8 {
    sys::signal::started_with_defaults();
    let opened = Context::of_role(arguments);
    u8::from(opened.and_then(|ctx| delete_images(&ctx)).is_err())
}

/// Has what removed images left deleted, by a process that goes on when this one has answered and ended.
pub fn delete_images_later(ctx: &Context) -> Result<()> {
    let role = sys::role::Role {
        argv: ctx.role_arguments(ROLE, &[])?,
        ..sys::role::Role::default()
    };
    match sys::role::spawn(&role) {
        Ok(child) => {
            sys::reaper::leave(child);
            Ok(())
        }
        Err(_) => delete_images(ctx),
    }
}

fn delete_images(ctx: &Context) -> Result<()> {
    Ok(ctx.images()?.empty_trash()?)
}

/// A path in the trash directory that nobody else uses: also the place where things are made before they are
/// renamed to where they are seen.
pub fn fresh(ctx: &Context, what: &str) -> PathBuf {
    ctx.layout.trash().join(unique(what))
}

pub(crate) fn unique(what: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let serial = COUNTER.fetch_add(1, Ordering::Relaxed);
    let stamp = crate::timestamp::Timestamp::now().0;
    format!("{what}-{}-{serial}-{stamp}", std::process::id())
}

/// Takes a file or directory out of sight. One that is not there is gone already.
pub fn move_away(ctx: &Context, path: &Path) -> Result<Option<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The run root is mostly a filesystem of its own, and a rename cannot leave one.
    let trash = if path.starts_with(ctx.layout.run_containers()) {
        ctx.layout.run_trash()
    } else {
        ctx.layout.trash()
    };
    let target = trash.join(unique(&name));
    match std::fs::rename(path, &target) {
        Ok(()) => Ok(Some(target)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("remove", path)(e)),
    }
}

/// Takes something out of sight and deletes it at once.
pub fn discard(ctx: &Context, path: &Path) -> Result<()> {
    if let Some(moved) = move_away(ctx, path)? {
        delete(&moved);
    }
    Ok(())
}

/// Things out of sight, deleted when this is dropped: after whoever waits has got the answer.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Taken apart by the kernel when nobody holds them.
    mounts: Vec<OwnedFd>,
    groups: Vec<Cgroup>,
    paths: Vec<PathBuf>,
}

impl Leftovers {
    /// Takes one thing more out of sight.
    pub fn add(&mut self, ctx: &Context, path: &Path) -> Result<()> {
        self.paths.extend(move_away(ctx, path)?);
        Ok(())
    }

    /// The group of a container that is no more: nobody looks for it again.
    pub fn add_group(&mut self, group: Cgroup) {
        self.groups.push(group);
    }

    /// The mount namespace of a container that is no more.
    pub fn add_mounts(&mut self, namespace: OwnedFd) {
        self.mounts.push(namespace);
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        // First the mounts, which use the files.
        self.mounts.clear();
        for group in &self.groups {
            // One that cannot be removed now is found by the next sweep.
            let _ = group.remove();
        }
        for path in &self.paths {
            delete(path);
        }
    }
}

/// Deletes what others left in the trash (they were killed, or left it for later) and returns the bytes freed.
/// What a living process is still making or deleting is left alone.
pub fn empty(ctx: &Context) -> Result<u64> {
    let mut freed = 0;
    for dir in [ctx.layout.trash(), ctx.layout.run_trash()] {
        for entry in std::fs::read_dir(&dir).map_err(Error::file("list", &dir))? {
            let Ok(entry) = entry else { continue };
            if owner_is_alive(&entry.file_name().to_string_lossy()) {
                continue;
            }
            freed += crate::usage::disk_usage(&entry.path());
            delete(&entry.path());
        }
    }
    Ok(freed)
}

/// `what-PID-serial-stamp`: is the process that made this entry still there (and not ourselves)?
fn owner_is_alive(name: &str) -> bool {
    let pid = name.rsplit('-').nth(2).and_then(|p| p.parse::<i32>().ok());
    let stamp = name
        .rsplit('-')
        .next()
        .and_then(|s| s.parse::<i64>().ok())
        .unwrap_or(0);
    let young = crate::timestamp::Timestamp(stamp).elapsed().as_secs() < 3600;
    pid.is_some_and(|pid| {
        pid != std::process::id() as i32 && young && sys::process::start_time(pid).is_ok()
    })
}

pub(crate) fn delete(path: &Path) {
    // Before its files: as long as there are any, nobody else takes its project.
    crate::container::quota::give_back(path);
    // What cannot be deleted now stays in the trash for the next sweep.
    let _ = sys::tree::remove(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::context;

    fn stale(what: &str, pid: i32, stamp: i64) -> String {
        format!("{what}-{pid}-0-{stamp}")
    }

    #[test]
    fn what_was_removed_is_out_of_sight_at_once() {
        let (_dir, ctx) = context();
        let path = ctx.layout.volume("data");
        std::fs::create_dir_all(path.join("_data")).unwrap();
        let moved = move_away(&ctx, &path).unwrap().unwrap();
        assert!(!path.exists() && moved.starts_with(ctx.layout.trash()));
        assert!(move_away(&ctx, &path).unwrap().is_none(), "gone already");
        delete(&moved);
        assert!(!moved.exists());
    }

    #[test]
    fn what_lies_in_the_run_root_stays_in_its_filesystem() {
        let (_dir, ctx) = context();
        let path = ctx.layout.run_container("x");
        std::fs::create_dir_all(&path).unwrap();
        let moved = move_away(&ctx, &path).unwrap().unwrap();
        assert!(moved.starts_with(ctx.layout.run_trash()));
    }

    #[test]
    fn only_what_a_living_maker_is_busy_with_stays() {
        let (_dir, ctx) = context();
        let now = crate::Timestamp::now().0;
        let trash = ctx.layout.trash();
        let living = trash.join(stale("container-x", 1, now));
        let dead = trash.join(stale("container-x", i32::MAX, now));
        let forgotten = trash.join(stale("volume", 1, now - 7_200_000_000_000));
        let strange = trash.join("strange");
        for path in [&living, &dead, &forgotten, &strange] {
            std::fs::create_dir_all(path.join("sub")).unwrap();
        }
        std::fs::write(dead.join("sub/file"), vec![1; 8192]).unwrap();
        assert!(empty(&ctx).unwrap() >= 8192);
        assert!(living.exists());
        assert!(!dead.exists() && !forgotten.exists() && !strange.exists());
    }

    #[test]
    fn a_link_is_deleted_and_not_what_it_leads_to() {
        let (dir, ctx) = context();
        let kept = dir.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        let link = ctx.layout.trash().join("link");
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        empty(&ctx).unwrap();
        assert!(kept.is_dir() && !link.is_symlink());
    }
}
