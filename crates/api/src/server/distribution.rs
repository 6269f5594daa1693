//! `GET /distribution/{name}/json`: what a registry says of an image, without fetching it.

use super::Server;
use super::error::ApiError;
use super::images::registries;
use super::reply::Reply;
use super::request::Asked;
use super::route::Answer;
use oci::{Descriptor, Platform, Reference};
use serde_json::{Value, json};

pub(crate) fn inspect(server: &Server, asked: &Asked, name: &str) -> Answer {
    if asked.method != "GET" {
        return Err(ApiError::no_such_page());
    }
    let name: Reference = name.parse()?;
    let name = name.or_latest();
    let store = server.ctx.images_with(registries(server, asked, &name)?)?;
    let manifest = store.remote_manifest(&name)?;
    let platforms = store.remote_platforms(&manifest)?;
    Ok(Reply::json(&shape(&manifest.descriptor, &platforms)))
}

fn shape(descriptor: &Descriptor, platforms: &[Platform]) -> Value {
    json!({
        "Descriptor": {
            "mediaType": descriptor.media_type,
            "digest": descriptor.digest.to_string(),
            "size": descriptor.size,
        },
        "Platforms": platforms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_described_by_digest_and_platforms() {
        let descriptor = Descriptor::of("application/vnd.oci.image.index.v1+json", b"{}");
        let told = shape(&descriptor, &[Platform::new("linux", "arm", Some("v7"))]);
        assert_eq!(told["Descriptor"]["size"], 2);
        assert_eq!(
            told["Platforms"],
            json!([{ "architecture": "arm", "os": "linux", "variant": "v7" }])
        );
    }
}
