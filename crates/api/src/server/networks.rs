//! `/networks`.

use super::Server;
use super::error::ApiError;
use super::reply::Reply;
use super::request::Asked;
use super::route::Answer;
use crate::ask::network::{EndpointBody, NetworkBody};
use crate::wire::network::Network;
use engine::container::names::resolve;
use engine::networks as verbs;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Member {
    container: String,
    endpoint_config: Option<EndpointBody>,
    force: Option<bool>,
}

pub(crate) fn route(server: &Server, mut asked: Asked, path: &[&str]) -> Answer {
    let ctx = &server.ctx;
    let method = asked.method.clone();
    match (method.as_str(), path) {
        ("GET", []) => list(server, &asked),
        ("POST", ["create"]) => create(server, &mut asked),
        ("POST", ["prune"]) => {
            let filters = asked.query.filters(engine::prune::FILTERS)?;
            let removed = engine::prune::networks(ctx, &filters)?.removed;
            Ok(Reply::json(&json!({ "NetworksDeleted": removed })))
        }
        ("GET", [id]) => {
            let record = network::find(&ctx.layout, id)?;
            Ok(Reply::json(&Network::load(ctx, &record)?))
        }
        ("DELETE", [id]) => {
            verbs::remove(ctx, id)?;
            Ok(Reply::no_content())
        }
        ("POST", [id, "connect"]) => {
            let body: Member = asked.document()?;
            let record = resolve(ctx, &body.container)?;
            let wanted = network::find(&ctx.layout, id)?;
            let endpoint = body.endpoint_config.unwrap_or_default();
            let endpoint = endpoint
                .read(&wanted.name)
                .map_err(|e| ApiError::bad(e.to_string()))?;
            verbs::connect(ctx, id, &record, endpoint)?;
            Ok(Reply::empty(StatusCode::OK))
        }
        ("POST", [id, "disconnect"]) => {
            let body: Member = asked.document()?;
            let force = body.force.unwrap_or(false);
            match resolve(ctx, &body.container) {
                Ok(record) => verbs::disconnect(ctx, id, &record)?,
                // By force, of one that is no more: what it left on the network goes.
                Err(_) if force => verbs::disconnect_gone(ctx, id)?,
                Err(error) => return Err(error.into()),
            }
            Ok(Reply::empty(StatusCode::OK))
        }
        _ => Err(ApiError::no_such_page()),
    }
}

fn create(server: &Server, asked: &mut Asked) -> Answer {
    let body: NetworkBody = asked.document()?;
    let spec = body.read().map_err(|e| ApiError::bad(e.to_string()))?;
    let made = verbs::create(&server.ctx, &spec)?;
    Ok(Reply::created(&json!({ "Id": made.id, "Warning": "" })))
}

fn list(server: &Server, asked: &Asked) -> Answer {
    let filters = asked.query.filters(FILTERS)?;
    let shown = verbs::list(&server.ctx, &filters)?;
    let members = Default::default;
    let each = shown.iter().map(|record| Network::new(record, members()));
    Ok(Reply::json(&each.collect::<Vec<_>>()))
}
