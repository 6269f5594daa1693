//! `--init`: PID 1 that forwards signals to the command, reaps orphans, and ends as the command ends.
//!
//! Source: tini's and Docker's behaviour for `docker run --init`; signal(7), pid_namespaces(7).

use crate::error::{InitError, OrInit};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use sys::process::{Alone, ExitStatus};
use sys::signal::{Set, Signals};

/// Signals the kernel raises for a fault of our own, and those nobody can catch, are not forwarded.
const NOT_FORWARDED: [i32; 10] = [4, 5, 6, 7, 8, 9, 11, 17, 19, 31];

/// Forks: returns in the command's process; the other stays as PID 1 and never returns.
pub(super) fn stay_or_return(
    alone: &Alone,
    terminal: bool,
    socket: &OwnedFd,
) -> Result<(), InitError> {
    let error = |cause| InitError::Reaper { cause };
    let caught: Vec<i32> = (1..=sys::signal::MAX)
        .filter(|signal| *signal == 17 || !NOT_FORWARDED.contains(signal))
        .collect();
    // Before the fork, so that no signal falls between.
    let signals = Signals::new(&caught).because(error)?;
    match alone.fork().because(error)? {
        None => become_command(terminal).because(error),
        Some(child) => {
            // The caller waits for the end of this socket: only the command may hold it now.
            // Both numbers stay valid; what they refer to is replaced.
            let _ = replace_with_null(socket);
            if terminal {
                for number in 0..3 {
                    let _ = replace_number_with_null(number);
                }
            }
            stay(child, &signals)
        }
    }
}

/// A process group of its own, in the foreground of the terminal: a signal to the group does not hit PID 1 twice.
fn become_command(terminal: bool) -> io::Result<()> {
    rustix::process::setpgid(None, None)?;
    if terminal {
        // tcsetpgrp from the background raises SIGTTOU; all signals are still blocked here.
        Set::all().block()?;
        rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid())?;
    }
    Ok(())
}

fn replace_with_null(fd: &OwnedFd) -> io::Result<()> {
    replace_number_with_null(fd.as_raw_fd())
}

fn replace_number_with_null(number: i32) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::AsFd;
    // The container's /dev/null; a root without one leaves a directory in its place.
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, Mode::empty())
        .or_else(|_| rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))?;
    sys::process::dup_onto(null.as_fd(), number)
}

fn stay(command: i32, signals: &Signals) -> ! {
    loop {
        let mut fds = [sys::poll::PollFd::new(signals, sys::poll::PollFlags::IN)];
        let _ = sys::poll::wait(&mut fds, None);
        while let Ok(Some(signal)) = signals.read() {
            if signal != 17 {
                // It may just have ended: then there is nobody to tell.
                let _ = sys::process::kill(command, signal);
            }
        }
        while let Ok(Some((pid, status))) = sys::process::reap_any() {
            if pid == command {
                end_as(status);
            }
        }
    }
}

/// The kernel kills all that is left in the namespace when PID 1 goes.
fn end_as(status: ExitStatus) -> ! {
    sys::process::exit_now(status.code())
}
