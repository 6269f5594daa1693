//! Lists of processors and memory nodes, and the processors a process may run on.
//!
//! Source: cpuset(7) "List format" (`0-3,7`), sched_setaffinity(2).

use std::io;

/// As many as any kernel is built for.
pub const LIMIT: u32 = 8192;

/// A set of numbers as the kernel's words, bit n of word n/64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mask(Vec<u64>);

impl Mask {
    /// Reads `0-3,7`; `None` if it is no such list, or beyond [`LIMIT`].
    pub fn parse(list: &str) -> Option<Self> {
        let mut mask = Self::default();
        for part in list.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            (first..=last).for_each(|bit| mask.insert(bit));
        }
        Some(mask)
    }

    fn insert(&mut self, bit: u32) {
        let word = (bit / 64) as usize;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (bit % 64);
    }

    pub fn words(&self) -> &[u64] {
        &self.0
    }

    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse::<u32>().ok())??;
    (number < LIMIT).then_some(number)
}

/// Lets the calling thread run on these processors only. `EINVAL`: none of them exists or is allowed by the cgroup.
pub fn set_affinity(mask: &Mask) -> io::Result<()> {
    let words = mask.words();
    // SAFETY: the kernel reads as many bytes as we say, which the slice has; 0 is the calling thread.
    let done = unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            0,
            size_of_val(words),
            words.as_ptr(),
        )
    };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The processors the calling thread may run on.
pub fn affinity() -> io::Result<Mask> {
    let mut words = vec![0u64; (LIMIT / 64) as usize];
    // SAFETY: the kernel writes at most as many bytes as we say, which the vector has; 0 is the calling thread.
    let bytes = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0,
            size_of_val(words.as_slice()),
            words.as_mut_ptr(),
        )
    };
    let Ok(bytes) = usize::try_from(bytes) else {
        return Err(io::Error::last_os_error());
    };
    words.truncate(bytes.div_ceil(8));
    Ok(Mask(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(Mask::parse("0-3,7").unwrap().words(), [0b1000_1111]);
        assert_eq!(Mask::parse("64").unwrap().words(), [0, 1]);
        assert_eq!(Mask::parse(" 1, 2 ").unwrap().count(), 2);
        assert_eq!(Mask::parse("8191").unwrap().words().len(), 128);
        for wrong in [
            "",
            ",",
            "1,",
            "3-1",
            "a",
            "-",
            "1-",
            "+1",
            "8192",
            "99999999999",
            "0-8192",
        ] {
            assert_eq!(Mask::parse(wrong), None, "{wrong}");
        }
    }
}
