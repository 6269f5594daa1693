//! The socket a server listens on, and what tells it to end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Why nobody can listen there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("somebody answers at {} already", .0.display())]
    Answered(PathBuf),
    #[error("{} is no socket: it is left alone", .0.display())]
    Other(PathBuf),
    #[error("cannot listen at {}", path.display())]
    Listen { path: PathBuf, source: io::Error },
}

/// A socket for root, and for the group `docker` if there is one: whoever may connect owns the host. A dead one is replaced.
pub fn listen(path: &Path) -> Result<OwnedFd, Error> {
    let failed = |source| Error::Listen {
        path: path.to_owned(),
        source,
    };
    if let Ok(there) = path.symlink_metadata() {
        if !there.file_type().is_socket() {
            return Err(Error::Other(path.to_owned()));
        }
        if engine::container::api_socket::is_answered(path) {
            return Err(Error::Answered(path.to_owned()));
        }
        std::fs::remove_file(path).map_err(failed)?;
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // Nobody else's from its first moment; then the group's.
    let socket = sys::socket::listen(path, sys::socket::Type::STREAM).map_err(failed)?;
    if let Some(group) = engine::container::api_socket::docker_group() {
        std::os::unix::fs::chown(path, None, Some(group)).map_err(failed)?;
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
    std::fs::set_permissions(path, mode).map_err(failed)?;
    Ok(socket)
}

/// Becomes readable when the process is told to end (SIGTERM, SIGINT). To be called before there are threads.
pub fn until_told() -> io::Result<OwnedFd> {
    let signals = sys::signal::Signals::new(&[2, 15])?;
    signals.as_fd().try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_server_and_what_is_no_socket_are_left_alone() {
        let dir = std::env::temp_dir().join(format!("dockless-listen-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("api.sock");
        let first = listen(&path).unwrap();
        assert!(matches!(listen(&path), Err(Error::Answered(_))));
        drop(first);
        let second = listen(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o660);
        drop(second);
        let file = dir.join("file");
        std::fs::File::create(&file).unwrap();
        assert!(matches!(listen(&file), Err(Error::Other(_))));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
