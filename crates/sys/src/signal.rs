//! Signals: names and numbers, masks, dispositions, `signalfd`.
//!
//! Source: signal(7), signalfd(2), sigprocmask(2).

use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Highest signal number of Linux (SIGRTMAX).
pub const MAX: i32 = 64;
/// The first real-time signal a program may use; glibc and musl keep 32 and 33 (and 34 on musl) to themselves.
const RTMIN: i32 = 34;

const NAMES: [(&str, i32); 34] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", 16),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// Reads `SIGTERM`, `term`, `15`, `SIGRTMIN+3`, `RTMAX-1`.
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=MAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => RTMIN,
        (_, Some("")) => MAX,
        (Some(plus), _) => RTMIN + plus.strip_prefix('+')?.parse::<i32>().ok()?,
        (_, Some(minus)) => MAX - minus.strip_prefix('-')?.parse::<i32>().ok()?,
        _ => return None,
    };
    (RTMIN..=MAX).contains(&number).then_some(number)
}

/// `SIGTERM`, `SIGRTMIN+3`; the bare number when it has no name.
pub fn name(number: i32) -> String {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => format!("SIG{name}"),
        None if number == RTMIN => "SIGRTMIN".to_owned(),
        None if (RTMIN..=MAX).contains(&number) => format!("SIGRTMIN+{}", number - RTMIN),
        None => number.to_string(),
    }
}

/// A set of signal numbers, real-time ones included.
#[derive(Debug, Clone, Copy)]
pub struct Set(libc::sigset_t);

impl Set {
    pub fn of(signals: &[i32]) -> Self {
        // SAFETY: sigset_t is plain integers, for which zero is a valid value; sigemptyset then makes it the empty set.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is ours for both calls; an impossible number is refused with EINVAL and changes nothing.
        unsafe {
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                libc::sigaddset(&raw mut set, *signal);
            }
        }
        Self(set)
    }

    pub fn all() -> Self {
        let mut set = Self::of(&[]);
        // SAFETY: `set` is ours for the call.
        unsafe { libc::sigfillset(&raw mut set.0) };
        set
    }

    /// Blocks these signals in the calling thread, beside those already blocked.
    pub fn block(&self) -> io::Result<()> {
        self.mask(libc::SIG_BLOCK)
    }

    /// Makes this the mask of the calling thread.
    pub fn set_mask(&self) -> io::Result<()> {
        self.mask(libc::SIG_SETMASK)
    }

    fn mask(&self, how: libc::c_int) -> io::Result<()> {
        // SAFETY: reads our set and writes nowhere.
        match unsafe { libc::pthread_sigmask(how, &raw const self.0, std::ptr::null_mut()) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    fn to_nix(self) -> SigSet {
        // SAFETY: `self.0` was initialised by sigemptyset or sigfillset.
        unsafe { SigSet::from_sigset_t_unchecked(self.0) }
    }
}

/// Signals read as records from a descriptor; they are blocked from now on.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let set = Set::of(signals);
        set.block()?;
        Ok(Self(SignalFd::with_flags(
            &set.to_nix(),
            SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
        )?))
    }

    /// The next pending signal, `None` when there is none.
    pub fn read(&self) -> io::Result<Option<i32>> {
        Ok(self.0.read_signal()?.map(|info| info.ssi_signo as i32))
    }
}

impl std::os::fd::AsFd for Signals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// All signals blocked in this thread until dropped.
#[derive(Debug)]
pub(crate) struct BlockAll(SigSet);

impl BlockAll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(
            SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?,
        ))
    }
}

impl Drop for BlockAll {
    fn drop(&mut self) {
        // Restoring a mask the kernel gave us cannot fail.
        let _ = self.0.thread_set_mask();
    }
}

/// The signals this process may be ignoring, a bit each (signal 1 is the lowest); before anybody has asked, all of them.
static IGNORED: AtomicU64 = AtomicU64::new(u64::MAX);

/// For a process that was started with default dispositions (a `role`): since then Rust's runtime has come to ignore
/// SIGPIPE, and nobody ignores more.
pub fn started_with_defaults() {
    IGNORED.store(bit(libc::SIGPIPE), Ordering::Relaxed);
}

/// Asks the kernel which signals are ignored, so that a child about to execute need not touch each of them. To be called
/// before the child is made: it may not see our /proc. Not being told means that all are reset.
pub(crate) fn learn_ignored() {
    if IGNORED.load(Ordering::Relaxed) != u64::MAX {
        return;
    }
    let status = crate::file::read_made_up_at("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    if let Some(ignored) = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) {
        IGNORED.store(ignored, Ordering::Relaxed);
    }
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Default dispositions and an empty mask, as a program expects to be born. execve(2) itself resets what has a handler, and
/// keeps what is ignored (SIGPIPE by Rust, anything by whoever started us): only that is reset here.
pub fn reset() -> io::Result<()> {
    // SAFETY: the process is about to become another program and relies on no handler of its own.
    unsafe { reset_in_child() };
    Ok(())
}

/// The same by async-signal-safe calls alone.
///
/// # Safety
/// The caller must be a process (not a thread beside others) about to call execve.
pub(crate) unsafe fn reset_in_child() {
    let ignored = IGNORED.load(Ordering::Relaxed) & !bit(libc::SIGKILL) & !bit(libc::SIGSTOP);
    for signal in (1..=MAX).filter(|signal| ignored & bit(*signal) != 0) {
        // By number and not through libc, which keeps 32 and 33 to itself and would leave them ignored if we inherited that.
        // SAFETY: an all-zero `struct sigaction` of the kernel (handler, flags, restorer, 64-bit mask) is SIG_DFL with no flags.
        unsafe {
            let default = [0u64; 4];
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8usize,
            );
        }
    }
    // SAFETY: a zeroed set emptied by sigemptyset is valid input; the old mask is not asked for.
    unsafe {
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(parse("SIGTERM"), Some(15));
        assert_eq!(parse("term"), Some(15));
        assert_eq!(parse("15"), Some(15));
        assert_eq!(parse("SIGRTMIN+3"), Some(37));
        assert_eq!(parse("RTMAX-1"), Some(63));
        for wrong in ["", "SIG", "0", "65", "-1", "SIGNOPE", "RTMIN+31", "RTMAX-x"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        for number in 1..=MAX {
            assert_eq!(parse(&name(number)), Some(number), "{}", name(number));
        }
    }

    #[test]
    fn signals_arrive_on_the_descriptor() {
        let signals = Signals::new(&[libc::SIGUSR2]).unwrap();
        assert_eq!(signals.read().unwrap(), None);
        // SAFETY: raises a signal that this thread has just blocked.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
        assert_eq!(signals.read().unwrap(), Some(libc::SIGUSR2));
    }
}
