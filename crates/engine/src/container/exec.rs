//! `exec`: a further process in a running container. The caller is its parent and waits for it.

use super::external::{self, External};
use super::record::ContainerRecord;
use super::state::{ProcessRef, State};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::events;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is executed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    pub args: Vec<String>,
    /// Over the container's variables.
    pub env: Vec<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub privileged: bool,
    /// Rows and columns: a terminal of its own.
    pub terminal: Option<(u16, u16)>,
}

/// The three streams of a process without a terminal.
#[derive(Debug, Clone, Copy)]
pub struct ExecStdio<'a> {
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
}

/// A process that executes in the container.
#[derive(Debug)]
pub struct ExecProcess {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
}

impl ExecProcess {
    /// Waits for the end and gives Docker's exit code.
    pub fn wait(&self) -> Result<u8> {
        let status = sys::process::wait(&self.pidfd)
            .map_err(Error::system("wait for the executed process"))?;
        Ok(u8::try_from(status.code()).unwrap_or(255))
    }
}

/// Executes in a running container. The calling process must have a single thread.
pub fn exec(
    ctx: &Context,
    container: &ContainerRecord,
    spec: &ExecSpec,
    stdio: ExecStdio<'_>,
) -> Result<ExecProcess> {
    let (process, parent) = match State::load(ctx, container.id.as_str())? {
        State::Running { process, run, .. } => (process, run.cgroup_parent),
        State::Paused { .. } => {
            return Err(Error::invalid(
                format!("Container {} is paused", container.name),
                "unpause the container before exec",
            ));
        }
        State::Restarting { .. } => {
            return Err(Error::invalid(
                format!("Container {} is restarting", container.name),
                "wait until the container is running",
            ));
        }
        _ => return Err(Error::NotRunning(container.id.to_string())),
    };
    let pidfd = open(process, container)?;
    let cgroup = runtime::Cgroup::open(&parent, container.id.as_str())?;
    let external = External::of(ctx, container);
    let target = Target {
        ctx,
        pidfd: pidfd.as_fd(),
        cgroup: Some(&cgroup),
        external: external.as_ref(),
    };
    let command = spec.args.join(" ");
    events::emit_container(ctx, &format!("exec_create: {command}"), container, &[]);
    let started = run(container, &target, spec, stdio)?;
    events::emit_container(ctx, &format!("exec_start: {command}"), container, &[]);
    Ok(started)
}

fn open(process: ProcessRef, container: &ContainerRecord) -> Result<OwnedFd> {
    sys::process::pidfd_open_verified(process.pid, process.start_time)
        .map_err(|_| Error::NotRunning(container.id.to_string()))
}

/// A running container, held by descriptors.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub ctx: &'a Context,
    pub pidfd: BorrowedFd<'a>,
    pub cgroup: Option<&'a runtime::Cgroup>,
    /// The runtime that carries it, when it is not this one.
    pub external: Option<&'a External>,
}

/// A health probe: its output comes through the pipe that is returned beside its pidfd.
pub fn probe(
    container: &ContainerRecord,
    target: &Target<'_>,
    args: Vec<String>,
) -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = sys::pipe::new().map_err(Error::system("make a pipe"))?;
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(|e| Error::system("open /dev/null")(e.into()))?;
    let stdio = ExecStdio {
        stdin: null.as_fd(),
        stdout: write.as_fd(),
        stderr: write.as_fd(),
    };
    let process = run(
        container,
        target,
        &ExecSpec {
            args,
            ..Default::default()
        },
        stdio,
    )?;
    Ok((process.pidfd, read))
}

fn run(
    container: &ContainerRecord,
    target: &Target<'_>,
    spec: &ExecSpec,
    stdio: ExecStdio<'_>,
) -> Result<ExecProcess> {
    let linked = super::linked::environment(target.ctx, container);
    if let Some(external) = target.external {
        let pid = sys::process::pid_of(target.pidfd)
            .map_err(Error::system("find the container's first process"))?;
        return external::exec(external, container, pid, spec, linked, stdio);
    }
    let process = crate::spec::exec_process(container, spec, linked)?;
    let user = spec
        .user
        .clone()
        .unwrap_or_else(|| container.process.user.clone());
    let program = crate::spec::exec_filter(container, spec)?;
    let request = runtime::ExecRequest {
        pidfd: target.pidfd,
        process: &process,
        user: Some(runtime::UserSpec {
            user,
            add_groups: container.spec.group_add.clone(),
        }),
        stdio: match spec.terminal {
            Some((rows, columns)) => runtime::Stdio::Terminal { rows, columns },
            None => runtime::Stdio::Fds {
                stdin: stdio.stdin,
                stdout: stdio.stdout,
                stderr: stdio.stderr,
            },
        },
        cgroup: target.cgroup,
        seccomp: match &program {
            crate::spec::Filter::Default => runtime::Seccomp::Default,
            crate::spec::Filter::None => runtime::Seccomp::Spec,
            crate::spec::Filter::Program(program) => runtime::Seccomp::Program(program),
        },
        pass_fds: 0,
        keyring: runtime::Keyring::New,
        limits: runtime::Limits::WithinOurs,
        linux: None,
        state: None,
    };
    let started = runtime::exec(&request).map_err(Error::from)?;
    Ok(ExecProcess {
        pid: started.pid,
        pidfd: started.pidfd,
        terminal: started.terminal,
    })
}
