//! The memory controller of v1.
//!
//! Memory and memory-with-swap bound each other at every moment, so their order depends on the direction of the change.
//! Source: kernel `cgroup-v1/memory.rst`.

use super::limits::write;
use crate::cgroup::{Error, V1Group};
use oci_spec::runtime::LinuxMemory;
use sys::cgroupfs;

const LIMIT: &str = "memory.limit_in_bytes";
const SWAP: &str = "memory.memsw.limit_in_bytes";
const EINVAL: i32 = 22;

pub(super) fn set(group: &V1Group, memory: &LinuxMemory) -> Result<(), Error> {
    if memory.check_before_update() == Some(true) {
        let usage = cgroupfs::read_number(&group.directory, "memory.usage_in_bytes");
        crate::cgroup::limits::require_room(memory, usage.ok().flatten())?;
    }
    set_both(group, memory)?;
    let numbers = [
        ("memory.soft_limit_in_bytes", memory.reservation()),
        // Gone since Linux 6.1; before that it limited what the kernel takes on behalf of the group.
        ("memory.kmem.limit_in_bytes", memory.kernel()),
        ("memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp()),
        ("memory.swappiness", memory.swappiness().map(|n| n as i64)),
        (
            "memory.oom_control",
            memory.disable_oom_killer().map(i64::from),
        ),
    ];
    for (file, value) in numbers {
        if let Some(value) = value {
            write(group, file, &value.to_string(), file)?;
        }
    }
    set_hierarchy(group, memory)
}

fn set_both(group: &V1Group, memory: &LinuxMemory) -> Result<(), Error> {
    let limit = memory.limit().filter(|limit| *limit != 0);
    let mut swap = memory.swap().filter(|swap| *swap != 0);
    // Without a limit of memory one of both together would be left that nobody sees.
    let accounted = || cgroupfs::read(&group.directory, SWAP).is_ok();
    if limit == Some(-1) && swap.is_none() && accounted() {
        swap = Some(-1);
    }
    let set_limit = |limit: i64| write(group, LIMIT, &limit.to_string(), "a memory limit");
    let set_swap = |swap: i64| write(group, SWAP, &swap.to_string(), "a limit of memory and swap");
    match (limit, swap) {
        (Some(limit), Some(swap)) => match set_limit(limit) {
            // Above the present sum: the sum goes first.
            Err(Error::Write { source, .. }) if source.raw_os_error() == Some(EINVAL) => {
                set_swap(swap)?;
                set_limit(limit)
            }
            other => other.and_then(|()| set_swap(swap)),
        },
        (Some(limit), None) => set_limit(limit),
        (None, Some(swap)) => set_swap(swap),
        (None, None) => Ok(()),
    }
}

/// Since Linux 5.11 every group counts what is below it, and the file takes nothing but that.
fn set_hierarchy(group: &V1Group, memory: &LinuxMemory) -> Result<(), Error> {
    const FILE: &str = "memory.use_hierarchy";
    let Some(wanted) = memory.use_hierarchy() else {
        return Ok(());
    };
    let now = cgroupfs::read_number(&group.directory, FILE).ok().flatten();
    if now == Some(u64::from(wanted)) {
        return Ok(());
    }
    write(group, FILE, if wanted { "1" } else { "0" }, FILE)
}
