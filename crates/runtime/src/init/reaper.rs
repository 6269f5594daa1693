//! `--init`: PID 1 that forwards signals to the command, reaps orphans, and ends as the command ends.
//!
//! Source: tini's and Docker's behaviour for `docker run --init`; signal(7), pid_namespaces(7).

use crate::error::{InitError, OrInit};
use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use sys::process::{Alone, ExitStatus};
use sys::signal::{Set, Signals};

/// Signals the kernel raises for a fault of our own, and those nobody can catch, are not forwarded.
const NOT_FORWARDED: [i32; 10] = [4, 5, 6, 7, 8, 9, 11, 17, 19, 31];

/// Forks: returns in the command's process; the other stays as PID 1 and never returns.
pub(super) fn stay_or_return(alone: &Alone, terminal: bool) -> Result<(), InitError> {
    let error = |cause| InitError::Reaper { cause };
    let caught: Vec<i32> = (1..=sys::signal::MAX)
        .filter(|signal| *signal == 17 || !NOT_FORWARDED.contains(signal))
        .collect();
    // Before the fork, so that no signal falls between.
    let signals = Signals::new(&caught).because(error)?;
    match alone.fork().because(error)? {
        None => become_command(terminal).because(error),
        Some(child) => {
            // This process keeps the runtime's memory. Nobody in the container may look into it.
            let _ = sys::process::set_dumpable(false);
            if terminal {
                // Held here, the terminal would never be seen to close.
                let _ = drop_stdio();
            }
            // The caller waits for the end of the socket, which only the command may hold now; and nothing of the host that the
            // runtime had open may be found under /proc/1/fd.
            sys::program::close_all_but(3, &[signals.as_fd()], || stay(child, &signals))
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

fn drop_stdio() -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    // The container's /dev/null; a root without one leaves its directory in that place.
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .or_else(|_| rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))?;
    (0..3).try_for_each(|number| sys::program::dup_onto(null.as_fd(), number))
}

fn stay(command: i32, signals: &Signals) -> Infallible {
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
