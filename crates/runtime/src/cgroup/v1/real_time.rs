//! Real time of the cpu controller of v1.
//!
//! The kernel gives a group real time only from what its parent has and has not given to others. A parent that was made for
//! containers (see `parents`) is born with none: it gets what its children need together, from the top down.
//! Source: kernel `scheduler/sched-rt-group.rst`.

use super::limits::write;
use crate::cgroup::{Error, V1Group, parents};
use oci_spec::runtime::LinuxCpu;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use sys::cgroupfs;

const EINVAL: i32 = 22;
/// How often a parent is given more before the group's own share counts as refused.
const ROUNDS: usize = 5;
const PERIOD: &str = "cpu.rt_period_us";
const RUNTIME: &str = "cpu.rt_runtime_us";

pub(super) fn set(group: &V1Group, cpu: &LinuxCpu) -> Result<(), Error> {
    if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
        write(group, PERIOD, &period.to_string(), PERIOD)?;
    }
    let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) else {
        return Ok(());
    };
    let set = || write(group, RUNTIME, &runtime.to_string(), RUNTIME);
    // Another container in the same parent may take what was raised for this one. What is refused in the end, the host has not.
    for _ in 0..ROUNDS {
        match set() {
            Err(Error::Write { source, .. }) if source.raw_os_error() == Some(EINVAL) => {
                raise_parents(&group.path, runtime);
            }
            other => return other,
        }
    }
    set()
}

/// What a group has of each of its periods.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Share {
    runtime: i64,
    period: u64,
}

impl Share {
    fn of(directory: &Path) -> Option<Self> {
        let directory = cgroupfs::open(directory).ok()?;
        let number = |file| cgroupfs::read(directory.as_fd(), file).ok();
        Some(Self {
            runtime: number(RUNTIME)?.trim().parse().ok()?,
            period: number(PERIOD)?.trim().parse().ok()?,
        })
    }

    /// The same in another period; a group without limit (-1) is given none of its parent's.
    fn in_period(self, period: u64) -> i64 {
        let runtime = u64::try_from(self.runtime).unwrap_or(0);
        let scaled = u128::from(runtime) * u128::from(period);
        i64::try_from(scaled.div_ceil(u128::from(self.period.max(1)))).unwrap_or(i64::MAX)
    }
}

/// The other groups in the same parent.
fn siblings(group: &Path) -> Vec<PathBuf> {
    let entries = group
        .parent()
        .and_then(|parent| std::fs::read_dir(parent).ok());
    let directories = entries.into_iter().flatten().flatten();
    directories
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| path != group)
        .collect()
}

/// Best effort: what fails here shows when the group itself is written.
fn raise_parents(group: &Path, runtime: i64) {
    let Some(mut wanted) = Share::of(group).map(|share| Share { runtime, ..share }) else {
        return;
    };
    let mut plan: Vec<(PathBuf, i64)> = Vec::new();
    let mut below = group;
    while let Some(parent) = below.parent().filter(|parent| parents::is_ours(parent)) {
        let Some(own) = Share::of(parent).filter(|own| own.runtime >= 0) else {
            break;
        };
        let others = siblings(below)
            .into_iter()
            .filter_map(|other| Share::of(&other));
        let needed = others.fold(wanted.in_period(own.period), |sum, share| {
            sum.saturating_add(share.in_period(own.period))
        });
        plan.push((parent.to_owned(), needed));
        wanted = Share {
            runtime: needed,
            ..own
        };
        below = parent;
    }
    for (parent, needed) in plan.iter().rev() {
        if let Ok(directory) = cgroupfs::open(parent) {
            let _ = cgroupfs::write(directory.as_fd(), RUNTIME, &needed.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_scaled_upwards() {
        let share = |runtime, period| Share { runtime, period };
        assert_eq!(share(1000, 100_000).in_period(1_000_000), 10_000);
        assert_eq!(share(1, 3).in_period(10), 4);
        assert_eq!(share(-1, 100).in_period(1000), 0);
    }
}
