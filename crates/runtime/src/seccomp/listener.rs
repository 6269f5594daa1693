//! `SCMP_ACT_NOTIFY`: the descriptor at which calls wait goes to the listener that the profile names.
//!
//! Init cannot hand it over itself: from the moment the filter holds, every call of its own may wait for the very listener that
//! does not have the descriptor yet. So it tells its caller before (its pidfd, and what the listener is to be told), loads, and
//! then only writes a number and reads the answer; the caller takes the descriptor out of init and delivers it. That is why a
//! profile may ask about every call but `write` (see `check`).
//! Source: seccomp_unotify(2), pidfd_getfd(2), runtime-spec `config-linux.md` "Container Process State".

use crate::error::{InitError, OrInit};
use crate::hooks::State;
use crate::protocol;
use oci_spec::runtime::{ContainerProcessState, ContainerState, LinuxSeccomp, SECCOMP_FD_NAME};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use thiserror::Error;

/// The version of this structure, as the specification shows it; that of the container is in its state.
const STRUCTURE: &str = "0.2.0";

/// A filter ready to be loaded, and who listens.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) program: sys::seccomp::Program,
    pub(crate) listener: Option<Listener>,
}

/// Where the descriptor is to go, and what is told with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Listener {
    path: PathBuf,
    state: ContainerProcessState,
}

impl Listener {
    /// `None` for a profile without one.
    pub(crate) fn of(
        profile: &LinuxSeccomp,
        state: Option<&State>,
    ) -> Result<Option<Self>, super::Error> {
        let Some(path) = profile.listener_path() else {
            return Ok(None);
        };
        let mut container = state.ok_or(super::Error::NoState)?.clone();
        container.set_status(ContainerState::Creating);
        let mut told = ContainerProcessState::default();
        told.set_version(STRUCTURE.to_owned())
            .set_fds(vec![SECCOMP_FD_NAME.to_owned()])
            .set_metadata(profile.listener_metadata().clone())
            .set_state(container);
        Ok(Some(Self {
            path: path.clone(),
            state: told,
        }))
    }
}

impl Filter {
    pub(crate) fn silent(program: sys::seccomp::Program) -> Self {
        Self {
            program,
            listener: None,
        }
    }

    /// In init: from here on the calls of this process are filtered.
    pub(crate) fn load(&self, socket: &OwnedFd) -> Result<(), InitError> {
        let error = |cause| InitError::Seccomp { cause };
        let Some(listener) = &self.listener else {
            return self.program.load().because(error);
        };
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let pidfd = sys::process::pidfd_open(own).because(error)?;
        protocol::send_filtering(socket, listener, pidfd.as_fd()).because(error)?;
        drop(pidfd);
        let waiting = self.program.load_with_listener().because(error)?;
        protocol::tell_filtered(socket, waiting.as_fd()).because(error)
    }
}

/// What went wrong between init and the listener, on the caller's side.
#[derive(Debug, Error)]
pub enum DeliveryError {
    #[error("cannot reach the seccomp listener at {path}", path = path.display())]
    Connect {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot take the seccomp listener's descriptor out of init")]
    Take(#[source] io::Error),
    #[error("cannot hand the descriptor to the seccomp listener at {path}", path = path.display())]
    Send {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The caller's side, between init's two messages. The listener is reached before the filter holds.
#[derive(Debug)]
pub(crate) struct Delivery {
    listener: Listener,
    init: OwnedFd,
    socket: OwnedFd,
}

impl Delivery {
    pub(crate) fn prepare(listener: Listener, init: OwnedFd) -> Result<Self, DeliveryError> {
        let socket =
            sys::socket::connect(&listener.path, sys::socket::Type::STREAM).map_err(|source| {
                DeliveryError::Connect {
                    path: listener.path.clone(),
                    source,
                }
            })?;
        Ok(Self {
            listener,
            init,
            socket,
        })
    }

    /// Sends the descriptor that init has under this number.
    pub(crate) fn finish(mut self, number: i32) -> Result<(), DeliveryError> {
        let pid = sys::process::pid_of(&self.init).map_err(DeliveryError::Take)?;
        let flags = rustix::process::PidfdGetfdFlags::empty();
        let waiting = rustix::process::pidfd_getfd(&self.init, number, flags)
            .map_err(|e| DeliveryError::Take(e.into()))?;
        self.listener.state.set_pid(pid);
        serde_json::to_vec(&self.listener.state)
            .map_err(io::Error::from)
            .and_then(|text| sys::socket::send(&self.socket, &text, &[waiting.as_fd()]))
            .map_err(|source| DeliveryError::Send {
                path: self.listener.path,
                source,
            })
    }
}
