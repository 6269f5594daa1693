//! The socket one mount shows: requests that list and sign go to who signs, all others are refused here, as BuildKit
//! refuses them: a step may use the caller's keys, but not add to them, remove or lock them.
//!
//! Threads serve it, in the process of the build: the sandbox has one thread, and must not see the keys.

use super::wire::{self, Reader};
use super::{Key, Signer};
use crate::error::Cause;
use rustix::fs::{Gid, Mode, Uid};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use sys::poll::{PollFd, PollFlags};

/// The socket's name in its directory.
pub(crate) const NAME: &str = "agent";

/// Connections served at a time; a step that opens more waits for nothing: they are closed.
const CONNECTIONS: usize = 32;

/// A socket that is served as long as this lives.
#[derive(Debug)]
pub(crate) struct Served {
    /// The thread ends when this does.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// Who may connect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

impl Served {
    /// Makes the socket in the directory, which nobody else has.
    pub(crate) fn start(dir: &Path, owner: Owner, signer: Arc<Signer>) -> Result<Self, Cause> {
        let listener =
            listen(dir, owner).map_err(Cause::io("make the socket of an SSH agent in", dir))?;
        let (ended, stop) = sys::pipe::new().map_err(Cause::io("make a pipe for", dir))?;
        let thread = std::thread::Builder::new()
            .name("ssh-agent".to_owned())
            .spawn(move || accept(&listener, &ended, &signer))
            .map_err(Cause::io("serve the SSH agent in", dir))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Those who were connected are of the sandbox, which has ended: their threads end with the connections.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Through the directory's handle: its path may be longer than an address of a socket can be.
fn listen(dir: &Path, owner: Owner) -> io::Result<OwnedFd> {
    let (dir, handle) = short(dir)?;
    let path = dir.join(NAME);
    let socket = sys::socket::listen(&path, rustix::net::SocketType::STREAM)?;
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    rustix::fs::chown(&path, Some(uid), Some(gid))?;
    rustix::fs::chmod(&path, Mode::from_raw_mode(owner.mode))?;
    drop(handle);
    Ok(socket)
}

fn short(dir: &Path) -> io::Result<(PathBuf, OwnedFd)> {
    use std::os::fd::AsRawFd;
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let handle = rustix::fs::open(dir, flags, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
    Ok((path, handle))
}

fn accept(listener: &OwnedFd, ended: &OwnedFd, signer: &Arc<Signer>) {
    // Each connection has one reference more.
    let count = Arc::new(());
    loop {
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(ended, PollFlags::IN),
        ];
        if sys::poll::wait(&mut fds, None).is_err() || !fds[1].revents().is_empty() {
            return;
        }
        let connection = match sys::socket::accept(listener) {
            Ok(Some(connection)) => connection,
            Ok(None) => continue,
            // Without descriptors left, asking again and again would help nobody.
            Err(_) => return,
        };
        if Arc::strong_count(&count) > CONNECTIONS {
            continue;
        }
        let (signer, counted) = (Arc::clone(signer), Arc::clone(&count));
        let connection = UnixStream::from(connection);
        let serve = move || {
            // It may break off as it likes: whoever asked hears of it by the closed connection.
            let _ = serve(connection, &signer);
            drop(counted);
        };
        let _ = std::thread::Builder::new().spawn(serve);
    }
}

fn serve(mut client: UnixStream, signer: &Signer) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let mut agent = match signer {
        Signer::Agent(path) => Some(connect(path)?),
        Signer::Keys(_) => None,
    };
    while let Some(request) = wire::read(&mut client)? {
        let answer = match (signer, &mut agent) {
            _ if !is_allowed(&request) => vec![wire::FAILURE],
            (Signer::Keys(keys), _) => answer(keys, &request),
            (Signer::Agent(_), Some(agent)) => {
                wire::write(agent, &request)?;
                let answer = wire::read(agent)?;
                answer.ok_or(io::ErrorKind::UnexpectedEof)?
            }
            (Signer::Agent(_), None) => vec![wire::FAILURE],
        };
        wire::write(&mut client, &answer)?;
    }
    Ok(())
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return UnixStream::connect(path);
    };
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let (dir, _handle) = short(dir)?;
    UnixStream::connect(dir.join(name))
}

fn is_allowed(request: &[u8]) -> bool {
    match request.first() {
        // It has nothing but its type.
        Some(&wire::REQUEST_IDENTITIES) => request.len() == 1,
        Some(&wire::SIGN_REQUEST) => true,
        _ => false,
    }
}

/// What the agent of the key files says.
pub(super) fn answer(keys: &[Key], request: &[u8]) -> Vec<u8> {
    let answer = match request.split_first() {
        Some((&wire::REQUEST_IDENTITIES, _)) => Some(identities(keys)),
        Some((&wire::SIGN_REQUEST, rest)) => signature(keys, rest),
        _ => None,
    };
    answer.unwrap_or_else(|| vec![wire::FAILURE])
}

fn identities(keys: &[Key]) -> Vec<u8> {
    let mut answer = vec![wire::IDENTITIES_ANSWER];
    answer.extend((keys.len() as u32).to_be_bytes());
    for key in keys {
        wire::put_string(&mut answer, key.public());
        wire::put_string(&mut answer, key.comment.as_bytes());
    }
    answer
}

fn signature(keys: &[Key], request: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(request);
    let (public, data, flags) = (reader.string()?, reader.string()?, reader.number()?);
    let key = keys.iter().find(|key| key.public() == public)?;
    let mut answer = vec![wire::SIGN_RESPONSE];
    wire::put_string(&mut answer, &key.sign(data, flags)?);
    Some(answer)
}

/// So that a mount can say which directory and which name.
pub(crate) fn path() -> PathBuf {
    PathBuf::from(NAME)
}
