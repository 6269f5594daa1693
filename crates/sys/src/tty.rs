//! Terminals: pairs from a given devpts, window size, raw mode, single keys.
//!
//! Source: pts(4), ioctl_tty(2), termios(3).

use crate::path::{Magic, is_on};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, OptionalActions, Termios};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub use rustix::termios::{Winsize, isatty};

/// The two ends of a new terminal.
#[derive(Debug)]
pub struct Pty {
    pub master: OwnedFd,
    pub slave: OwnedFd,
    /// Its number in that devpts: `/dev/pts/<number>`.
    pub number: u32,
}

/// Makes a terminal in the devpts whose root directory is given. A directory that merely looks like one is refused.
pub fn open_in(devpts: BorrowedFd<'_>) -> io::Result<Pty> {
    if !is_on(devpts, Magic::Devpts)? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a devpts file system",
        ));
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let master = rustix::fs::openat(devpts, "ptmx", flags, Mode::empty())?;
    if !is_on(&master, Magic::Devpts)? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "ptmx is not the device of its devpts",
        ));
    }
    rustix::pty::unlockpt(&master)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(
        &master,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )?;
    let number = number(&master)?;
    Ok(Pty {
        master,
        slave,
        number,
    })
}

fn number(master: &OwnedFd) -> io::Result<u32> {
    use std::os::fd::AsRawFd;
    let mut number: libc::c_uint = 0;
    // SAFETY: TIOCGPTN writes one unsigned int, which lives through the call.
    if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(number)
}

/// Makes the terminal the controlling one of this session, which must have none.
pub fn take_control(slave: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(slave)?)
}

pub fn set_size(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    Ok(rustix::termios::tcsetwinsize(
        terminal,
        Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )?)
}

/// Rows and columns.
pub fn size(terminal: impl AsFd) -> io::Result<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(terminal)?;
    Ok((size.ws_row, size.ws_col))
}

/// The terminal in raw mode until dropped.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    pub fn enter(terminal: impl AsFd) -> io::Result<Self> {
        let terminal = rustix::io::fcntl_dupfd_cloexec(terminal, 0)?;
        let before = rustix::termios::tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Self { terminal, before })
    }
}

/// The terminal in a mode where keys come at once and are not echoed, until dropped. Ctrl-C still is a signal.
#[derive(Debug)]
pub struct KeyMode {
    /// Its end restores the terminal.
    _restore: RawMode,
}

impl KeyMode {
    pub fn enter(terminal: impl AsFd) -> io::Result<Self> {
        let terminal = rustix::io::fcntl_dupfd_cloexec(terminal, 0)?;
        let before = rustix::termios::tcgetattr(&terminal)?;
        let mut keys = before.clone();
        keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &keys)?;
        Ok(Self {
            _restore: RawMode { terminal, before },
        })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that has gone away needs no restoring.
        let _ = rustix::termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_directories_are_refused() {
        let directory =
            rustix::fs::open("/etc", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        assert!(open_in(directory.as_fd()).is_err());
    }

    #[test]
    fn raw_mode_is_undone() {
        let devpts = crate::mount::new_filesystem(
            "devpts",
            &[("ptmxmode", Some("0666"))],
            crate::mount::Flags::empty(),
        )
        .unwrap();
        let pty = open_in(devpts.as_fd()).unwrap();
        set_size(&pty.master, 30, 100).unwrap();
        assert_eq!(size(&pty.slave).unwrap(), (30, 100));
        let before = rustix::termios::tcgetattr(&pty.slave).unwrap().local_modes;
        let raw = RawMode::enter(&pty.slave).unwrap();
        assert_ne!(
            rustix::termios::tcgetattr(&pty.slave).unwrap().local_modes,
            before
        );
        drop(raw);
        assert_eq!(
            rustix::termios::tcgetattr(&pty.slave).unwrap().local_modes,
            before
        );
    }
}
