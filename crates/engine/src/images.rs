//! Images as containers use them.

use crate::container::create::BaseImage;
use crate::container::record::{ContainerRecord, ImageRecord};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::events;
use crate::timestamp::Timestamp;
use image::{Image, Progress, PullPolicy, Store};
use model::filter::Filters;
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

/// The keys of `images --filter`.
pub const FILTERS: &[&str] = &["dangling", "label", "before", "since", "reference", "until"];

pub fn created(image: &Image) -> Option<Timestamp> {
    image.config.created.as_deref().and_then(Timestamp::parse)
}

pub fn selected(store: &Store, filters: &Filters) -> Result<Vec<Image>> {
    let mut images = store.list()?;
    if let Some(dangling) = filters.flag("dangling")? {
        images.retain(|image| image.names.is_empty() == dangling);
    }
    images.retain(|image| filters.matches_labels(&image.config.config.labels));
    let time_of = |key: &str| -> Result<Option<Timestamp>> {
        match filters.get(key).first() {
            Some(name) => Ok(created(&store.find(name)?)),
            None => Ok(None),
        }
    };
    if let Some(limit) = time_of("before")? {
        images.retain(|image| created(image).is_some_and(|time| time < limit));
    }
    if let Some(limit) = time_of("since")? {
        images.retain(|image| created(image).is_some_and(|time| time > limit));
    }
    if let Some(text) = filters.get("until").first() {
        let limit = crate::prune::moment(text)?;
        images.retain(|image| created(image).is_some_and(|time| time < limit));
    }
    Ok(images)
}

/// A glob where `*` and `?` stop at a slash.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    // Row by row: whether the pattern so far fits the text so far.
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for p in pattern {
        let mut next = vec![false; text.len() + 1];
        if p == '*' {
            let mut open = false;
            for i in 0..=text.len() {
                open = row[i] || (open && i > 0 && text[i - 1] != '/');
                next[i] = open;
            }
        } else {
            for i in 1..=text.len() {
                next[i] = row[i - 1] && (text[i - 1] == p || (p == '?' && text[i - 1] != '/'));
            }
        }
        row = next;
    }
    row[text.len()]
}

/// The configuration of an image that is made from an archive of files.
pub fn imported(platform: oci::Platform, comment: &str) -> oci::ImageConfig {
    let created = Some(Timestamp::now().to_string());
    oci::ImageConfig {
        created: created.clone(),
        architecture: platform.architecture,
        os: platform.os,
        variant: platform.variant,
        history: vec![oci::History {
            created,
            comment: comment.to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    }
}
