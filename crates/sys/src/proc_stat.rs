//! One line of `/proc/PID/stat`, read in one place.
//!
//! Source: proc_pid_stat(5). The name in field 2 may hold spaces and parentheses, so counting starts after the last `)`.

use std::io;

/// What the kernel says of a process, fields by their names in the manual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// `comm`, without its parentheses.
    pub name: String,
    /// `R`, `S`, `D`, `T`, `Z`, `X`, …
    pub state: char,
    pub parent: i32,
    /// The device number of its terminal; 0: none.
    pub tty: i32,
    /// The kernel's own, `PF_…` of its sched.h.
    pub flags: u64,
    /// Clock ticks in user mode and in the kernel.
    pub time: u64,
    /// Clock ticks since boot.
    pub start_time: u64,
    /// Bytes of virtual memory.
    pub virtual_size: u64,
    /// Bytes in memory.
    pub resident: u64,
    /// As wait(2) tells it; only of a zombie, and only for who may trace it.
    pub exit_status: Option<i32>,
}

impl Stat {
    pub fn of(pid: i32) -> io::Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = crate::file::read_made_up_at(&path)?;
        Self::parse(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {text:?}")))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Field 3, the state, is the first after the name.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |at: usize| field(at)?.parse::<u64>().ok();
        Some(Self {
            name: name.to_owned(),
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            tty: field(7)?.parse().ok()?,
            flags: number(9)?,
            time: number(14)?.saturating_add(number(15)?),
            start_time: number(22)?,
            virtual_size: number(23)?,
            resident: number(24)?.saturating_mul(page_size()),
            exit_status: field(52).and_then(|f| f.parse().ok()),
        })
    }

    /// It runs nothing of its own any more, though the kernel may still be closing what it had open.
    pub fn is_ending(&self) -> bool {
        const PF_EXITING: u64 = 0x4;
        self.has_ended() || self.flags & PF_EXITING != 0
    }

    /// It has ended; only its parent has not asked yet.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Bytes of a page, in which the kernel counts what is in memory.
pub(crate) fn page_size() -> u64 {
    // SAFETY: sysconf takes an integer and touches no memory of ours.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "42 (a) b (c)) S 1 42 42 34816 42 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1000 8192 3 18446744073709551615";

    #[test]
    fn a_name_with_parentheses_and_blanks_is_read_right() {
        let stat = Stat::parse(LINE).unwrap();
        assert_eq!(stat.name, "a) b (c)");
        assert_eq!((stat.state, stat.parent, stat.tty), ('S', 1, 34816));
        assert_eq!((stat.time, stat.start_time), (200, 1000));
        assert_eq!((stat.virtual_size, stat.resident), (8192, 3 * page_size()));
        assert_eq!(stat.exit_status, None);
        assert!(!stat.is_ending() && !stat.has_ended());
        let ending = Stat::parse(&LINE.replace("4194560", "4194564")).unwrap();
        assert!(ending.is_ending() && !ending.has_ended());
    }

    #[test]
    fn what_is_no_such_line_is_refused() {
        for bad in ["", "garbage", "1 (x", "1 (x) S", "1 (x) S 1 1 1 q"] {
            assert_eq!(Stat::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn this_process_is_there() {
        let stat = Stat::of(std::process::id() as i32).unwrap();
        assert!(!stat.has_ended() && stat.exit_status.is_some());
        assert!(Stat::of(i32::MAX).is_err());
    }
}
