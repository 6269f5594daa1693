//! Images as containers use them.

use crate::container::create::BaseImage;
use crate::container::record::{ContainerRecord, ImageRecord};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::events;
use image::{Progress, PullPolicy, Store};
use std::collections::BTreeMap;

/// The image a container is to be made from, fetched if the policy says so, its layers unpacked.
pub fn base(
    ctx: &Context,
    reference: &str,
    policy: PullPolicy,
    platform: Option<&str>,
    progress: &dyn Progress,
) -> Result<BaseImage> {
    let store = ctx.images()?;
    let hold = store.hold()?;
    let platform = platform.map(parse_platform).transpose()?;
    let image = store.ensure(reference, policy, platform.as_ref(), progress)?;
    from_image(&store, image, hold)
}

fn parse_platform(text: &str) -> Result<oci::Platform> {
    text.parse()
        .map_err(|e| Error::invalid(format!("platform {text:?}"), format!("{e}")))
}

fn from_image(store: &Store, image: image::Image, hold: image::Hold) -> Result<BaseImage> {
    let layers = store.layer_dirs(&image)?;
    let record = ImageRecord {
        id: image.id.to_string(),
        digest: Some(image.target.digest.to_string()),
        layers,
        chain_id: image.chain.last().map(ToString::to_string),
        platform: image.config.platform().to_string(),
    };
    Ok(BaseImage {
        record,
        config: image.config.config,
        _hold: std::sync::Arc::new(hold),
    })
}

/// The image of a mount (`type=image`), fetched if it is not there.
pub(crate) fn mounted(ctx: &Context, reference: &str) -> Result<BaseImage> {
    base(ctx, reference, PullPolicy::Missing, None, &image::Silent)
}

/// Image id (`sha256:…`) → containers that were made from it; what `rmi` and `image prune` must leave alone.
pub fn in_use(ctx: &Context) -> Result<BTreeMap<String, Vec<ContainerRecord>>> {
    let mut users: BTreeMap<String, Vec<ContainerRecord>> = BTreeMap::new();
    for container in ContainerRecord::list(ctx)? {
        for mounted in container.mounts.iter().filter_map(|m| m.image.as_ref()) {
            let of_mount = users.entry(mounted.id.clone()).or_default();
            of_mount.push(container.clone());
        }
        users
            .entry(container.image.id.clone())
            .or_default()
            .push(container);
    }
    Ok(users)
}

/// Tells the world about an image.
pub fn emit(ctx: &Context, action: &str, id: &str, name: &str) {
    events::emit(
        ctx,
        "image",
        action,
        id,
        BTreeMap::from([("name".to_owned(), name.to_owned())]),
    );
}
