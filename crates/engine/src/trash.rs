//! Removal in two steps: one rename into the trash directory (4 µs, and whole even after `kill -9`), then the
//! deletion, which may take its time and is done by whoever comes by.

use crate::context::Context;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A path in the trash directory that nobody else uses: also the place where things are made before they are
/// renamed to where they are seen.
pub fn fresh(ctx: &Context, what: &str) -> PathBuf {
    ctx.layout.trash().join(unique(what))
}

fn unique(what: &str) -> String {
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
    let gone = if path.is_dir() && !path.is_symlink() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    // What cannot be deleted now stays in the trash for the next sweep.
    let _ = gone;
}
