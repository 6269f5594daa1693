//! `POST /containers/{id}/attach`: takes over the connection for a container's streams.

use super::logs;
use crate::server::Server;
use crate::server::error::ApiError;
use crate::server::frames::{self, MULTIPLEXED, RAW};
use crate::server::hijack::Taken;
use crate::server::reply::{Body, Reply};
use crate::server::request::{Asked, Version};
use crate::server::route::Answer;
use engine::container::attach::{Attached, attach as join};
use engine::container::record::ContainerRecord;
use engine::container::state::State;
use engine::protocol::Streams;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often who waits at a container that does not run looks whether somebody else started it.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Where the streams come from.
enum Source {
    Joined(Attached),
    /// It is not started yet.
    Waiting(Receiver<Attached>),
    /// The log is all that was asked for.
    Nothing,
}

pub(super) fn attach(server: &Arc<Server>, asked: &Asked, record: ContainerRecord) -> Answer {
    let query = &asked.query;
    let keys = detach_keys(query.get("detachKeys"))?;
    let streams = Streams {
        stdin: query.flag("stdin") && record.spec.open_stdin,
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
    };
    let history = query.flag("logs");
    let source = match (
        query.flag("stream"),
        State::load(&server.ctx, record.id.as_str())?,
    ) {
        (false, _) => Source::Nothing,
        (true, State::Created | State::Exited(_)) => {
            Source::Waiting(server.pending.wait(record.id.as_str(), streams))
        }
        (true, _) => Source::Joined(join(&server.ctx, &record, streams)?),
    };
    let kind = kind(record.spec.tty, asked.version);
    let server = server.clone();
    let talk = move |mut taken: Taken| {
        if history && logs::history(&server, &record, &mut taken, streams).is_err() {
            return;
        }
        let attached = match source {
            Source::Joined(attached) => attached,
            Source::Waiting(receive) => match wait(&server, &record, streams, &receive, &taken) {
                Some(attached) => attached,
                None => return,
            },
            Source::Nothing => return,
        };
        sit(attached, taken, record.spec.tty, keys);
    };
    Ok(Reply::new(Body::Hijack(Box::new(talk), kind)))
}

/// Before 1.42 both were called by one name.
pub(crate) fn kind(tty: bool, version: Version) -> &'static str {
    match tty || version < Version(1, 42) {
        true => RAW,
        false => MULTIPLEXED,
    }
}

pub(crate) fn detach_keys(asked: Option<&str>) -> Result<Vec<u8>, ApiError> {
    let text = asked.unwrap_or(engine::detach_keys::DEFAULT);
    engine::detach_keys::parse(text)
        .map_err(|cause| ApiError::bad(format!("Invalid detach keys ({text}) provided: {cause}")))
}

fn sit(mut attached: Attached, taken: Taken, tty: bool, keys: Vec<u8>) {
    let streams = frames::Streams {
        stdin: attached.stdin.take(),
        stdout: attached.stdout.take(),
        stderr: attached.stderr.take(),
        ended: None,
        raw: tty,
        detach_keys: if tty { keys } else { Vec::new() },
    };
    if frames::converse(taken, streams) {
        let _ = attached.detach();
    }
}

/// Until the container is started, by a request or by somebody else; `None`: it was removed, or the client has gone.
fn wait(
    server: &Server,
    record: &ContainerRecord,
    streams: Streams,
    receive: &Receiver<Attached>,
    taken: &Taken,
) -> Option<Attached> {
    loop {
        match receive.recv_timeout(LOOK_AGAIN) {
            Ok(attached) => return Some(attached),
            Err(RecvTimeoutError::Timeout) => {}
            // The start failed.
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        let id = record.id.as_str();
        if taken.is_gone() || !ContainerRecord::load(&server.ctx, id).is_ok_and(|r| r.is_some()) {
            return None;
        }
        let runs = matches!(State::load(&server.ctx, id), Ok(State::Running { .. }));
        if runs && let Ok(attached) = join(&server.ctx, record, streams) {
            return Some(attached);
        }
    }
}
