//! A further process in a running container.
//!
//! All namespaces are entered by the pidfd of the container's init in one call; the pid namespace by the caller, for the child.
//! Source: setns(2) with a pidfd (Linux 5.8); CVE-2016-9962, CVE-2019-5736, CVE-2024-21626 for what must not be inherited.

use crate::error::{Error, InitError, OrInit};
use crate::hooks::State;
use crate::init::birth::{self, Birth};
use crate::init::identity;
use crate::init::{own_executable, terminal_in_running};
use crate::namespaces::{self, Entered};
use crate::protocol;
use crate::request::{Keyring, Limits, Reaper, Seccomp, Stdio, UserSpec};
use crate::seccomp::Filter;
use crate::spawn::{Pending, Started, clone_beside};
use crate::{Cgroup, handover, scheduling, seccomp};
use oci_spec::runtime::{Linux, Process};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::cpuset::Mask;
use sys::process::{Alone, Cloned};

/// A process to be started inside.
#[derive(Debug)]
pub struct ExecRequest<'a> {
    /// The container's init.
    pub pidfd: BorrowedFd<'a>,
    pub process: &'a Process,
    pub user: Option<UserSpec>,
    pub stdio: Stdio<'a>,
    pub cgroup: Option<&'a Cgroup>,
    /// `Spec` stands for no filter here: a process alone has none. Pass the container's.
    pub seccomp: Seccomp<'a>,
    /// So many descriptors from 3 on are the command's too.
    pub pass_fds: u32,
    pub keyring: Keyring,
    pub limits: Limits,
    /// `linux` of the container's configuration: what holds for all of its processes.
    pub linux: Option<&'a Linux>,
    /// What the listener of the seccomp profile is told.
    pub state: Option<&'a State>,
}

/// Starts the process and returns when it executes. It is a child of the caller.
pub fn exec(request: &ExecRequest<'_>) -> Result<Started, Error> {
    let filter = seccomp::filter(request.seccomp, Some(request.process), request.state)?;
    let (ours, theirs) = sys::socket::seqpacket_pair().map_err(Error::Socket)?;
    let group = request.cgroup.and_then(|cgroup| cgroup.v2_fd());
    let affinity = InitialAffinity::set(request.process)?;
    match clone_into(request, group)? {
        Cloned::Parent(child) => {
            drop(theirs);
            drop(affinity);
            Pending::new(child, ours).start()
        }
        Cloned::Child(alone) => {
            // The processors are this process's now.
            std::mem::forget(affinity);
            drop(ours);
            let error = match enter_and_execute(request, filter.as_ref(), &theirs, &alone) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            // The exit code says the same in short if nobody listens.
            let _ = protocol::send_failed(&theirs, &error);
            sys::process::exit_now(error.exit_code())
        }
    }
}

/// A v2 group that has handed its controllers on to children of its own (systemd or a runtime inside) takes no process itself
/// and says EBUSY: then the process goes where the container's init has gone.
fn clone_into(request: &ExecRequest<'_>, group: Option<BorrowedFd<'_>>) -> Result<Cloned, Error> {
    match clone_beside(Some(request.pidfd), 0, group) {
        Err(Error::Clone(e)) if e.raw_os_error() == Some(16) && group.is_some() => {
            let cgroup = request.cgroup.ok_or(Error::Protocol)?;
            let moved = sys::process::pid_of(request.pidfd).and_then(|pid| cgroup.open_v2_of(pid));
            clone_beside(
                Some(request.pidfd),
                0,
                Some(moved.map_err(Error::Gone)?.as_fd()),
            )
        }
        other => other,
    }
}

/// What needs rights over the host, or its procfs, before the container is entered.
fn use_the_hosts_rights(request: &ExecRequest<'_>) -> Result<(), InitError> {
    let process = request.process;
    scheduling::apply(process, 0)?;
    if let Some(affinity) = process.exec_cpu_affinity() {
        set_affinity(affinity.cpu_affinity_final())?;
    }
    handover::raise_limits(process, 0);
    if !identity::has_settings(process) {
        return Ok(());
    }
    let proc = sys::path::open_proc().because(|cause| InitError::Prepare { cause })?;
    identity::write_settings(process, proc.as_fd(), request.limits)
}

fn set_affinity(list: &Option<String>) -> Result<(), InitError> {
    let Some(list) = list.as_ref().filter(|list| !list.is_empty()) else {
        return Ok(());
    };
    let refused = |cause| InitError::Scheduling {
        what: format!("the processors {list}"),
        cause,
    };
    let mask = Mask::parse(list).ok_or_else(|| refused(crate::Errno(22)))?;
    sys::cpuset::set_affinity(&mask).because(refused)
}

/// The processors we are to run on until the process is in its group, which it may be from its clone on; ours again at the end.
struct InitialAffinity(Option<Mask>);

impl InitialAffinity {
    fn set(process: &Process) -> Result<Self, InitError> {
        let list = process
            .exec_cpu_affinity()
            .as_ref()
            .and_then(|affinity| affinity.initial().as_ref());
        if list.is_none_or(|list| list.is_empty()) {
            return Ok(Self(None));
        }
        let own = sys::cpuset::affinity().because(|cause| InitError::Prepare { cause })?;
        set_affinity(&list.cloned())?;
        Ok(Self(Some(own)))
    }
}

impl Drop for InitialAffinity {
    fn drop(&mut self) {
        if let Some(own) = &self.0 {
            // They were ours a moment ago.
            let _ = sys::cpuset::set_affinity(own);
        }
    }
}

fn enter_and_execute(
    request: &ExecRequest<'_>,
    filter: Option<&Filter>,
    socket: &OwnedFd,
    alone: &Alone,
) -> Result<Infallible, InitError> {
    // Before the cgroup namespace is entered, and while this thread is alone.
    if let Some(cgroup) = request.cgroup {
        cgroup
            .join_v1_self()
            .because(|cause| InitError::JoinCgroup { cause })?;
    }
    rustix::process::setsid().because(|cause| InitError::Prepare { cause })?;
    use_the_hosts_rights(request)?;
    let own = own_executable();
    let entered =
        namespaces::enter_all(request.pidfd).because(|cause| InitError::JoinNamespace {
            kind: "mount, uts, ipc, network, cgroup, time and user".to_owned(),
            of: "of the container".to_owned(),
            cause,
        })?;
    if entered == Entered::OwnUsers {
        // Before anything is made or looked up inside: as nobody of the container we could do neither.
        handover::become_root(Some(request.process))?;
    }
    // Entering the mount namespace made its root ours.
    let root =
        sys::mount::open_root(Path::new("/")).because(|cause| InitError::Prepare { cause })?;
    let terminal = match request.stdio {
        Stdio::Terminal { rows, columns } => {
            Some(terminal_in_running(root.as_fd(), rows, columns)?)
        }
        Stdio::Fds { .. } => None,
    };
    if let Some(terminal) = &terminal {
        protocol::send_terminal(socket, terminal.master.as_fd())
            .because(|cause| InitError::Terminal { cause })?;
    }
    birth::execute(&Birth {
        process: request.process,
        linux: request.linux,
        limits: request.limits,
        user: request.user.as_ref(),
        stdio: request.stdio,
        terminal: terminal.as_ref().map(|pty| pty.slave.as_fd()),
        reaper: Reaper::None,
        hooks: None,
        filter,
        cwd: request.process.cwd(),
        own: own.as_ref().map(AsFd::as_fd),
        socket,
        alone,
        pass_fds: request.pass_fds,
        keyring: request.keyring,
        late_gate: None,
    })
}
