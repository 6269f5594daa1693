//! Staying with a process until it ends: its terminal, if it has one, and our signals, which are its.

use crate::failure::Failure;
use crate::interactive::{self, Aside, End, Proxy, Seat, Sitting};
use bundle::Readiness;
use engine::container::exec::ExecProcess;
use runtime::Started;

/// The exit code of the process. What it says of its readiness meanwhile is passed on.
pub(super) fn attend(process: Started, readiness: Option<&Readiness>) -> Result<u8, Failure> {
    let pidfd = rustix::io::fcntl_dupfd_cloexec(&process.pidfd, 0)
        .map_err(|e| Failure::system("share the process's handle")(e.into()))?;
    let forward = |name: &str| {
        if let Some(number) = sys::signal::parse(name) {
            // It may have ended in between.
            let _ = sys::process::pidfd_send_signal(&pidfd, number);
        }
    };
    let tty = process.terminal.is_some();
    let seat = Seat::at_process(
        ExecProcess {
            pid: process.pid,
            pidfd: process.pidfd,
            terminal: process.terminal,
        },
        tty,
    )?;
    let heard = || {
        // systemd may have stopped listening; the container is none the worse for it.
        let _ = readiness.map(Readiness::pass_on);
    };
    let aside = readiness.map(|readiness| Aside(readiness.fd(), &heard));
    let sitting = Sitting {
        tty,
        detach_keys: Vec::new(),
        proxy: Some(&Proxy(&forward)),
        aside: aside.as_ref(),
    };
    match interactive::sit(seat, &sitting)? {
        End::Exited(code) => Ok(code),
        End::Detached | End::Lost => Ok(0),
    }
}
