//! `/containers`.

mod archive;
mod attach;
mod create;
mod list;
mod logs;
mod stats;
mod wait;

pub(crate) use attach::{detach_keys, kind};
pub(crate) use list::summaries;

use super::Server;
use super::error::ApiError;
use super::reply::Reply;
use super::request::Asked;
use super::route::Answer;
use crate::ask::LimitsBody;
use crate::wire::container::{Container, sizes};
use engine::container::names::resolve;
use engine::container::record::ContainerRecord;
use engine::container::remove::{RemoveOptions, remove};
use engine::container::start::{StartOptions, Started, start};
use engine::container::state::State;
use engine::container::stop::{StopOptions, restart, stop};
use engine::container::{
    commit as committing, diff, export, kill, linked, pause, rename, top, update,
};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) fn route(server: &Arc<Server>, mut asked: Asked, path: &[&str]) -> Answer {
    let method = asked.method.clone();
    match (method.as_str(), path) {
        ("GET", ["json"]) => list::list(server, &asked),
        ("POST", ["create"]) => create::create(server, &mut asked),
        ("POST", ["prune"]) => prune(server, &asked),
        ("GET", [id, what]) => get(server, &asked, id, what),
        ("HEAD", [id, "archive"]) => archive::stat(server, &asked, id),
        ("PUT", [id, "archive"]) => archive::put(server, asked, id),
        ("POST", [id, what]) => post(server, asked, id, what),
        ("DELETE", [id]) if !asked.query.flag("link") => delete(server, &asked, id),
        // A link's name: whose it is, and what it calls the other.
        ("DELETE", name) if asked.query.flag("link") => unlink(server, name),
        _ => Err(ApiError::no_such_page()),
    }
}

fn get(server: &Arc<Server>, asked: &Asked, id: &str, what: &str) -> Answer {
    let record = || resolve(&server.ctx, id);
    match what {
        "json" => inspect(server, asked, &record()?),
        "logs" => logs::logs(server, asked, record()?),
        "top" => top(server, asked, &record()?),
        "stats" => stats::stats(server, asked, record()?),
        "changes" => changes(server, &record()?),
        "archive" => archive::get(server, asked, &record()?),
        "export" => {
            let (record, ctx) = (record()?, server.ctx.clone());
            Ok(Reply::stream("application/octet-stream", move |out| {
                export::export(&ctx, &record, out).map_err(std::io::Error::other)
            }))
        }
        _ => Err(ApiError::no_such_page()),
    }
}

fn post(server: &Arc<Server>, mut asked: Asked, id: &str, what: &str) -> Answer {
    let ctx = &server.ctx;
    let record = resolve(ctx, id)?;
    match what {
        "start" => start_one(server, &record),
        "stop" => {
            let options = stop_options(&asked)?;
            if !State::load(ctx, record.id.as_str())?.is_active() {
                stop(ctx, &record, &options)?;
                return Ok(Reply::empty(StatusCode::NOT_MODIFIED));
            }
            stop(ctx, &record, &options)?;
            Ok(Reply::no_content())
        }
        "restart" => {
            restart(ctx, &record, &stop_options(&asked)?)?;
            Ok(Reply::no_content())
        }
        "kill" => {
            let signal = asked.query.get("signal").unwrap_or("KILL");
            kill::parse(signal)?;
            if !State::load(ctx, record.id.as_str())?.is_active() {
                return Err(ApiError::conflict(format!(
                    "cannot kill container: {id}: container {} is not running",
                    record.id
                )));
            }
            kill::kill(ctx, &record, signal)?;
            Ok(Reply::no_content())
        }
        "pause" => pause::pause(ctx, &record)
            .map(|()| Reply::no_content())
            .map_err(ApiError::from),
        "unpause" => pause::unpause(ctx, &record)
            .map(|()| Reply::no_content())
            .map_err(ApiError::from),
        "rename" => {
            let name = asked.query.need("name")?;
            if name.trim_matches('/').is_empty() {
                return Err(ApiError::bad("Neither old nor new names may be empty"));
            }
            rename::rename(ctx, &record, name)?;
            Ok(Reply::no_content())
        }
        "update" => update(server, &mut asked, &record),
        "wait" => wait::wait(server, &asked, record),
        "resize" => {
            let (rows, columns) = asked.query.size()?;
            engine::container::attach::resize(ctx, &record, rows, columns)?;
            Ok(Reply::empty(StatusCode::OK))
        }
        "attach" => attach::attach(server, &asked, record),
        "exec" => super::exec::create(server, &mut asked, &record),
        _ => Err(ApiError::no_such_page()),
    }
}

fn inspect(server: &Server, asked: &Asked, record: &ContainerRecord) -> Answer {
    let ctx = &server.ctx;
    let sizes = asked.query.flag("size").then(|| sizes(ctx, record));
    let mut shape = Container::load(ctx, record, sizes)?;
    let sessions =
        engine::container::exec_session::ExecSession::of_container(ctx, record.id.as_str());
    let running = sessions.into_iter().filter(|s| s.is_running());
    let ids: Vec<String> = running.map(|s| s.id).collect();
    shape.exec_ids = (!ids.is_empty()).then_some(ids);
    Ok(Reply::json(&shape))
}

/// The streams of the first who waits begin with the container; the others join as soon as it runs.
fn start_one(server: &Server, record: &ContainerRecord) -> Answer {
    let ctx = &server.ctx;
    let mut waiting = server.pending.take(record.id.as_str()).into_iter();
    let first = waiting.next();
    let options = StartOptions {
        attach: first.as_ref().map(|w| w.streams).unwrap_or_default(),
        size: None,
    };
    let was_active = matches!(State::load(ctx, record.id.as_str())?, State::Running { .. });
    let started = start(ctx, record, options).inspect_err(|_| {
        // What goes with its end goes with a start that fails.
        let options = RemoveOptions {
            force: true,
            volumes: true,
        };
        if record.spec.auto_remove {
            let _ = remove(ctx, record, options);
        }
    })?;
    if let (Started::Attached(attached), Some(first)) = (started, first) {
        first.give(attached);
    }
    for other in waiting {
        if let Ok(attached) = engine::container::attach::attach(ctx, record, other.streams) {
            other.give(attached);
        }
    }
    Ok(match was_active {
        true => Reply::empty(StatusCode::NOT_MODIFIED),
        false => Reply::no_content(),
    })
}

fn stop_options(asked: &Asked) -> Result<StopOptions, ApiError> {
    let seconds = asked.query.number::<i64>("t")?;
    Ok(StopOptions {
        signal: asked.query.get("signal").map(str::to_owned),
        // Below zero: wait without end; a century does.
        timeout: seconds.map(|n| u64::try_from(n).unwrap_or(100 * 365 * 86400)),
    })
}

fn update(server: &Server, asked: &mut Asked, record: &ContainerRecord) -> Answer {
    let body: LimitsBody = asked.document()?;
    let bad = |e: crate::ask::Error| ApiError::bad(e.to_string());
    let changes = update::Changes {
        resources: body.resources().map_err(bad)?,
        restart: body.restart().map_err(bad)?,
        ..Default::default()
    };
    update::update(&server.ctx, record, &changes)?;
    Ok(Reply::json(&json!({ "Warnings": [] })))
}

fn delete(server: &Server, asked: &Asked, id: &str) -> Answer {
    let record = resolve(&server.ctx, id)?;
    let options = RemoveOptions {
        force: asked.query.flag("force"),
        volumes: asked.query.flag("v"),
    };
    remove(&server.ctx, &record, options)?;
    Ok(Reply::no_content())
}

fn unlink(server: &Server, name: &[&str]) -> Answer {
    let [container, alias] = name else {
        return Err(ApiError::bad("a link is named /CONTAINER/ALIAS"));
    };
    let record = resolve(&server.ctx, container)?;
    linked::unlink(&server.ctx, &record, alias)?;
    Ok(Reply::no_content())
}

fn prune(server: &Server, asked: &Asked) -> Answer {
    let filters = asked.query.filters(engine::prune::FILTERS)?;
    let report = engine::prune::containers(&server.ctx, &filters)?;
    Ok(Reply::json(&json!({
        "ContainersDeleted": report.removed,
        "SpaceReclaimed": report.freed,
    })))
}

fn top(server: &Server, asked: &Asked, record: &ContainerRecord) -> Answer {
    // What is shown is `ps -ef`, read from /proc; other views of ps(1) are not imitated.
    let options = asked.query.get("ps_args").unwrap_or("-ef");
    if !matches!(options.trim(), "-ef" | "-e -f" | "ef") {
        return Err(ApiError::bad(format!(
            "ps options {options:?} are not supported: only the columns of -ef"
        )));
    }
    let table = top::table(&top::processes(&server.ctx, record)?);
    Ok(Reply::json(&json!({
        "Titles": table.titles,
        "Processes": table.rows,
    })))
}

fn changes(server: &Server, record: &ContainerRecord) -> Answer {
    let found = diff::diff(&server.ctx, record)?;
    let each = found.iter().map(|(path, kind)| {
        let kind = match kind {
            diff::Kind::Changed => 0,
            diff::Kind::Added => 1,
            diff::Kind::Deleted => 2,
        };
        json!({ "Path": path, "Kind": kind })
    });
    Ok(Reply::json(&each.collect::<Vec<Value>>()))
}

/// `POST /commit`.
pub(crate) fn commit(server: &Server, asked: &Asked) -> Answer {
    let ctx = &server.ctx;
    let query = &asked.query;
    let record = resolve(ctx, query.need("container")?)?;
    let name = super::images::named(query.get("repo"), query.get("tag"))?;
    let changes: Vec<String> = query
        .all("changes")
        .iter()
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.trim().is_empty())
        .collect();
    let config = build::change(committing::configuration(ctx, &record)?, &changes)
        .map_err(|e| ApiError::bad(e.to_string()))?;
    let options = committing::Options {
        name,
        author: query.get("author").unwrap_or_default().to_owned(),
        comment: query.get("comment").unwrap_or_default().to_owned(),
        no_pause: !query.flag_or("pause", true),
    };
    let image = committing::commit(ctx, &record, config, &options)?;
    Ok(Reply::created(&json!({ "Id": image.id.to_string() })))
}
