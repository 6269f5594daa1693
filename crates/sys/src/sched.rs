//! How processes get the processor and the disk: scheduling policy and I/O priority.
//!
//! Source: sched_setattr(2), sched(7), linux/sched/types.h; ioprio_set(2).

use std::io;

/// The `SCHED_*` numbers.
pub mod policy {
    pub const OTHER: u32 = 0;
    pub const FIFO: u32 = 1;
    pub const RR: u32 = 2;
    pub const BATCH: u32 = 3;
    pub const IDLE: u32 = 5;
    pub const DEADLINE: u32 = 6;
}

/// The `SCHED_FLAG_*` bits.
pub mod flag {
    pub const RESET_ON_FORK: u64 = 1;
    pub const RECLAIM: u64 = 2;
    pub const DL_OVERRUN: u64 = 4;
    pub const KEEP_POLICY: u64 = 8;
    pub const KEEP_PARAMS: u64 = 16;
    pub const UTIL_CLAMP_MIN: u64 = 32;
    pub const UTIL_CLAMP_MAX: u64 = 64;
}

/// What a process asks of the scheduler; times in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// `struct sched_attr`, the 48 bytes of its first version.
#[repr(C)]
#[derive(Default)]
struct Raw {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets them for a process, 0 for the caller.
pub fn set(pid: i32, attributes: &Attributes) -> io::Result<()> {
    let raw = Raw {
        size: size_of::<Raw>() as u32,
        policy: attributes.policy,
        flags: attributes.flags,
        nice: attributes.nice,
        priority: attributes.priority,
        runtime: attributes.runtime,
        deadline: attributes.deadline,
        period: attributes.period,
    };
    // SAFETY: the structure is as large as it says and lives through the call, which only reads it.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const raw, 0) };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// What a process has, 0 for the caller.
pub fn get(pid: i32) -> io::Result<Attributes> {
    let mut raw = Raw::default();
    // SAFETY: the kernel writes as many bytes as we say the structure has.
    let done = unsafe {
        libc::syscall(
            libc::SYS_sched_getattr,
            pid,
            &raw mut raw,
            size_of::<Raw>(),
            0,
        )
    };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(Attributes {
        policy: raw.policy,
        flags: raw.flags,
        nice: raw.nice,
        priority: raw.priority,
        runtime: raw.runtime,
        deadline: raw.deadline,
        period: raw.period,
    })
}

/// `IOPRIO_CLASS_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum IoClass {
    RealTime = 1,
    BestEffort = 2,
    Idle = 3,
}

const WHO_PROCESS: libc::c_int = 1;
const CLASS_SHIFT: u32 = 13;

/// Sets the I/O priority of a process, 0 for the caller; level 0 is the highest of 8.
pub fn set_io_priority(pid: i32, class: IoClass, level: u32) -> io::Result<()> {
    let value = (class as u32) << CLASS_SHIFT | level;
    // SAFETY: integers only.
    let done = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, pid, value) };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Class and level of a process, as the kernel's numbers.
pub fn io_priority(pid: i32) -> io::Result<(u32, u32)> {
    // SAFETY: integers only.
    let value = unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, pid) };
    match u32::try_from(value) {
        Ok(value) => Ok((value >> CLASS_SHIFT, value & ((1 << CLASS_SHIFT) - 1))),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Lets everybody else go first, for work that nobody waits for: as a process, and as the session that this process leads, which
/// the kernel weighs against other sessions (sched(7), "The autogroup feature"). What cannot be had changes nothing but the order.
pub fn step_back() {
    let _ = rustix::process::setpriority_process(None, LAST);
    let _ = std::fs::write("/proc/self/autogroup", LAST.to_string());
}

const LAST: i32 = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_steps_back_is_last() {
        std::thread::spawn(|| {
            step_back();
            assert_eq!(get(0).unwrap().nice, LAST);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn what_is_set_is_read() {
        std::thread::spawn(|| {
            let batch = Attributes {
                policy: policy::BATCH,
                nice: 7,
                ..Attributes::default()
            };
            set(0, &batch).unwrap();
            let now = get(0).unwrap();
            assert_eq!((now.policy, now.nice), (policy::BATCH, 7));
            set_io_priority(0, IoClass::BestEffort, 6).unwrap();
            assert_eq!(io_priority(0).unwrap(), (2, 6));
        })
        .join()
        .unwrap();
    }
}
