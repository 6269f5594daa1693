//! `/exec`: processes in containers, described and started in two steps.

use super::Server;
use super::containers::{detach_keys, kind};
use super::error::ApiError;
use super::frames;
use super::hijack::Taken;
use super::reply::{Body, Reply};
use super::request::Asked;
use super::route::Answer;
use engine::Timestamp;
use engine::container::exec::ExecSpec;
use engine::container::exec_session::{Begun, ExecSession, Phase};
use engine::container::record::ContainerRecord;
use engine::container::state::State;
use engine::protocol::Streams;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, PoisonError};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CreateBody {
    attach_stdin: Option<bool>,
    attach_stdout: Option<bool>,
    attach_stderr: Option<bool>,
    // Go reads names in any case, and docker-py relies on it here.
    #[serde(alias = "detachKeys")]
    detach_keys: Option<String>,
    tty: Option<bool>,
    env: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    privileged: Option<bool>,
    user: Option<String>,
    working_dir: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct StartBody {
    detach: Option<bool>,
    /// Whether the client hears bytes as they come, else frames: whatever the process has.
    tty: Option<bool>,
    /// Rows and columns.
    console_size: Option<(u16, u16)>,
}

pub(crate) fn create(server: &Server, asked: &mut Asked, record: &ContainerRecord) -> Answer {
    let body: CreateBody = asked.document()?;
    let args = body.cmd.unwrap_or_default();
    if args.is_empty() {
        return Err(ApiError::bad("No exec command specified"));
    }
    match State::load(&server.ctx, record.id.as_str())? {
        State::Running { .. } => {}
        State::Paused { .. } => {
            return Err(ApiError::conflict(format!(
                "container {} is paused, unpause the container before exec",
                record.name
            )));
        }
        _ => {
            return Err(ApiError::conflict(format!(
                "container {} is not running",
                record.id
            )));
        }
    }
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    let yes = |flag: Option<bool>| flag.unwrap_or(false);
    detach_keys(body.detach_keys.as_deref().filter(|k| !k.is_empty()))?;
    let session = ExecSession {
        id: String::new(),
        container: record.id.to_string(),
        created: Timestamp::now(),
        spec: ExecSpec {
            args,
            env: body.env.unwrap_or_default(),
            user: said(body.user),
            working_dir: said(body.working_dir),
            privileged: yes(body.privileged),
            terminal: None,
        },
        tty: yes(body.tty),
        attach: Streams {
            stdin: yes(body.attach_stdin),
            stdout: yes(body.attach_stdout),
            stderr: yes(body.attach_stderr),
        },
        detach_keys: said(body.detach_keys),
        phase: Phase::Created,
    };
    let made = ExecSession::create(&server.ctx, session)?;
    Ok(Reply::created(&json!({ "Id": made.id })))
}

pub(crate) fn route(server: &Arc<Server>, mut asked: Asked, id: &str, path: &[&str]) -> Answer {
    let method = asked.method.clone();
    match (method.as_str(), path) {
        ("GET", ["json"]) => Ok(Reply::json(&shape(&ExecSession::find(&server.ctx, id)?))),
        ("POST", ["start"]) => start(server, &mut asked, id),
        ("POST", ["resize"]) => {
            ExecSession::find(&server.ctx, id)?;
            let (rows, columns) = asked.query.size()?;
            resize(server, id, rows, columns)
        }
        _ => Err(ApiError::no_such_page()),
    }
}

fn shape(session: &ExecSession) -> Value {
    let (running, pid, code) = match session.phase {
        Phase::Created => (false, 0, Value::Null),
        Phase::Running { process } if session.is_running() => (true, process.pid, Value::Null),
        // Who would have told how it ended was killed.
        Phase::Running { .. } => (false, 0, 137.into()),
        Phase::Ended { code, .. } => (false, 0, code.into()),
    };
    let mut words = session.spec.args.iter();
    json!({
        "ID": session.id,
        "Running": running,
        "ExitCode": code,
        "ProcessConfig": {
            "tty": session.tty,
            "entrypoint": words.next(),
            "arguments": words.collect::<Vec<_>>(),
            "privileged": session.spec.privileged,
            "user": session.spec.user.clone().unwrap_or_default(),
        },
        "OpenStdin": session.attach.stdin,
        "OpenStdout": session.attach.stdout,
        "OpenStderr": session.attach.stderr,
        "CanRemove": false,
        "ContainerID": session.container,
        "DetachKeys": session.detach_keys.clone().unwrap_or_default(),
        "Pid": pid,
    })
}

fn resize(server: &Server, id: &str, rows: u16, columns: u16) -> Answer {
    let terminals = server.terminals.lock();
    let terminals = terminals.unwrap_or_else(PoisonError::into_inner);
    let terminal = terminals
        .get(id)
        .ok_or_else(|| ApiError::conflict(format!("exec instance {id} has no terminal here")))?;
    sys::tty::set_size(terminal, rows, columns)
        .map_err(|e| ApiError::server(format!("cannot set the terminal's size: {e}")))?;
    Ok(Reply::empty(StatusCode::OK))
}

fn start(server: &Arc<Server>, asked: &mut Asked, id: &str) -> Answer {
    let body: StartBody = asked.document()?;
    let session = ExecSession::find(&server.ctx, id)?;
    if session.phase != Phase::Created {
        return Err(ApiError::conflict(format!(
            "Error: Exec command {id} is already running"
        )));
    }
    let size = body.console_size;
    if body.detach.unwrap_or(false) {
        // A terminal that nobody looks at is none.
        let blind = ExecSession {
            tty: false,
            ..session
        };
        blind.start(&server.ctx, &[], size)?;
        return Ok(Reply::empty(StatusCode::OK));
    }
    let raw = body.tty.unwrap_or(false);
    let kind = kind(raw, asked.version);
    let keys = detach_keys(session.detach_keys.as_deref())?;
    let server = server.clone();
    let talk = move |mut taken: Taken| match begin(&server, &session, size) {
        Ok((begun, streams)) => {
            let manner = Manner { raw, keys };
            sit(&server, &session, begun, streams, taken, manner);
        }
        Err(error) => {
            let text = format!("{}\r\n", engine::error::chain(&error));
            let mut said = Vec::new();
            if !raw {
                // Docker says it as output, not as an error.
                said.extend(frames::head(1, text.len()));
            }
            said.extend(text.into_bytes());
            let _ = taken.say(&said);
        }
    };
    Ok(Reply::new(Body::Hijack(Box::new(talk), kind)))
}

/// How the client takes part.
struct Manner {
    raw: bool,
    keys: Vec<u8>,
}

/// Our ends of the process's streams.
#[derive(Debug, Default)]
struct Ends {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

fn begin(
    server: &Server,
    session: &ExecSession,
    size: Option<(u16, u16)>,
) -> engine::Result<(Begun, Ends)> {
    if session.tty {
        return Ok((session.start(&server.ctx, &[], size)?, Ends::default()));
    }
    let pipe = || sys::pipe::new().map_err(engine::Error::system("make a pipe"));
    let mut ours = Ends::default();
    let mut theirs: Vec<(OwnedFd, i32)> = Vec::new();
    if session.attach.stdin {
        let (read, write) = pipe()?;
        ours.stdin = Some(write);
        theirs.push((read, 0));
    }
    if session.attach.stdout {
        let (read, write) = pipe()?;
        ours.stdout = Some(read);
        theirs.push((write, 1));
    }
    if session.attach.stderr {
        let (read, write) = pipe()?;
        ours.stderr = Some(read);
        theirs.push((write, 2));
    }
    let streams: Vec<_> = theirs.iter().map(|(fd, n)| (fd.as_fd(), *n)).collect();
    let begun = session.start(&server.ctx, &streams, size)?;
    Ok((begun, ours))
}

fn sit(
    server: &Server,
    session: &ExecSession,
    begun: Begun,
    ends: Ends,
    taken: Taken,
    manner: Manner,
) {
    let Manner { raw, keys } = manner;
    let copy = |fd: &OwnedFd| fd.try_clone().ok();
    let ended = begun.channel.as_fd().try_clone_to_owned().ok();
    let streams = match &begun.terminal {
        Some(terminal) => frames::Streams {
            stdin: copy(terminal).filter(|_| session.attach.stdin),
            stdout: copy(terminal),
            stderr: None,
            ended,
            raw,
            detach_keys: keys,
        },
        None => frames::Streams {
            stdin: ends.stdin,
            stdout: ends.stdout,
            stderr: ends.stderr,
            ended,
            raw,
            detach_keys: Vec::new(),
        },
    };
    let remember = |terminal: Option<OwnedFd>| {
        let terminals = server.terminals.lock();
        let mut terminals = terminals.unwrap_or_else(PoisonError::into_inner);
        match terminal {
            Some(terminal) => drop(terminals.insert(session.id.clone(), Arc::new(terminal))),
            None => drop(terminals.remove(&session.id)),
        }
    };
    let is_terminal = begun.terminal.is_some();
    if let Some(terminal) = begun.terminal {
        remember(Some(terminal));
    }
    frames::converse(taken, streams);
    if is_terminal {
        remember(None);
    }
}
