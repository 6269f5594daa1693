//! The build cache between data roots: what steps made, by their keys, kept as an image's layers are, so that any registry
//! and any image layout keeps it.
//!
//! ```text
//! manifest   config: application/vnd.dockless.buildcache.v1+json    layers: those the steps made
//! config     {"schema":1, "steps":[{"key":…, "layer":…, "diff_id":…, "created":…, "step":"RUN make"}]}
//! ```
//! With `type=inline` the same stands in the image's configuration, under [`INLINE`], without `layer`: the image's own are
//! meant. Whoever may write to a cache says what the steps made that are taken from it; that it is what the document
//! speaks of is checked by the layers' digests, packed and unpacked. A source that is broken or missing is a warning.

pub mod options;

pub(crate) use engine::error::chain;

use crate::cache::StepRecord;
use crate::progress::{Event, Progress};
use engine::Timestamp;
use image::{Deposit, Depot, Store};
use oci::{Descriptor, Digest, ImageConfig};
use options::{CacheFrom, CacheMode, CacheTo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

const MEDIA_TYPE: &str = "application/vnd.dockless.buildcache.v1+json";
/// The key of an image's configuration.
const INLINE: &str = "dockless.buildcache.v1";
/// BuildKit's own, of no use to an image built on one that has it.
const INLINE_BUILDKIT: &str = "moby.buildkit.cache.v0";
const SCHEMA: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    schema: u32,
    steps: Vec<Kept>,
}

/// What one step made.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    key: Digest,
    /// Of the manifest's layers; of an image's: that with the diff id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<Digest>,
    diff_id: Digest,
    created: Timestamp,
    step: String,
}

/// One `--cache-from` that was found.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) shown: String,
    deposit: Deposit,
    steps: BTreeMap<Digest, Offered>,
    /// It gave something wrong, and is not asked again.
    broken: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Offered {
    blob: Descriptor,
    diff_id: Digest,
    pub(crate) created: Timestamp,
    pub(crate) step: String,
}

/// A step of this build and what it made.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    pub(crate) key: Digest,
    pub(crate) record: StepRecord,
}

/// Opens the sources. What cannot be had is told, and built.
pub(crate) fn open(store: &Store, wanted: &[CacheFrom], progress: &dyn Progress) -> Vec<Source> {
    let open = |from: &CacheFrom| match source(store, from) {
        Ok(source) => Some(source),
        Err(why) => {
            let text = format!("no cache is taken from {}: {why}", from.shown);
            progress.event(Event::Warning(&text));
            None
        }
    };
    wanted.iter().filter_map(open).collect()
}

fn source(store: &Store, from: &CacheFrom) -> Result<Source, String> {
    let deposit = store
        .open_deposit(&from.depot)
        .map_err(|error| chain(&error))?;
    let steps = steps(&deposit)?;
    Ok(Source {
        shown: from.shown.clone(),
        deposit,
        steps,
        broken: AtomicBool::new(false),
    })
}

/// What a deposit offers, by key.
fn steps(deposit: &Deposit) -> Result<BTreeMap<Digest, Offered>, String> {
    let manifest = &deposit.manifest;
    let damaged =
        |error: serde_json::Error| format!("what it says of its steps is damaged: {error}");
    let (document, diff_ids) = match manifest.config.media_type == MEDIA_TYPE {
        true => (serde_json::from_slice(&deposit.document).map_err(damaged)?, Vec::new()),
        false => inline(&deposit.document).map_err(damaged)?.ok_or(
            "it has no build cache of ours: give one to it with --cache-to, or type=inline for an image",
        )?,
    };
    let Document { schema, steps } = document;
    if schema != SCHEMA {
        return Err(format!("its form {schema} is not known here"));
    }
    let offered = steps.into_iter().filter_map(|kept| {
        let blob = match &kept.layer {
            Some(digest) => manifest.layers.iter().find(|layer| layer.digest == *digest),
            None => {
                let at = diff_ids.iter().position(|id| *id == kept.diff_id)?;
                manifest.layers.get(at)
            }
        };
        let offered = Offered {
            blob: blob?.clone(),
            diff_id: kept.diff_id,
            created: kept.created,
            step: kept.step,
        };
        Some((kept.key, offered))
    });
    Ok(offered.collect())
}

/// The document in an image's configuration, and the image's diff ids.
fn inline(config: &[u8]) -> Result<Option<(Document, Vec<Digest>)>, serde_json::Error> {
    let mut config: ImageConfig = serde_json::from_slice(config)?;
    let Some(value) = config.other.remove(INLINE) else {
        return Ok(None);
    };
    Ok(Some((
        serde_json::from_value(value)?,
        config.rootfs.diff_ids,
    )))
}

impl Source {
    /// What it has for a key, as long as it has given nothing wrong.
    pub(crate) fn offer(&self, key: &Digest) -> Option<&Offered> {
        let offered = self.steps.get(key)?;
        (!self.broken.load(Ordering::Relaxed)).then_some(offered)
    }

    pub(crate) fn fetch(
        &self,
        store: &Store,
        offered: &Offered,
        parent: Option<&Digest>,
        progress: &dyn image::Progress,
    ) -> Result<image::Layer, image::Error> {
        let (blob, diff_id) = (&offered.blob, &offered.diff_id);
        let fetched = store.take_layer(&self.deposit, blob, diff_id, parent, progress);
        self.broken.fetch_or(fetched.is_err(), Ordering::Relaxed);
        fetched
    }
}

/// Puts the steps of an image's layers into its configuration, or takes out what it inherited.
pub(crate) fn write_inline(
    config: &mut ImageConfig,
    wanted: bool,
    used: &[Used],
    layers: &[image::Layer],
) {
    config.other.remove(INLINE);
    config.other.remove(INLINE_BUILDKIT);
    if !wanted {
        return;
    }
    let kept = used.iter().filter(|used| is_of(used, layers));
    let document = Document {
        schema: SCHEMA,
        steps: kept.map(|used| used.kept(None)).collect(),
    };
    // Plain structs of strings and numbers always have a JSON form.
    let value = serde_json::to_value(document).unwrap_or_default();
    config.other.insert(INLINE.to_owned(), value);
}

fn is_of(used: &Used, layers: &[image::Layer]) -> bool {
    layers
        .iter()
        .any(|layer| layer.chain_id == used.record.chain_id)
}

impl Used {
    fn kept(&self, layer: Option<Digest>) -> Kept {
        Kept {
            key: self.key.clone(),
            layer,
            diff_id: self.record.diff_id.clone(),
            created: self.record.created,
            step: self.record.step.clone(),
        }
    }
}

/// The steps that go to a destination, by its mode.
pub(crate) fn wanted<'u>(
    to: &CacheTo,
    used: &'u [Used],
    layers: &'u [image::Layer],
) -> impl Iterator<Item = &'u Used> + use<'u> {
    let all = to.mode == CacheMode::Max;
    used.iter().filter(move |used| all || is_of(used, layers))
}

/// Leaves steps at their destination.
pub(crate) fn leave<'u>(
    store: &Store,
    depot: &Depot,
    to: &CacheTo,
    wanted: impl Iterator<Item = &'u Used>,
    progress: &dyn image::Progress,
) -> Result<(), image::Error> {
    let mut blobs: Vec<Descriptor> = Vec::new();
    let mut steps: Vec<Kept> = Vec::new();
    for used in wanted {
        if steps.iter().any(|kept| kept.key == used.key) {
            continue;
        }
        let blob = match to.compressed {
            true => store.compressed(&used.record.blob)?,
            false => used.record.blob.clone(),
        };
        steps.push(used.kept(Some(blob.digest.clone())));
        if !blobs.iter().any(|known| known.digest == blob.digest) {
            blobs.push(blob);
        }
    }
    let document = Document {
        schema: SCHEMA,
        steps,
    };
    let bytes = serde_json::to_vec(&document).map_err(image::Error::Encode)?;
    store
        .deposit(depot, MEDIA_TYPE, &bytes, blobs, progress)
        .map(drop)
}
