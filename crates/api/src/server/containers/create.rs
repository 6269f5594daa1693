//! `POST /containers/create`.

use crate::ask::ContainerBody;
use crate::server::Server;
use crate::server::error::ApiError;
use crate::server::reply::Reply;
use crate::server::request::Asked;
use crate::server::route::Answer;
use engine::container::{create as creating, warnings};
use image::PullPolicy;
use model::log::LogDriver;
use serde_json::json;

pub(super) fn create(server: &Server, asked: &mut Asked) -> Answer {
    let ctx = &server.ctx;
    let name = asked.query.get("name").map(str::to_owned);
    let platform = asked.query.get("platform").map(str::to_owned);
    let body: ContainerBody = asked.document()?;
    if body.image().is_empty() {
        return Err(ApiError::bad("no image is named: Image is empty"));
    }
    let names_log_driver = body.names_log_driver();
    let mut spec = body.read().map_err(|e| ApiError::bad(e.to_string()))?;
    spec.platform = platform;
    if !names_log_driver && ctx.config.log_driver.is_none() {
        // Docker's own default, by which libraries tell that they can read what a container said.
        spec.log.driver = LogDriver::JsonFile;
    }
    // The client pulls what is not here.
    let image = engine::images::base(
        ctx,
        &spec.image,
        PullPolicy::Never,
        spec.platform.as_deref(),
        &image::Silent,
    )?;
    let mut lines = warnings::warnings(&spec);
    lines.extend(engine::networks::warnings(ctx, &spec)?);
    let record = creating::create(ctx, spec, name.as_deref(), &image)?;
    Ok(Reply::created(&json!({
        "Id": record.id,
        "Warnings": lines,
    })))
}
