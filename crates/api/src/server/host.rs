//! What is asked about the host as a whole: `_ping`, `version`, `info`, `events`, `system/df`, `auth`.

use super::Server;
use super::error::ApiError;
use super::images;
use super::reply::Reply;
use super::request::{Asked, Version};
use super::route::Answer;
use crate::describe;
use crate::wire::volume::Volume;
use engine::container::list::list;
use engine::events::{Event, FILTERS, Reader};
use engine::{Timestamp, usage, volume};
use hyper::StatusCode;
use model::filter::Filters;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn route(server: &Server, mut asked: Asked, path: &[&str]) -> Answer {
    let method = asked.method.clone();
    match (method.as_str(), path) {
        ("GET" | "HEAD", ["_ping"]) => Ok(ping(&method)),
        ("GET", ["version"]) => Ok(Reply::json(&version(server))),
        ("GET", ["info"]) => info(server),
        ("GET", ["events"]) => events(server, &asked),
        ("GET", ["system", "df"]) => disk_usage(server),
        ("POST", ["auth"]) => auth(server, &mut asked),
        _ => Err(ApiError::no_such_page()),
    }
}

fn ping(method: &hyper::Method) -> Reply {
    let mut reply = match *method == hyper::Method::HEAD {
        true => Reply::empty(StatusCode::OK),
        false => Reply::text("OK"),
    };
    reply.headers = vec![
        ("builder-version", "1".into()),
        ("swarm", "inactive".into()),
        (
            "cache-control",
            "no-cache, no-store, must-revalidate".into(),
        ),
        ("pragma", "no-cache".into()),
    ];
    reply
}

fn version(server: &Server) -> Value {
    let shape = describe::version(server.above.version).server;
    let mut value = serde_json::to_value(&shape).unwrap_or_default();
    let details = json!({
        "ApiVersion": shape.api_version,
        "Arch": shape.arch,
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": shape.git_commit,
        "GoVersion": "",
        "KernelVersion": shape.kernel_version,
        "MinAPIVersion": Version::OLDEST.to_string(),
        "Os": shape.os,
    });
    if let Some(map) = value.as_object_mut() {
        let engine = json!({ "Name": "Engine", "Version": shape.version, "Details": details });
        let own = json!({ "Name": "dockless", "Version": server.above.version, "Details": {} });
        map.insert("Components".into(), json!([engine, own]));
        map.insert("GoVersion".into(), "".into());
        map.insert("BuildTime".into(), "".into());
    }
    value
}

fn info(server: &Server) -> Answer {
    let shape = describe::info(&server.ctx, Vec::new())?;
    let mut value = serde_json::to_value(&shape).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        // The client's own.
        map.remove("ClientInfo");
    }
    Ok(Reply::json(&value))
}

/// An event with Docker's old names of the same, which clients still read.
fn told(event: &Event) -> Value {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.insert("status".into(), event.action.clone().into());
        map.insert("id".into(), event.actor.id.clone().into());
        let from = event.actor.attributes.get("image");
        if let Some(image) = from.filter(|_| event.kind == "container") {
            map.insert("from".into(), image.clone().into());
        }
    }
    value
}

fn events(server: &Server, asked: &Asked) -> Answer {
    let filters = asked.query.filters(FILTERS)?;
    let since = asked.query.time("since")?;
    let until = asked.query.time("until")?;
    let ctx = &server.ctx;
    let past = since.is_some() || until.is_some_and(|until| until <= Timestamp::now());
    let mut reader = match past {
        true => Reader::from_start(ctx)?,
        false => Reader::from_now(ctx)?,
    };
    Ok(Reply::stream("application/json", move |out| {
        loop {
            while let Some(event) = reader.next_ready().map_err(std::io::Error::other)? {
                let time = Timestamp(event.time_nano);
                if until.is_some_and(|until| time > until) {
                    return Ok(());
                }
                if since.is_none_or(|since| time >= since) && event.fits(&filters) {
                    out.document(&told(&event))?;
                }
            }
            let left = until.map(|until| until.0 - Timestamp::now().0);
            if left.is_some_and(|left| left <= 0) || out.is_closed() {
                return Ok(());
            }
            let left = left.and_then(|left| u64::try_from(left).ok());
            let left = left.map_or(Duration::MAX, Duration::from_nanos);
            let wait = left.min(Duration::from_secs(1));
            reader.wait(Some(wait)).map_err(std::io::Error::other)?;
        }
    }))
}

fn disk_usage(server: &Server) -> Answer {
    let ctx = &server.ctx;
    let containers = list(ctx, true, &Filters::default())?;
    let store = ctx.images()?;
    let images = store.list()?;
    let images = images.iter().map(|image| {
        let id = image.id.to_string();
        let users = containers.iter().filter(|c| c.record.image.id == id);
        let users = i64::try_from(users.count()).unwrap_or(i64::MAX);
        let mut value = images::summary(&store, image, users);
        if let Some(map) = value.as_object_mut() {
            map.insert("SharedSize".into(), 0.into());
        }
        value
    });
    let images: Vec<Value> = images.collect();
    let mut volumes = Vec::new();
    for record in volume::list(ctx)? {
        let size = usage::disk_usage(&ctx.layout.volume(&record.name));
        let users = volume::users(ctx, &record.name)?.len();
        let mut value = serde_json::to_value(Volume::new(ctx, &record)).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            let data = json!({ "Size": size, "RefCount": users });
            map.insert("UsageData".into(), data);
        }
        volumes.push(value);
    }
    let layers = usage::disk_usage(&ctx.layout.images()) + usage::disk_usage(&ctx.layout.layers());
    Ok(Reply::json(&json!({
        "LayersSize": layers,
        "Images": images,
        "Containers": super::containers::summaries(ctx, &containers, true),
        "Volumes": volumes,
        "BuildCache": [],
        "BuilderSize": usage::disk_usage(&ctx.layout.build()),
    })))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Account {
    username: Option<String>,
    password: Option<String>,
    serveraddress: Option<String>,
}

/// Whether the registry takes an account. It is kept by the client, not here.
fn auth(server: &Server, asked: &mut Asked) -> Answer {
    use image::registry::credentials::Credential;
    let account: Account = asked.document()?;
    let registry = account.serveraddress.unwrap_or_default();
    let (username, password) = (
        account.username.unwrap_or_default(),
        account.password.unwrap_or_default(),
    );
    let mut options = server.ctx.registries();
    options.docker_config = None;
    let token = match image::account::check(&options, &registry, &username, &password) {
        Ok(Credential::IdentityToken(token)) => token,
        Ok(_) => String::new(),
        Err(error) => {
            let message = engine::error::chain(&error);
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
        }
    };
    Ok(Reply::json(&json!({
        "Status": "Login Succeeded",
        "IdentityToken": token,
    })))
}
