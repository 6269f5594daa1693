//! Capability sets of the calling thread.
//!
//! Source: capabilities(7), capset(2). The names are those of linux/capability.h, through the `caps` crate.

use caps::{CapSet, Capability};
use std::io;

/// A set of capabilities as the kernel's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    pub const EMPTY: Self = Self(0);

    pub fn contains(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }

    pub fn insert(&mut self, bit: u32) {
        self.0 |= 1 << bit;
    }

    /// Everything this kernel knows.
    pub fn all() -> Self {
        Self((1u64 << (last_capability() + 1)) - 1)
    }
}

impl FromIterator<u32> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = u32>>(bits: I) -> Self {
        let mut set = Self::EMPTY;
        bits.into_iter().for_each(|bit| set.insert(bit));
        set
    }
}

/// The number of `CAP_CHOWN`, `chown`, ...
pub fn number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") {
        upper
    } else {
        format!("CAP_{upper}")
    };
    full.parse::<Capability>()
        .ok()
        .map(|capability| u32::from(capability.index()))
}

/// `CAP_CHOWN` for 0, and so on; `None` for a number without a name here.
pub fn name(bit: u32) -> Option<String> {
    caps::all()
        .into_iter()
        .find(|capability| u32::from(capability.index()) == bit)
        .map(|capability| capability.to_string())
}

/// The highest number this kernel knows: the first one it refuses to look up ends the range.
pub fn last_capability() -> u32 {
    // Written for the kernels we run on: 40 is CAP_CHECKPOINT_RESTORE (5.9); an older one answers EINVAL for the missing.
    (0..=40)
        .rev()
        .find(|bit| in_bounding_set(*bit).is_ok())
        .unwrap_or(0)
}

fn in_bounding_set(bit: u32) -> io::Result<bool> {
    // SAFETY: integers in, an integer out.
    match unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(bit), 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value == 1),
    }
}

/// The bounding set of this thread.
pub fn bounding() -> CapabilitySet {
    (0..=last_capability())
        .filter(|bit| in_bounding_set(*bit).unwrap_or(false))
        .collect()
}

/// Drops from the bounding set everything that is not in `keep`. Needs CAP_SETPCAP still effective.
pub fn limit_bounding(keep: CapabilitySet) -> io::Result<()> {
    for bit in 0..64u32 {
        if keep.contains(bit) {
            continue;
        }
        // SAFETY: integers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(bit), 0, 0, 0) } == -1 {
            let error = io::Error::last_os_error();
            // EINVAL: this kernel has no capability of that number, and so none beyond.
            return if error.raw_os_error() == Some(libc::EINVAL) {
                Ok(())
            } else {
                Err(error)
            };
        }
    }
    Ok(())
}

/// `struct __user_cap_header_struct`, version 3.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// Sets the effective, permitted and inheritable sets at once.
pub fn set(
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
) -> io::Result<()> {
    let word = |set: CapabilitySet, index: u32| (set.0 >> (32 * index)) as u32;
    let data = [0, 1].map(|index| Data {
        effective: word(effective, index),
        permitted: word(permitted, index),
        inheritable: word(inheritable, index),
    });
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    // SAFETY: version 3 reads one header and two data records, which is what we pass.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The permitted set of this thread: all it could ever give.
pub fn permitted() -> io::Result<CapabilitySet> {
    let none = Data {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    };
    let mut data = [none; 2];
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    // SAFETY: version 3 reads one header and writes two data records, which is what we pass.
    if unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(CapabilitySet(
        u64::from(data[0].permitted) | u64::from(data[1].permitted) << 32,
    ))
}

/// Makes the ambient set exactly this; each must be permitted and inheritable already.
pub fn set_ambient(ambient: CapabilitySet) -> io::Result<()> {
    const PR_CAP_AMBIENT: libc::c_int = 47;
    const RAISE: libc::c_ulong = 2;
    const CLEAR_ALL: libc::c_ulong = 4;
    // SAFETY: integers only.
    if unsafe { libc::prctl(PR_CAP_AMBIENT, CLEAR_ALL, 0, 0, 0) } == -1 {
        let error = io::Error::last_os_error();
        // EINVAL: a kernel before 4.3 has no ambient set, which is as good as an empty one.
        return if error.raw_os_error() == Some(libc::EINVAL) && ambient == CapabilitySet::EMPTY {
            Ok(())
        } else {
            Err(error)
        };
    }
    for bit in (0..64).filter(|bit| ambient.contains(*bit)) {
        // SAFETY: integers only.
        if unsafe { libc::prctl(PR_CAP_AMBIENT, RAISE, libc::c_ulong::from(bit), 0, 0) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Keeps the permitted set when the user id changes from 0 to another.
pub fn keep_over_setuid(keep: bool) -> io::Result<()> {
    Ok(rustix::thread::set_keep_capabilities(keep)?)
}

/// From here on neither this process nor its children gain privileges by execve.
pub fn set_no_new_privs() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Capabilities this process may use now.
pub fn effective() -> CapabilitySet {
    let read = caps::read(None, CapSet::Effective).unwrap_or_default();
    read.into_iter()
        .map(|capability| u32::from(capability.index()))
        .collect()
}

/// User, group and further groups, in the order the kernel needs: the user last, because only root may change the others.
pub fn set_identity(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    use rustix::fs::{Gid, Uid};
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    rustix::thread::set_thread_groups(&groups)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}

/// Does something as the owner of the files it makes, with the capabilities of this thread.
///
/// The kernel takes the file capabilities away with user 0 unless `SECBIT_NO_SETUID_FIXUP` forbids it; capabilities(7). Should
/// the way back be refused, the thread has fewer rights than before, never more.
pub fn with_fs_identity<T>(uid: u32, gid: u32, action: impl FnOnce() -> T) -> io::Result<T> {
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: integers only; the four concern this thread's credentials alone.
    let securebits = unsafe { libc::prctl(libc::PR_GET_SECUREBITS, 0, 0, 0, 0) };
    if securebits == -1 {
        return Err(io::Error::last_os_error());
    }
    let securebits = securebits as libc::c_ulong;
    let set_bits = |bits: libc::c_ulong| {
        // SAFETY: as above.
        match unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits, 0, 0, 0) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    set_bits(securebits | NO_SETUID_FIXUP)?;
    // SAFETY: as above. The two say only which id was there before.
    let before = unsafe {
        let gid = libc::setfsgid(gid);
        (libc::setfsuid(uid), gid)
    };
    let done = action();
    // SAFETY: as above; back to what they were.
    unsafe {
        libc::setfsuid(before.0 as libc::uid_t);
        libc::setfsgid(before.1 as libc::gid_t);
    }
    set_bits(securebits)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(number("CAP_CHOWN"), Some(0));
        assert_eq!(number("sys_admin"), Some(21));
        assert_eq!(number("cap_checkpoint_restore"), Some(40));
        assert_eq!(number("CAP_NOPE"), None);
    }

    #[test]
    fn the_bounding_set_is_within_all() {
        assert_eq!(bounding().0 & !CapabilitySet::all().0, 0);
        let by_proc = caps::read(None, CapSet::Permitted).unwrap();
        let by_proc: CapabilitySet = by_proc.into_iter().map(|c| u32::from(c.index())).collect();
        assert_eq!(permitted().unwrap(), by_proc);
    }
}
