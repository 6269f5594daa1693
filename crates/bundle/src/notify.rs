//! Readiness: a container made by a service of systemd tells its starter that it is ready, and the starter tells systemd.
//!
//! The service's own socket would be of no use inside: systemd believes the service's processes only, and the container's are in
//! another control group. So the container finds at the same path a directory with a socket of ours, and `NOTIFY_SOCKET` names
//! that. `create` makes the directory; who starts the container reads the socket. `READY=1` is all that is passed on, whatever
//! else the container says.
//! Source: sd_notify(3); crun(1); runc `docs/systemd.md`.

use crate::error::{Error, Result};
use oci_spec::runtime::{MountBuilder, Spec};
use rustix::fs::{AtFlags, Mode};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::poll::{PollFd, PollFlags};
use sys::socket::Type;

/// Below the container's own directory; shown to it without anything else of that.
const DIRECTORY: &str = "notify";
const SOCKET: &str = "notify";
const READY: &[u8] = b"READY=1";

/// What the container is shown for the socket `host`: its directory is made, below that of the container.
pub(crate) fn prepare(spec: &mut Spec, directory: &Path, host: &Path) -> Result<()> {
    let ours = directory.join(DIRECTORY);
    rustix::fs::mkdir(&ours, Mode::from_raw_mode(0o755))
        .map_err(|e| Error::file("make the directory", &ours)(e.into()))?;
    let options = ["bind", "ro", "nosuid", "nodev", "noexec"];
    let mount = MountBuilder::default()
        .destination(host)
        .typ("bind")
        .source(ours)
        .options(options.map(str::to_owned))
        .build();
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    // Every property is set.
    mounts.extend(mount.ok());
    spec.set_mounts(Some(mounts));
    if let Some(process) = spec.process_mut() {
        let mut env = process.env().clone().unwrap_or_default();
        env.retain(|variable| !variable.starts_with("NOTIFY_SOCKET="));
        env.push(format!("NOTIFY_SOCKET={}", host.join(SOCKET).display()));
        process.set_env(Some(env));
    }
    Ok(())
}

/// The socket that a container says it is ready at.
#[derive(Debug)]
pub struct Readiness {
    socket: OwnedFd,
    host: PathBuf,
}

impl Readiness {
    /// `None` for a container that was made without.
    pub(crate) fn listen(container: BorrowedFd<'_>, host: &Path) -> Result<Option<Self>> {
        let failed = |source| Error::File {
            action: "make the socket for",
            path: host.to_owned(),
            source,
        };
        let directory = match sys::path::open_in_root(
            container,
            Path::new(DIRECTORY),
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY,
        ) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        // One that a starter has left who was killed.
        let _ = rustix::fs::unlinkat(&directory, SOCKET, AtFlags::empty());
        // By way of the descriptor: an address holds at most 107 bytes.
        let address = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        let socket = sys::socket::receiver(Path::new(&address), 0o666).map_err(failed)?;
        Ok(Some(Self {
            socket,
            host: host.to_owned(),
        }))
    }

    /// Readable when the container has said something.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes what the container has said; true when that was that it is ready, which is passed on.
    pub fn pass_on(&self) -> io::Result<bool> {
        let mut ready = false;
        let mut buffer = [0; 4096];
        loop {
            match sys::socket::try_receive(&self.socket, &mut buffer) {
                Ok(received) => {
                    let mut lines = buffer[..received.length].split(|byte| *byte == b'\n');
                    ready |= lines.any(|line| line == READY);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // Longer than anything that would concern us.
                Err(e) if e.raw_os_error() == Some(90) => {}
                Err(e) => return Err(e),
            }
        }
        if ready {
            let host = sys::socket::connect(&self.host, Type::DGRAM)?;
            sys::socket::send(host, READY, &[])?;
        }
        Ok(ready)
    }

    /// Waits until the container is ready or its first process has ended.
    pub fn wait(&self, process: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            let mut fds =
                [self.fd(), process].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            sys::poll::wait(&mut fds, None)?;
            let ended = !fds[1].revents().is_empty();
            if self.pass_on()? || ended {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readiness_is_passed_on() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("host");
        let systemd = sys::socket::receiver(&host, 0o600).unwrap();
        let mut spec: Spec =
            serde_json::from_str(r#"{"ociVersion":"1.2.0","process":{"cwd":"/","user":{}}}"#)
                .unwrap();
        prepare(&mut spec, dir.path(), &host).unwrap();
        let told = spec.process().as_ref().unwrap().env().clone().unwrap();
        assert_eq!(told, [format!("NOTIFY_SOCKET={}/notify", host.display())]);

        let container = sys::mount::open_root(dir.path()).unwrap();
        let readiness = Readiness::listen(container.as_fd(), &host)
            .unwrap()
            .unwrap();
        let say = |text: &[u8]| {
            let path = dir.path().join("notify/notify");
            let socket = sys::socket::connect(&path, Type::DGRAM).unwrap();
            sys::socket::send(socket, text, &[]).unwrap();
        };
        say(b"STATUS=NOT READY=1\n");
        assert!(!readiness.pass_on().unwrap());
        say(b"MAINPID=1\nREADY=1\n");
        assert!(readiness.pass_on().unwrap());
        let mut buffer = [0; 64];
        let heard = sys::socket::receive(&systemd, &mut buffer).unwrap();
        assert_eq!(&buffer[..heard.length], READY);
    }

    #[test]
    fn a_container_made_without_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let container = sys::mount::open_root(dir.path()).unwrap();
        let readiness = Readiness::listen(container.as_fd(), Path::new("/x")).unwrap();
        assert!(readiness.is_none());
    }
}
