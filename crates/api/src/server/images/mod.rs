//! `/images`.

pub(crate) mod build;
mod progress;
mod transfer;

pub(crate) use transfer::registries;

use super::Server;
use super::error::ApiError;
use super::reply::Reply;
use super::request::Asked;
use super::route::Answer;
use engine::prune_images::{self, Uses};
use hyper::StatusCode;
use image::{Image, RemoveOptions, Removed, Store};
use oci::Reference;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) fn route(server: &Arc<Server>, asked: Asked, path: &[&str]) -> Answer {
    let method = asked.method.clone();
    match (method.as_str(), path) {
        ("GET", ["json"]) => list(server, &asked),
        ("GET", ["search"]) => search(server, &asked),
        ("GET", ["get"]) => transfer::save(server, asked.query.all("names")),
        ("POST", ["create"]) => transfer::create(server, asked),
        ("POST", ["load"]) => transfer::load(server, asked),
        ("POST", ["prune"]) => prune(server, &asked),
        // A name has slashes of its own.
        ("GET", [name @ .., what]) if !name.is_empty() => get(server, &name.join("/"), what),
        ("POST", [name @ .., "push"]) if !name.is_empty() => {
            let name = name.join("/");
            transfer::push(server, &asked, &name)
        }
        ("POST", [name @ .., "tag"]) if !name.is_empty() => tag(server, &asked, &name.join("/")),
        ("DELETE", name) if !name.is_empty() => delete(server, &asked, &name.join("/")),
        _ => Err(ApiError::no_such_page()),
    }
}

fn get(server: &Arc<Server>, name: &str, what: &str) -> Answer {
    match what {
        "json" => {
            let store = server.ctx.images()?;
            let image = store.find(name)?;
            let size = store.size(&image);
            Ok(Reply::json(&crate::wire::image::Image::new(&image, size)))
        }
        "history" => history(server, name),
        "get" => transfer::save(server, vec![name.to_owned()]),
        _ => Err(ApiError::no_such_page()),
    }
}

/// `repo` and `tag` of a query; nothing where no repository is named.
pub(crate) fn named(repo: Option<&str>, tag: Option<&str>) -> Result<Option<Reference>, ApiError> {
    let Some(repo) = repo else {
        return Ok(None);
    };
    let text = match tag {
        Some(tag) if tag.contains(':') => format!("{repo}@{tag}"),
        Some(tag) => format!("{repo}:{tag}"),
        None => repo.to_owned(),
    };
    Ok(Some(text.parse()?))
}

pub(crate) fn in_use(server: &Server) -> Result<Vec<image::InUse>, ApiError> {
    (server.above.images_in_use)(&server.ctx).map_err(ApiError::server)
}

fn list(server: &Server, asked: &Asked) -> Answer {
    let filters = asked.query.filters(engine::images::FILTERS)?;
    let store = server.ctx.images()?;
    let mut images = engine::images::selected(&store, &filters)?;
    let patterns = filters.get("reference");
    if !patterns.is_empty() {
        images.retain(|image| image.names.iter().any(|name| fits(name, patterns)));
    }
    let all = images.iter().map(|image| summary(&store, image, -1));
    Ok(Reply::json(&all.collect::<Vec<_>>()))
}

fn fits(name: &Reference, patterns: &[String]) -> bool {
    let (whole, repository) = (name.familiar(), name.familiar_repository());
    patterns.iter().any(|pattern| {
        engine::images::fits(pattern, &whole) || engine::images::fits(pattern, &repository)
    })
}

pub(crate) fn summary(store: &Store, image: &Image, containers: i64) -> Value {
    let created = engine::images::created(image).map_or(0, |time| time.seconds());
    json!({
        "Containers": containers,
        "Created": created,
        "Id": image.id.to_string(),
        "Labels": image.config.config.labels,
        "ParentId": image.parent().map(|id| id.to_string()).unwrap_or_default(),
        "RepoDigests": image.repo_digests(),
        "RepoTags": image.repo_tags(),
        "SharedSize": -1,
        "Size": store.size(image),
    })
}

fn history(server: &Server, name: &str) -> Answer {
    let store = server.ctx.images()?;
    let image = store.find(name)?;
    let lines = store.history(&image);
    let each = lines.iter().map(|line| {
        let created = line.created.as_deref().and_then(engine::Timestamp::parse);
        let id = line.id.as_ref().map(ToString::to_string);
        json!({
            "Comment": line.comment,
            "Created": created.map_or(0, |time| time.seconds()),
            "CreatedBy": line.created_by,
            "Id": id.unwrap_or_else(|| "<missing>".into()),
            "Size": line.size,
            "Tags": (!line.tags.is_empty()).then_some(&line.tags),
        })
    });
    Ok(Reply::json(&each.collect::<Vec<_>>()))
}

fn tag(server: &Server, asked: &Asked, name: &str) -> Answer {
    let target = named(Some(asked.query.need("repo")?), asked.query.get("tag"))?;
    let target = target.ok_or_else(|| ApiError::bad("missing parameter: repo"))?;
    let store = server.ctx.images()?;
    store.tag(name, &target)?;
    let id = store.find(name).map(|image| image.id.to_string());
    let familiar = target.or_latest().familiar();
    engine::images::emit(&server.ctx, "tag", &id.unwrap_or_default(), &familiar);
    Ok(Reply::empty(StatusCode::CREATED))
}

fn delete(server: &Server, asked: &Asked, name: &str) -> Answer {
    let users = in_use(server)?;
    let options = RemoveOptions {
        force: asked.query.flag("force"),
        in_use: &users,
    };
    let removed = server.ctx.images()?.remove(name, options)?;
    for step in &removed {
        match step {
            Removed::Untagged(name) => engine::images::emit(&server.ctx, "untag", name, name),
            Removed::Deleted(id) => engine::images::emit(&server.ctx, "delete", id, id),
        }
    }
    if removed
        .iter()
        .any(|step| matches!(step, Removed::Deleted(_)))
    {
        engine::trash::delete_images_later(&server.ctx)?;
    }
    Ok(Reply::json(&steps(&removed)))
}

fn steps(removed: &[Removed]) -> Vec<Value> {
    let each = removed.iter().map(|step| match step {
        Removed::Untagged(name) => json!({ "Untagged": name }),
        Removed::Deleted(id) => json!({ "Deleted": id }),
    });
    each.collect()
}

fn prune(server: &Server, asked: &Asked) -> Answer {
    let filters = asked.query.filters(engine::prune::FILTERS)?;
    let ctx = &server.ctx;
    let uses = Uses {
        images: &|| in_use(server),
        roots: &|| build::roots(ctx).map_err(ApiError::server),
    };
    let pruned = prune_images::images(ctx, false, &filters, &uses)?;
    Ok(Reply::json(&json!({
        "ImagesDeleted": steps(&pruned.steps),
        "SpaceReclaimed": pruned.freed,
    })))
}

fn search(server: &Server, asked: &Asked) -> Answer {
    let term = asked.query.need("term")?;
    let limit = asked.query.number::<usize>("limit")?.unwrap_or(25);
    let filters = asked.query.filters(engine::search::FILTERS)?;
    let found = engine::search::search(&server.ctx.registries(), term, limit, &filters)?;
    let each = found.iter().map(|result| {
        json!({
            "name": result.name,
            "description": result.description,
            "star_count": result.star_count,
            "is_official": result.is_official,
            "is_automated": result.is_automated,
        })
    });
    Ok(Reply::json(&each.collect::<Vec<_>>()))
}
