//! `exec` in two steps, as the API has it: a process is described first, and started by whoever comes with its id.
//!
//! What it is and how it went is a record below the run root (`execs/<id>.json`), so that it outlives who asked for it. It is
//! started by a role of its own, because a process of a container is born of one without threads:
//!
//! ```text
//! server                                      role (`dockless exec-session <data> <run> <id>`)
//!    │ ── executes: streams as 0, 1, 2, socket as 3 ─▶ │ executes in the container, writes the record
//!    │ ◀──── Begun (with the terminal's master) | Failed │
//!    │ ◀──────────────────────────────────────── Ended │ after the record says so
//! ```

use super::exec::{self, ExecSpec, ExecStdio};
use super::record::ContainerRecord;
use super::state::ProcessRef;
use crate::channel::Channel;
use crate::context::{Context, Options};
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use ::state::{Durability, record};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;
use sys::role::{Role, Session};

pub const ROLE: &str = "exec-session";
const SOCKET: i32 = 3;
/// How long it is told how a process ended.
const KEPT: Duration = Duration::from_secs(300);

/// A process to be, that runs, or that has run in a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecSession {
    pub id: String,
    pub container: String,
    pub created: Timestamp,
    pub spec: ExecSpec,
    pub tty: bool,
    pub attach: crate::protocol::Streams,
    pub detach_keys: Option<String>,
    pub phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    Created,
    Running { process: ProcessRef },
    Ended { code: u8, at: Timestamp },
}

/// Role to server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub enum Said {
    Begun,
    Failed { message: String, code: u8 },
    Ended { code: u8 },
}

/// A process that was begun, as the server holds it.
#[derive(Debug)]
pub struct Begun {
    /// Says [`Said::Ended`], or nothing more.
    pub channel: Channel,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
}

fn path(ctx: &Context, id: &str) -> PathBuf {
    ctx.layout.run_execs().join(format!("{id}.json"))
}

fn missing(id: &str) -> Error {
    Error::NoSuchExec(id.to_owned())
}

impl ExecSession {
    /// Describes a process; it is started by [`ExecSession::start`].
    pub fn create(ctx: &Context, mut session: Self) -> Result<Self> {
        session.id = crate::random_id().to_string();
        let dir = ctx.layout.run_execs();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(Error::file("create", &dir))?;
        forget_old(ctx);
        session.save(ctx)?;
        Ok(session)
    }

    pub fn find(ctx: &Context, id: &str) -> Result<Self> {
        // An id becomes part of a path.
        let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit());
        if !plain {
            return Err(missing(id));
        }
        record::read(&path(ctx, id))?.ok_or_else(|| missing(id))
    }

    /// Of those that run, and those that are to.
    pub fn of_container(ctx: &Context, container: &str) -> Vec<Self> {
        let all = all(ctx).into_iter();
        all.filter(|s| s.container == container && !matches!(s.phase, Phase::Ended { .. }))
            .collect()
    }

    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { process } if process.is_alive())
    }

    fn save(&self, ctx: &Context) -> Result<()> {
        Ok(record::write(
            &path(ctx, &self.id),
            self,
            Durability::Volatile,
        )?)
    }

    /// Starts it with these streams (none of them: they lead nowhere) and waits until it executes.
    pub fn start(
        &self,
        ctx: &Context,
        streams: &[(BorrowedFd<'_>, i32)],
        size: Option<(u16, u16)>,
    ) -> Result<Begun> {
        if self.phase != Phase::Created {
            return Err(Error::Refused(format!(
                "Error: Exec command {} is already running",
                self.id
            )));
        }
        let (ours, theirs) = Channel::pair().map_err(Error::system("make a socket"))?;
        let (rows, columns) = size.unwrap_or((24, 80));
        let size = format!("{rows}x{columns}");
        let mut fds = streams.to_vec();
        fds.push((theirs.as_fd(), SOCKET));
        let role = Role {
            argv: ctx.role_arguments(ROLE, &[&self.id, &size])?,
            env: Vec::new(),
            fds,
            session: Session::Own,
        };
        let child = sys::role::spawn(&role).map_err(Error::system("start the process"))?;
        drop(role);
        drop(theirs);
        // With a process it ends when that does.
        sys::reaper::leave(child);
        begun(ours)
    }
}

fn begun(channel: Channel) -> Result<Begun> {
    let said = channel
        .receive::<Said>()
        .map_err(Error::system("hear how the start went"))?;
    match said {
        Some((Said::Begun, fds)) => Ok(Begun {
            channel,
            terminal: fds.into_iter().next(),
        }),
        Some((Said::Failed { message, code }, _)) => Err(Error::Start { message, code }),
        _ => Err(Error::Refused("the process was not started".to_owned())),
    }
}

fn all(ctx: &Context) -> Vec<ExecSession> {
    let Ok(entries) = std::fs::read_dir(ctx.layout.run_execs()) else {
        return Vec::new();
    };
    let each = entries.flatten();
    each.filter_map(|entry| record::read(&entry.path()).ok().flatten())
        .collect()
}

/// Those that nobody will ask for any more: ended long ago, or of a container that is gone.
fn forget_old(ctx: &Context) {
    for session in all(ctx) {
        let over = match session.phase {
            Phase::Ended { at, .. } => at.elapsed() > KEPT,
            Phase::Running { process } => !process.is_alive(),
            Phase::Created => session.created.elapsed() > KEPT,
        };
        if over {
            let _ = record::remove(&path(ctx, &session.id));
        }
    }
}

/// The role's entry: `exec-session <data root> <run root> <id> <rows>x<columns>`.
pub fn role_main(arguments: &[OsString]) -> u8 {
    let [_role, data, run, id, size] = arguments else {
        return 125;
    };
    let (Some(id), Some(size)) = (id.to_str(), size.to_str()) else {
        return 125;
    };
    sys::signal::started_with_defaults();
    let Ok(socket) = sys::inherited::take(SOCKET) else {
        return 125;
    };
    let server = Channel::from(socket);
    let options = Options {
        data_root: Some(data.into()),
        run_root: Some(run.into()),
        ..Default::default()
    };
    let done = Context::open(&options).and_then(|ctx| carry_out(&ctx, id, size, &server));
    match done {
        Ok(code) => code,
        Err(error) => {
            let code = error.exit_code();
            let message = crate::error::chain(&error);
            let _ = server.send(&Said::Failed { message, code }, &[]);
            code
        }
    }
}

fn carry_out(ctx: &Context, id: &str, size: &str, server: &Channel) -> Result<u8> {
    let mut session = ExecSession::find(ctx, id)?;
    let container = ContainerRecord::load(ctx, &session.container)?
        .ok_or_else(|| Error::NoSuchContainer(session.container.clone()))?;
    let mut spec = session.spec.clone();
    spec.terminal = session.tty.then(|| parse_size(size));
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let stdio = ExecStdio {
        stdin: stdin.as_fd(),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
    };
    let started = exec::exec(ctx, &container, &spec, stdio);
    let process = match started {
        Ok(process) => process,
        Err(error) => {
            let code = error.exit_code();
            let at = Timestamp::now();
            session.phase = Phase::Ended { code, at };
            session.save(ctx)?;
            return Err(error);
        }
    };
    let start_time = sys::process::start_time(process.pid).unwrap_or_default();
    session.phase = Phase::Running {
        process: ProcessRef {
            pid: process.pid,
            start_time,
        },
    };
    session.save(ctx)?;
    let terminal: Vec<BorrowedFd<'_>> = process.terminal.iter().map(AsFd::as_fd).collect();
    let _ = server.send(&Said::Begun, &terminal);
    // The streams are the process's alone from here: who reads them sees their end.
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(|e| Error::system("open /dev/null")(e.into()))?;
    for replace in [
        rustix::stdio::dup2_stdin(&null),
        rustix::stdio::dup2_stdout(&null),
        rustix::stdio::dup2_stderr(&null),
    ] {
        replace.map_err(|e| Error::system("let go of the streams")(e.into()))?;
    }
    let code = process.wait()?;
    session.phase = Phase::Ended {
        code,
        at: Timestamp::now(),
    };
    session.save(ctx)?;
    let _ = server.send(&Said::Ended { code }, &[]);
    let attributes = [("exitCode", code.to_string()), ("execID", session.id)];
    crate::events::emit_container(ctx, "exec_die", &container, &attributes);
    Ok(0)
}

fn parse_size(text: &str) -> (u16, u16) {
    let parts = text.split_once('x');
    let number = |t: &str| t.parse().ok();
    parts
        .and_then(|(rows, columns)| Some((number(rows)?, number(columns)?)))
        .unwrap_or((24, 80))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::context;

    fn session() -> ExecSession {
        ExecSession {
            id: String::new(),
            container: "c".into(),
            created: Timestamp::now(),
            spec: ExecSpec::default(),
            tty: false,
            attach: Default::default(),
            detach_keys: None,
            phase: Phase::Created,
        }
    }

    #[test]
    fn a_session_is_found_by_its_id_alone() {
        let (_dir, ctx) = context();
        let made = ExecSession::create(&ctx, session()).unwrap();
        assert_eq!(ExecSession::find(&ctx, &made.id).unwrap(), made);
        assert_eq!(ExecSession::of_container(&ctx, "c").len(), 1);
        for bad in ["", "../x", "a/b", "zz", &format!("{}0", made.id)] {
            assert!(matches!(
                ExecSession::find(&ctx, bad),
                Err(Error::NoSuchExec(_))
            ));
        }
    }

    #[test]
    fn what_nobody_will_ask_for_is_forgotten() {
        let (_dir, ctx) = context();
        let mut old = ExecSession::create(&ctx, session()).unwrap();
        old.phase = Phase::Ended {
            code: 0,
            at: Timestamp(0),
        };
        old.save(&ctx).unwrap();
        ExecSession::create(&ctx, session()).unwrap();
        assert!(ExecSession::find(&ctx, &old.id).is_err());
    }

    #[test]
    fn sizes_are_read_or_usual() {
        assert_eq!(parse_size("30x100"), (30, 100));
        assert_eq!(parse_size("30x99999"), (24, 80));
    }
}
