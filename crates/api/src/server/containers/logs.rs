//! `GET /containers/{id}/logs`.

use super::attach::kind;
use crate::server::Server;
use crate::server::body::Download;
use crate::server::error::ApiError;
use crate::server::frames::head;
use crate::server::hijack::Taken;
use crate::server::reply::Reply;
use crate::server::request::Asked;
use crate::server::route::Answer;
use engine::Context;
use engine::container::record::ContainerRecord;
use engine::container::state::State;
use engine::logs::{Line, Query, Reader, Stream};
use engine::protocol::Streams;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};

/// How lines are told.
#[derive(Debug, Clone, Copy)]
struct Manner {
    streams: Streams,
    timestamps: bool,
    raw: bool,
}

impl Manner {
    fn write(self, out: &mut impl Write, line: &Line) -> io::Result<()> {
        let (wanted, number) = match line.stream {
            Stream::Stdout => (self.streams.stdout, 1),
            Stream::Stderr => (self.streams.stderr, 2),
        };
        if !wanted {
            return Ok(());
        }
        let time = match self.timestamps {
            true => format!("{} ", line.time),
            false => String::new(),
        };
        if !self.raw {
            out.write_all(&head(number, time.len() + line.bytes.len()))?;
        }
        out.write_all(time.as_bytes())?;
        out.write_all(&line.bytes)
    }
}

pub(super) fn logs(server: &Server, asked: &Asked, record: ContainerRecord) -> Answer {
    let query = &asked.query;
    let streams = Streams {
        stdin: false,
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
    };
    if !streams.any() {
        return Err(ApiError::bad(
            "Bad parameters: you must choose at least one stream",
        ));
    }
    let wanted = Query {
        since: query.time("since")?,
        until: query.time("until")?,
        // Anything that is no number is all of it.
        tail: query.get("tail").and_then(|text| text.parse().ok()),
        follow: query.flag("follow"),
    };
    let manner = Manner {
        streams,
        timestamps: query.flag("timestamps"),
        raw: record.spec.tty,
    };
    let reader = Reader::open(&server.ctx, &record, wanted)?;
    let ctx = server.ctx.clone();
    let kind = kind(record.spec.tty, asked.version);
    Ok(Reply::stream(kind, move |out| match wanted.follow {
        true => follow(&ctx, &record, reader, out, manner),
        false => all(reader, out, manner),
    }))
}

fn all(mut reader: Reader, out: &mut impl Write, manner: Manner) -> io::Result<()> {
    while let Some(line) = reader.next_line().map_err(io::Error::other)? {
        manner.write(out, &line)?;
    }
    Ok(())
}

/// Goes on until the container has stopped, or the client has gone.
fn follow(
    ctx: &Context,
    record: &ContainerRecord,
    mut reader: Reader,
    out: &mut Download,
    manner: Manner,
) -> io::Result<()> {
    loop {
        // Whoever stops being active has written all.
        let active = State::load(ctx, record.id.as_str()).is_ok_and(|s| s.is_active());
        while let Some(line) = reader.try_next().map_err(io::Error::other)? {
            manner.write(out, &line)?;
        }
        if !active {
            return all(reader, out, manner);
        }
        out.flush()?;
        if out.is_closed() {
            return Ok(());
        }
        let Some(watch) = reader.watch_fd() else {
            return all(reader, out, manner);
        };
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(watch, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&second));
        let mut noise = [0; 4096];
        while rustix::io::read(watch, &mut noise).is_ok_and(|n| n > 0) {}
    }
}

/// What was said before a client attached.
pub(super) fn history(
    server: &Server,
    record: &ContainerRecord,
    taken: &mut Taken,
    streams: Streams,
) -> io::Result<()> {
    let manner = Manner {
        streams,
        timestamps: false,
        raw: record.spec.tty,
    };
    let reader = Reader::open(&server.ctx, record, Query::default()).map_err(io::Error::other)?;
    let mut text = Vec::new();
    all(reader, &mut text, manner)?;
    taken.say(&text)
}
