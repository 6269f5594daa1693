//! `image prune`: images that nothing uses, and what no image reaches any more.
//!
//! What projects and the build cache keep is known above this crate, and is asked for.

use crate::context::Context;
use crate::error::Error;
use crate::{images, prune, usage};
use ::image::remove::{InUse, Removed};
use ::image::{Image, Keep};
use model::filter::Filters;
use oci::Digest;

/// Layers and blobs that the cache of builds keeps.
pub type Roots = (Vec<Digest>, Vec<Digest>);

/// Asks what is in use; what is said is as old as the question.
pub struct Uses<'a, E> {
    pub images: &'a dyn Fn() -> Result<Vec<InUse>, E>,
    pub roots: &'a dyn Fn() -> Result<Roots, E>,
}

impl<E> std::fmt::Debug for Uses<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Uses")
    }
}

/// What was removed, and the bytes that came free.
#[derive(Debug)]
pub struct PrunedImages {
    pub steps: Vec<Removed>,
    pub freed: u64,
}

/// Removes dangling images, or `all` that nothing uses (also by the filter `dangling=false`, as in Docker).
pub fn images<E: From<Error>>(
    ctx: &Context,
    all: bool,
    filters: &Filters,
    uses: &Uses<'_, E>,
) -> Result<PrunedImages, E> {
    let all = all || filters.flag("dangling").map_err(Error::from)? == Some(false);
    // A time that makes no sense is told before anything goes, and where there is nothing to go.
    for text in filters.get("until") {
        prune::moment(text).map_err(E::from)?;
    }
    let before = store_size(ctx);
    let wanted = |image: &Image| {
        prune::fits(filters, &image.config.config.labels, images::created(image)).unwrap_or(false)
    };
    let steps = ctx
        .images()?
        .prune_images(all, &(uses.images)()?, &wanted)
        .map_err(Error::from)?;
    unreferenced(ctx, uses)?;
    Ok(PrunedImages {
        steps,
        freed: before.saturating_sub(store_size(ctx)),
    })
}

/// Deletes the layers and blobs that neither an image, a container nor the build cache reaches; the bytes freed.
pub fn unreferenced<E: From<Error>>(ctx: &Context, uses: &Uses<'_, E>) -> Result<u64, E> {
    let in_use = (uses.images)()?;
    let (layers, blobs) = (uses.roots)()?;
    let keep = Keep {
        in_use: &in_use,
        layers: &layers,
        blobs: &blobs,
    };
    let found = ctx.images()?.prune(keep).map_err(Error::from)?;
    Ok(found.map_or(0, |found| found.bytes))
}

fn store_size(ctx: &Context) -> u64 {
    usage::disk_usage(&ctx.layout.images()) + usage::disk_usage(&ctx.layout.layers())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::context;

    #[test]
    fn who_cannot_say_what_is_in_use_has_nothing_removed() {
        let (_dir, ctx) = context();
        let failed = || Error::Refused("unknown".into());
        let uses = Uses {
            images: &|| Err(failed()),
            roots: &|| Ok(Roots::default()),
        };
        assert!(images(&ctx, true, &Filters::default(), &uses).is_err());
        let uses: Uses<'_, Error> = Uses {
            images: &|| Ok(Vec::new()),
            roots: &|| Ok(Roots::default()),
        };
        let pruned = images(&ctx, true, &Filters::default(), &uses).unwrap();
        assert!(pruned.steps.is_empty());
        let soon = Filters::parse(&["until=soon"], prune::FILTERS).unwrap();
        let error = images(&ctx, true, &soon, &uses).unwrap_err();
        assert!(error.to_string().contains("soon"), "{error}");
    }
}
