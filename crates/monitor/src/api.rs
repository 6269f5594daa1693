//! The API's socket of a container: held listening, with a server behind it only while somebody asks.
//!
//! The server is a role like the monitor, executed with the listening descriptor. It ends by itself when nothing was asked for a
//! while; then, or when it was killed, the next connection starts another.

use crate::interest::{Interest, Who};
use engine::Context;
use engine::container::api_socket::{self, LISTENER, ROLE};
use engine::container::record::ContainerRecord;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use sys::process::Child;
use sys::role::{Role, Session};

/// One that ends sooner does not come to answer: those who wait are let go, and not waited on for ever.
const STILLBORN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct ApiSocket {
    listener: OwnedFd,
    argv: Vec<CString>,
    server: Option<(Child, Instant)>,
}

impl ApiSocket {
    /// Of a container that is about to run, if it mounts the socket and no daemon of the host's answers.
    pub(crate) fn open(ctx: &Context, container: &ContainerRecord) -> engine::Result<Option<Self>> {
        let listener = api_socket::listen(ctx, container)?;
        listener
            .map(|listener| Self::new(ctx, listener))
            .transpose()
    }

    /// Of a run that another monitor began: the socket it held is dead, and a new one is mounted over it.
    pub(crate) fn taken_over(
        ctx: &Context,
        container: &ContainerRecord,
        pid: i32,
    ) -> engine::Result<Option<Self>> {
        if !api_socket::exists(ctx, container) {
            return Ok(None);
        }
        let listener = api_socket::listen_again(ctx, container)?;
        api_socket::mount_again(ctx, container, pid)?;
        Self::new(ctx, listener).map(Some)
    }

    fn new(ctx: &Context, listener: OwnedFd) -> engine::Result<Self> {
        Ok(Self {
            listener,
            argv: ctx.role_arguments(ROLE, &[])?,
            server: None,
        })
    }

    pub(crate) fn interest<'a>(&'a self, interest: &mut Interest<'a>) {
        match &self.server {
            None => interest.readable(self.listener.as_fd(), Who::ApiClient),
            Some((server, _)) => interest.readable(server.pidfd.as_fd(), Who::ApiServer),
        }
    }

    /// Somebody connects.
    pub(crate) fn called(&mut self) {
        match self.start() {
            Ok(server) => self.server = Some((server, Instant::now())),
            Err(_) => self.let_go(),
        }
    }

    fn start(&self) -> io::Result<Child> {
        sys::role::spawn(&Role {
            argv: self.argv.clone(),
            // Other runtimes are found by it.
            env: vec![c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
            fds: vec![(self.listener.as_fd(), LISTENER)],
            session: Session::Own,
        })
    }

    /// The server ended: nothing was asked, or it was killed.
    pub(crate) fn server_ended(&mut self) {
        let Some((server, since)) = self.server.take() else {
            return;
        };
        let _ = sys::process::wait(&server.pidfd);
        if since.elapsed() < STILLBORN {
            self.let_go();
        }
    }

    /// Whoever waits for a server that cannot be had hears so.
    fn let_go(&self) {
        while let Ok(Some(_client)) = sys::socket::accept(&self.listener) {}
    }
}

impl Drop for ApiSocket {
    fn drop(&mut self) {
        if let Some((server, _)) = &self.server {
            // It answers what it is about to, and ends.
            let _ = sys::process::pidfd_send_signal(&server.pidfd, 15);
        }
    }
}
