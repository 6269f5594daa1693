//! On which memory nodes a process gets its memory.
//!
//! Source: set_mempolicy(2), linux/mempolicy.h.

use crate::cpuset::Mask;
use std::io;

/// The `MPOL_*` modes.
pub mod mode {
    pub const DEFAULT: u32 = 0;
    pub const PREFERRED: u32 = 1;
    pub const BIND: u32 = 2;
    pub const INTERLEAVE: u32 = 3;
    pub const LOCAL: u32 = 4;
    pub const PREFERRED_MANY: u32 = 5;
    pub const WEIGHTED_INTERLEAVE: u32 = 6;
}

/// The `MPOL_F_*` bits, set together with a mode.
pub mod flag {
    pub const NUMA_BALANCING: u32 = 1 << 13;
    pub const RELATIVE_NODES: u32 = 1 << 14;
    pub const STATIC_NODES: u32 = 1 << 15;
}

/// Sets the policy of the calling thread, which its children and an `execve` keep. `ENOSYS`: a kernel without NUMA.
pub fn set(mode: u32, nodes: &Mask) -> io::Result<()> {
    let words = nodes.words();
    let (pointer, bits) = if words.is_empty() {
        (std::ptr::null(), 0)
    } else {
        // The kernel reads one bit less than it is told.
        (words.as_ptr(), words.len() * 64 + 1)
    };
    // SAFETY: the kernel reads `bits - 1` bits, as many as the slice has, or nothing at a null pointer.
    let done = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
