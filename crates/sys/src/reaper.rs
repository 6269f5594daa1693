//! Children that nobody waits for, in a process that stays.
//!
//! A command ends soon, and its children go to the host's init. A server would keep each that ended as a zombie. Ignoring SIGCHLD is no
//! way out: waitid(2) would then know no exit status of the children that somebody does wait for. So one thread waits for those that are
//! left to it, by their handles, and for nobody else.

use crate::poll::{PollFd, PollFlags};
use crate::process::{self, Child};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, OnceLock, PoisonError};

static REAPER: OnceLock<Reaper> = OnceLock::new();

struct Reaper {
    left: Mutex<Vec<Child>>,
    wake: OwnedFd,
}

/// From here on those that are left are waited for.
pub fn start() -> io::Result<()> {
    if REAPER.get().is_some() {
        return Ok(());
    }
    let (woken, wake) = crate::pipe::new()?;
    rustix::io::ioctl_fionbio(&woken, true)?;
    rustix::io::ioctl_fionbio(&wake, true)?;
    let left = Mutex::default();
    if REAPER.set(Reaper { left, wake }).is_ok() {
        std::thread::Builder::new()
            .name("reaper".into())
            .stack_size(64 * 1024)
            .spawn(move || reap(&woken))?;
    }
    Ok(())
}

/// Nobody is going to wait for this child.
pub fn leave(child: Child) {
    let Some(reaper) = REAPER.get() else {
        return;
    };
    let left = reaper.left.lock();
    left.unwrap_or_else(PoisonError::into_inner).push(child);
    // A full pipe wakes too.
    let _ = rustix::io::write(&reaper.wake, &[0]);
}

fn reap(woken: &OwnedFd) {
    let mut children: Vec<Child> = Vec::new();
    loop {
        let fds = children.iter().map(|child| child.pidfd.as_fd());
        let fds = fds.chain([woken.as_fd()]);
        let mut fds: Vec<_> = fds
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        if crate::poll::wait(&mut fds, None).is_err() {
            // Out of memory: not for good.
            std::thread::sleep(std::time::Duration::from_secs(1));
            continue;
        }
        let ended: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ended = ended.into_iter();
        children.retain(|child| {
            let has_ended = ended.next().unwrap_or(false);
            if has_ended {
                let _ = process::wait(&child.pidfd);
            }
            !has_ended
        });
        let mut noise = [0; 64];
        while rustix::io::read(woken, &mut noise).is_ok_and(|n| n > 0) {}
        if let Some(reaper) = REAPER.get() {
            let left = reaper.left.lock();
            children.append(&mut left.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(pid: i32) -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(stat.rsplit(") ").next()?.chars().take(1).collect())
    }

    #[test]
    fn who_is_left_is_no_zombie_and_who_is_waited_for_tells_how_it_ended() {
        start().unwrap();
        let shell = |script: &str| {
            let role = crate::role::tests::shell_role(script);
            crate::role::tests::start(&role)
        };
        let kept = shell("exit 5");
        let left = shell("exit 6");
        let pid = left.pid;
        leave(left);
        while state(pid).is_some() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(
            process::wait(&kept.pidfd).unwrap(),
            process::ExitStatus::Code(5)
        );
    }
}
