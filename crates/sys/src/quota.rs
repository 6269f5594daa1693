//! Project quotas: how many bytes the files of one project may take on a file system.
//!
//! A file belongs to a project by a number in its inode, which what is made below a directory with PROJINHERIT gets as well. The
//! commands are XFS's; the kernel answers them for every file system that has quotas, ext4 among them, sizes in blocks of 512 bytes.
//! Source: ioctl_xfs_fsgetxattr(2), quotactl(2), quotactl_fd(2) (Linux 5.14), kernel `uapi/linux/{fs,dqblk_xfs}.h`, `fs/quota/quota.c`.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `struct fsxattr`.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
const FS_XFLAG_PROJINHERIT: u32 = 0x200;

/// `struct fs_disk_quota`, in which only the block limits and counts are looked at.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct DiskQuota {
    version: i8,
    flags: i8,
    field_mask: u16,
    id: u32,
    block_hard_limit: u64,
    block_soft_limit: u64,
    inode_hard_limit: u64,
    inode_soft_limit: u64,
    blocks: u64,
    inodes: u64,
    timers: [i32; 2],
    warnings: [u16; 2],
    timers_high: [i8; 4],
    realtime_hard_limit: u64,
    realtime_soft_limit: u64,
    realtime_blocks: u64,
    realtime_timer: i32,
    realtime_warnings: u16,
    padding: [u8; 10],
}

/// `struct fs_quota_statv`: its head, and room for the rest.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct State {
    version: i8,
    padding: u8,
    flags: u16,
    in_core: u32,
    rest: [u64; 19],
}

const _: () = assert!(size_of::<Attributes>() == 28);
const _: () = assert!(size_of::<DiskQuota>() == 112);
const _: () = assert!(size_of::<State>() == 160);

const FS_DQUOT_VERSION: i8 = 1;
const FS_QSTATV_VERSION1: i8 = 1;
const FS_PROJ_QUOTA: i8 = 2;
const FS_DQ_BSOFT: u16 = 1 << 2;
const FS_DQ_BHARD: u16 = 1 << 3;
const FS_QUOTA_PDQ_ACCT: u16 = 1 << 4;
const FS_QUOTA_PDQ_ENFD: u16 = 1 << 5;
const PRJQUOTA: u32 = 2;
const Q_XGETQUOTA: u32 = command(3);
const Q_XSETQLIM: u32 = command(4);
const Q_XGETQSTATV: u32 = command(8);
const BLOCK: u64 = 512;

const fn command(number: u32) -> u32 {
    (((b'X' as u32) << 8) + number) << 8 | PRJQUOTA
}

/// What a project takes and may take, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub bytes: u64,
    pub inodes: u64,
    /// 0: no limit.
    pub limit: u64,
    /// There is a limit of another kind: on inodes, or a soft one.
    pub other_limits: bool,
}

impl Usage {
    /// No file has the project, and nobody has set it a limit.
    pub fn is_unused(self) -> bool {
        self == Self::default()
    }
}

/// Whether the file system that a descriptor lies on counts the blocks of projects and keeps them within their limits.
pub fn is_enforced(at: impl AsFd) -> io::Result<bool> {
    let mut state = State {
        version: FS_QSTATV_VERSION1,
        padding: 0,
        flags: 0,
        in_core: 0,
        rest: [0; 19],
    };
    // SAFETY: Q_XGETQSTATV writes a `struct fs_quota_statv`, which has the size of `State`, checked above.
    match unsafe { quotactl_fd(at, Q_XGETQSTATV, 0, &raw mut state) } {
        Ok(()) => {
            let both = FS_QUOTA_PDQ_ACCT | FS_QUOTA_PDQ_ENFD;
            Ok(state.flags & both == both)
        }
        // Not known to the file system, or no quota on; ENOTTY and EINVAL: neither to the kernel.
        Err(e) => match e.raw_os_error() {
            Some(libc::ENOSYS | libc::ESRCH | libc::EOPNOTSUPP | libc::EINVAL | libc::ENOTTY) => {
                Ok(false)
            }
            _ => Err(e),
        },
    }
}

/// What a project takes on the file system that a descriptor lies on.
pub fn usage(at: impl AsFd, project: u32) -> io::Result<Usage> {
    let mut quota = DiskQuota::default();
    // SAFETY: Q_XGETQUOTA writes a `struct fs_disk_quota`, which has the size of `DiskQuota`, checked above.
    match unsafe { quotactl_fd(at, Q_XGETQUOTA, project, &raw mut quota) } {
        Ok(()) => Ok(Usage {
            bytes: quota.blocks.saturating_mul(BLOCK),
            inodes: quota.inodes,
            limit: quota.block_hard_limit.saturating_mul(BLOCK),
            other_limits: quota.block_soft_limit != quota.block_hard_limit
                || quota.inode_hard_limit != 0
                || quota.inode_soft_limit != 0,
        }),
        // XFS has no entry for a project without files.
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(Usage::default()),
        Err(e) => Err(e),
    }
}

/// Sets how many bytes a project may take; 0: as many as there are. A part of a block counts as one.
pub fn set_limit(at: impl AsFd, project: u32, bytes: u64) -> io::Result<()> {
    let blocks = bytes.div_ceil(BLOCK);
    let mut quota = DiskQuota {
        version: FS_DQUOT_VERSION,
        flags: FS_PROJ_QUOTA,
        field_mask: FS_DQ_BSOFT | FS_DQ_BHARD,
        id: project,
        block_hard_limit: blocks,
        block_soft_limit: blocks,
        ..DiskQuota::default()
    };
    // SAFETY: Q_XSETQLIM reads a `struct fs_disk_quota`, which has the size of `DiskQuota`, checked above.
    unsafe { quotactl_fd(at, Q_XSETQLIM, project, &raw mut quota) }
}

/// The project a file or directory belongs to; 0: none.
pub fn project(file: impl AsFd) -> io::Result<u32> {
    Ok(attributes(&file)?.project)
}

/// Puts a directory into a project, with whatever will be made below it. What is below it already stays where it is.
pub fn set_project(directory: impl AsFd, project: u32) -> io::Result<()> {
    let mut attributes = attributes(&directory)?;
    attributes.project = project;
    attributes.flags |= FS_XFLAG_PROJINHERIT;
    let fd = directory.as_fd().as_raw_fd();
    // SAFETY: FS_IOC_FSSETXATTR reads a `struct fsxattr`, which has the size of `Attributes`, checked above.
    answer(unsafe { libc::ioctl(fd, FS_IOC_FSSETXATTR as _, &raw const attributes) }.into())
}

fn attributes(file: &impl AsFd) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: FS_IOC_FSGETXATTR writes a `struct fsxattr`, which has the size of `Attributes`, checked above.
    answer(unsafe { libc::ioctl(fd, FS_IOC_FSGETXATTR as _, &raw mut attributes) }.into())?;
    Ok(attributes)
}

/// # Safety
/// `argument` points to the structure that the command reads or writes.
unsafe fn quotactl_fd<T>(at: impl AsFd, command: u32, id: u32, argument: *mut T) -> io::Result<()> {
    let fd = at.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed and open; of the argument the caller says that it fits.
    answer(unsafe { libc::syscall(libc::SYS_quotactl_fd, fd, command, id, argument) })
}

fn answer(returned: libc::c_long) -> io::Result<()> {
    match returned {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_kernels_header() {
        assert_eq!(Q_XGETQUOTA, 0x0058_0302);
        assert_eq!(Q_XSETQLIM, 0x0058_0402);
        assert_eq!(Q_XGETQSTATV, 0x0058_0802);
    }

    #[test]
    fn a_file_system_without_projects_says_so() {
        let proc = std::fs::File::open("/proc").unwrap();
        assert!(!is_enforced(&proc).unwrap());
        assert!(set_project(&proc, 7).is_err());
    }

    #[test]
    fn a_project_is_unused_when_nothing_is_known_of_it() {
        assert!(Usage::default().is_unused());
        for used in [
            Usage {
                inodes: 1,
                ..Usage::default()
            },
            Usage {
                limit: 512,
                ..Usage::default()
            },
            Usage {
                other_limits: true,
                ..Usage::default()
            },
        ] {
            assert!(!used.is_unused());
        }
    }
}
