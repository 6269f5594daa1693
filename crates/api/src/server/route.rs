//! Which request is answered by whom.

use super::error::ApiError;
use super::reply::Reply;
use super::request::{Asked, Version};
use super::{Server, containers, distribution, exec, host, images, networks, volumes};

pub(crate) type Answer = Result<Reply, ApiError>;

/// Answers one request.
pub(crate) fn dispatch(server: &std::sync::Arc<Server>, asked: Asked) -> Answer {
    if asked.version < Version::OLDEST {
        return Err(ApiError::bad(format!(
            "client version {} is too old. Minimum supported API version is {}, please upgrade your client to a newer version",
            asked.version,
            Version::OLDEST
        )));
    }
    if asked.version > Version::NEWEST {
        return Err(ApiError::bad(format!(
            "client version {} is too new. Maximum supported API version is {}",
            asked.version,
            Version::NEWEST
        )));
    }
    let path = asked.path.clone();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["containers", rest @ ..] => containers::route(server, asked, rest),
        ["exec", id, rest @ ..] => exec::route(server, asked, id, rest),
        ["images", rest @ ..] => images::route(server, asked, rest),
        ["networks", rest @ ..] => networks::route(server, asked, rest),
        ["volumes", rest @ ..] => volumes::route(server, asked, rest),
        ["build", rest @ ..] => images::build::route(server, asked, rest),
        ["distribution", name @ .., "json"] if !name.is_empty() => {
            distribution::inspect(server, &asked, &name.join("/"))
        }
        ["commit"] if asked.method == "POST" => containers::commit(server, &asked),
        [
            "swarm" | "services" | "tasks" | "nodes" | "secrets" | "configs",
            ..,
        ] => Err(ApiError::no_swarm()),
        other => host::route(server, asked, other),
    }
}
