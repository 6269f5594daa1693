//! `/volumes`.

use super::Server;
use super::error::ApiError;
use super::reply::Reply;
use super::request::Asked;
use super::route::Answer;
use crate::wire::volume::Volume;
use engine::volume::{self, VolumeSpec};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

const FILTERS: &[&str] = &["dangling", "driver", "label", "name"];

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body {
    name: Option<String>,
    driver: Option<String>,
    driver_opts: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

pub(crate) fn route(server: &Server, mut asked: Asked, path: &[&str]) -> Answer {
    let ctx = &server.ctx;
    let method = asked.method.clone();
    match (method.as_str(), path) {
        ("GET", []) => {
            let filters = asked.query.filters(FILTERS)?;
            let found = volume::selected(ctx, &filters)?;
            let each = found.iter().map(|record| Volume::new(ctx, record));
            Ok(Reply::json(&json!({
                "Volumes": each.collect::<Vec<_>>(),
                "Warnings": null,
            })))
        }
        ("POST", ["create"]) => {
            let body: Body = asked.document()?;
            let spec = VolumeSpec {
                name: body.name.filter(|name| !name.is_empty()),
                driver: body.driver.filter(|driver| !driver.is_empty()),
                options: body.driver_opts.unwrap_or_default(),
                labels: body.labels.unwrap_or_default(),
            };
            let record = volume::create(ctx, &spec)?;
            Ok(Reply::created(&Volume::new(ctx, &record)))
        }
        ("POST", ["prune"]) => {
            let filters = asked.query.filters(engine::prune::FILTERS)?;
            let report = engine::prune::volumes(ctx, false, &filters)?;
            Ok(Reply::json(&json!({
                "VolumesDeleted": report.removed,
                "SpaceReclaimed": report.freed,
            })))
        }
        ("GET", [name]) => {
            let record = volume::find(ctx, &plain(name)?)?;
            Ok(Reply::json(&Volume::new(ctx, &record)))
        }
        ("DELETE", [name]) => {
            volume::remove(ctx, &plain(name)?, asked.query.flag("force"))?;
            Ok(Reply::no_content())
        }
        _ => Err(ApiError::no_such_page()),
    }
}

/// A name becomes part of a path: one that is none is nobody's.
fn plain(name: &str) -> Result<String, ApiError> {
    model::mount::volume_name(name)
        .map_err(|_| ApiError::not_found(format!("get {name}: no such volume")))
}
