//! `exec`: a further process in a container.

use crate::container::Container;
use crate::create::{limits_by_our_rights, send_terminal, write_pid_file};
use crate::error::{Error, Result};
use crate::hooks;
use crate::state::Status;
use oci_spec::runtime::Process;
use runtime::{ExecRequest, Keyring, Seccomp, Started, Stdio};
use std::os::fd::AsFd;
use std::path::Path;

/// What a caller chooses beside the process.
#[derive(Debug)]
pub struct Wish<'a> {
    pub process: &'a Process,
    pub stdio: Stdio<'a>,
    pub console_socket: Option<&'a Path>,
    pub pid_file: Option<&'a Path>,
    pub preserve_fds: u32,
    pub ignore_paused: bool,
    /// A group below the container's own.
    pub cgroup: Option<&'a str>,
}

/// The process is a child of the caller.
pub fn exec(container: &Container, wish: &Wish<'_>) -> Result<Started> {
    runtime::validate::process(wish.process)?;
    match container.status() {
        Status::Stopped => return Err(Error::ExecStopped(container.id().to_owned())),
        Status::Paused if !wish.ignore_paused => {
            return Err(Error::ExecPaused(container.id().to_owned()));
        }
        _ => {}
    }
    let init = container
        .process()
        .ok_or_else(|| Error::ExecStopped(container.id().to_owned()))?;
    let group = match wish.cgroup {
        None => container.cgroup()?,
        Some(below) => container.cgroup()?.subgroup(below)?,
    };
    let spec = container.spec()?;
    let linux = spec.linux().as_ref();
    let profile = linux.and_then(|linux| linux.seccomp().as_ref());
    let state = profile
        .and_then(|profile| profile.listener_path().as_ref())
        .map(|_| hooks::with_pid(container.record(), Some(container.record().pid)));
    let mut started = runtime::exec(&ExecRequest {
        pidfd: init.as_fd(),
        process: wish.process,
        user: None,
        stdio: wish.stdio,
        cgroup: Some(&group),
        seccomp: profile.map_or(Seccomp::Spec, Seccomp::Profile),
        pass_fds: wish.preserve_fds,
        keyring: match container.record().keeps_keyring {
            true => Keyring::Inherited,
            false => Keyring::New,
        },
        limits: limits_by_our_rights(),
        linux,
        state: state.as_ref(),
    })?;
    if let Some(socket) = wish.console_socket
        && let Some(master) = started.terminal.take()
    {
        send_terminal(socket, &master)?;
    }
    if let Some(file) = wish.pid_file {
        write_pid_file(file, started.pid)?;
    }
    Ok(started)
}
