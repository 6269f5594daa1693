//! Images that come and go: pull, push, import, load, save.

use super::progress::{Told, tell};
use super::{ApiError, Arc, Asked, Server, named};
use crate::server::reply::Reply;
use crate::server::route::Answer;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use image::RegistryOptions;
use image::registry::credentials::AuthText;
use oci::Reference;
use serde::Deserialize;
use serde_json::json;

/// Who the client is at a registry.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Account {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Longer headers are nobody's account.
const MAX_ACCOUNT: usize = 64 * 1024;

/// The registries as this client may reach them: by its own account, and no other.
pub(crate) fn registries(
    server: &Server,
    asked: &Asked,
    name: &Reference,
) -> Result<RegistryOptions, ApiError> {
    let mut options = server.ctx.registries();
    options.docker_config = None;
    options.auth_text = None;
    options.auth_files = Vec::new();
    let Some(header) = asked
        .header("x-registry-auth")
        .filter(|h| h.len() < MAX_ACCOUNT)
    else {
        return Ok(options);
    };
    let padded = |text: &str| format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    let header = padded(header.trim_end_matches('='));
    let decoded = URL_SAFE
        .decode(&header)
        .or_else(|_| STANDARD.decode(&header))
        .map_err(|_| ApiError::bad("invalid X-Registry-Auth header: it is no base64"))?;
    // The cause would quote what is there.
    let account: Account = serde_json::from_slice(&decoded)
        .map_err(|_| ApiError::bad("invalid X-Registry-Auth header: it is no JSON"))?;
    if let Some(entry) = entry(&account) {
        let document = json!({ "auths": { name.domain(): entry } });
        options.auth_text = Some(AuthText(document.to_string()));
    }
    Ok(options)
}

fn entry(account: &Account) -> Option<serde_json::Value> {
    let said = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    if let Some(token) = said(&account.identitytoken) {
        return Some(json!({ "identitytoken": token }));
    }
    if let Some(token) = said(&account.registrytoken) {
        return Some(json!({ "registrytoken": token }));
    }
    if let Some(auth) = said(&account.auth) {
        return Some(json!({ "auth": auth }));
    }
    let username = said(&account.username)?;
    let password = said(&account.password)?;
    Some(json!({ "auth": STANDARD.encode(format!("{username}:{password}")) }))
}

fn platform(asked: &Asked) -> Result<Option<oci::Platform>, ApiError> {
    let text = asked.query.get("platform");
    let parsed = text.map(str::parse::<oci::Platform>).transpose();
    parsed.map_err(|e| ApiError::bad(e.to_string()))
}

/// `POST /images/create`: a pull, or with `fromSrc` an import.
pub(super) fn create(server: &Arc<Server>, asked: Asked) -> Answer {
    if asked.query.contains("fromSrc") {
        return import(server, asked);
    }
    let repo = asked.query.need("fromImage")?;
    let tag = asked.query.get("tag");
    let name =
        named(Some(repo), tag)?.ok_or_else(|| ApiError::bad("missing parameter: fromImage"))?;
    let platform = platform(&asked)?;
    let store = server.ctx.images_with(registries(server, &asked, &name)?)?;
    let ctx = server.ctx.clone();
    // As typed: a name without a registry may stand for another one's image.
    let typed = match tag {
        Some(tag) if tag.contains(':') => format!("{repo}@{tag}"),
        Some(tag) => format!("{repo}:{tag}"),
        None => repo.to_owned(),
    };
    tell(server.activity.begin(), false, move |told| {
        let pulled = store.pull_named(&typed, platform.as_ref(), told);
        let (name, pulled) = pulled.map_err(|error| nowhere(&name, error))?;
        engine::images::emit(&ctx, "pull", &pulled.image.id.to_string(), &name.familiar());
        Ok(())
    })
}

/// An image that is nowhere is told in the words that clients look for; what each place said follows.
fn nowhere(name: &Reference, error: image::Error) -> ApiError {
    let is_nowhere = matches!(error, image::Error::NotFound(_));
    let mut told = ApiError::from(error);
    if is_nowhere {
        told.message = format!(
            "pull access denied for {}, repository does not exist or may require 'docker login': {}",
            name.familiar_repository(),
            told.message
        );
    }
    told
}

fn import(server: &Arc<Server>, asked: Asked) -> Answer {
    let source = asked.query.need("fromSrc")?;
    if source != "-" {
        return Err(ApiError::bad(format!(
            "{source}: an archive is read from the request's body only"
        )));
    }
    let names: Vec<Reference> = named(asked.query.get("repo"), asked.query.get("tag"))?
        .into_iter()
        .collect();
    let store = server.ctx.images()?;
    let platform = platform(&asked)?.unwrap_or_else(|| store.platform());
    let message = asked.query.get("message").unwrap_or("Imported from -");
    let config = engine::images::imported(platform, message);
    let config = build::change(config, &asked.query.all("changes"))
        .map_err(|e| ApiError::bad(e.to_string()))?;
    let ctx = server.ctx.clone();
    tell(server.activity.begin(), false, move |told| {
        let image = store.import(asked.body, &config, &names)?;
        let id = image.id.to_string();
        let name = names.first().map(Reference::familiar);
        engine::images::emit(&ctx, "import", &id, &name.unwrap_or_default());
        told.document(&json!({ "status": id }));
        Ok(())
    })
}

/// `POST /images/load`.
pub(super) fn load(server: &Arc<Server>, asked: Asked) -> Answer {
    let platform = platform(&asked)?;
    let store = server.ctx.images()?;
    let ctx = server.ctx.clone();
    let quiet = asked.query.flag("quiet");
    tell(server.activity.begin(), quiet, move |told| {
        // Docker answers before it reads: clients find in the stream that it is no image.
        told.begin();
        let loaded = store.load(asked.body, platform.as_ref(), told)?;
        for one in &loaded {
            let id = one.image.id.to_string();
            engine::images::emit(&ctx, "load", &id, &id);
            if one.names.is_empty() {
                told.document(&json!({ "stream": format!("Loaded image ID: {id}\n") }));
            }
            for name in &one.names {
                let text = format!("Loaded image: {}\n", name.familiar());
                told.document(&json!({ "stream": text }));
            }
        }
        Ok(())
    })
}

/// `GET /images/get` and `GET /images/{name}/get`.
pub(super) fn save(server: &Arc<Server>, names: Vec<String>) -> Answer {
    if names.is_empty() {
        return Err(ApiError::bad("missing parameter: names"));
    }
    let store = server.ctx.images()?;
    for name in &names {
        store.find(name)?;
    }
    Ok(Reply::stream("application/x-tar", move |out| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        store.save(&names, out).map_err(std::io::Error::other)
    }))
}

/// `POST /images/{name}/push`.
pub(super) fn push(server: &Arc<Server>, asked: &Asked, name: &str) -> Answer {
    let tag = asked.query.get("tag");
    let name = named(Some(name), tag)?.ok_or_else(ApiError::no_such_page)?;
    let platform = platform(asked)?;
    let store = server.ctx.images_with(registries(server, asked, &name)?)?;
    let mut names = vec![name.clone()];
    if name.tag().is_none() && name.digest().is_none() {
        // Without a tag all of the repository's are meant.
        let images = store.list()?.into_iter().flat_map(|image| image.names);
        names = images
            .filter(|known| known.repository() == name.repository() && known.tag().is_some())
            .collect();
        if names.is_empty() {
            return Err(ApiError::not_found(format!(
                "An image does not exist locally with the tag: {}",
                name.familiar_repository()
            )));
        }
    }
    let ctx = server.ctx.clone();
    tell(server.activity.begin(), false, move |told: &Told| {
        for name in &names {
            told.document(&json!({
                "status": format!("The push refers to repository [{}]", name.repository()),
            }));
            let pushed = store.push_for(name, platform.as_ref(), told)?;
            let digest = pushed.digest.to_string();
            engine::images::emit(&ctx, "push", &digest, &pushed.reference.familiar());
            let tag = pushed.reference.tag().unwrap_or_default();
            told.document(&json!({
                "progressDetail": {},
                "aux": { "Tag": tag, "Digest": digest, "Size": pushed.size },
            }));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_nowhere_is_told_in_dockers_words() {
        let name: Reference = "team/app:1".parse().unwrap();
        let told = nowhere(&name, image::Error::NotFound(image::NotFound::default()));
        assert_eq!(told.status, 404);
        let words = "pull access denied for team/app, repository does not exist or may require 'docker login': image";
        assert!(told.message.starts_with(words), "{}", told.message);
        let other = nowhere(&name, image::Error::Conflict("x".into()));
        assert_eq!(other.message, "x");
    }

    #[test]
    fn an_account_is_what_it_says_or_nobody() {
        let of = |text: &str| entry(&serde_json::from_str(text).unwrap());
        assert_eq!(of("{}"), None);
        assert_eq!(of(r#"{"serveraddress":"x","username":"u"}"#), None);
        assert_eq!(
            of(r#"{"username":"u","password":"p"}"#),
            Some(json!({"auth": "dTpw"}))
        );
        assert_eq!(
            of(r#"{"username":"u","password":"p","identitytoken":"t"}"#),
            Some(json!({"identitytoken": "t"}))
        );
    }
}
