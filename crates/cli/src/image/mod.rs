//! `docker image …`: what lies in the store. Registries are `registry`'s.

mod archive;
mod history;
mod import;
mod list;
mod mount;
mod remove;
mod tag;

pub(crate) use tag::reference;

use crate::failure::Failure;
use crate::session::Session;
use crate::verb::Verb;
use engine::container::record::ContainerRecord;
use engine::container::state::State;
use image::remove::{InUse, User};

/// Every verb of this noun.
pub(crate) const VERBS: &[Verb] = &[
    list::VERB,
    remove::RMI,
    remove::PRUNE,
    tag::TAG,
    tag::EXISTS,
    history::VERB,
    archive::SAVE,
    archive::LOAD,
    import::VERB,
    mount::MOUNT,
    mount::UNMOUNT,
];

/// The image of a name or id, for the platform that `--platform` names.
pub(crate) fn find(
    store: &image::Store,
    name: &str,
    platform: Option<&str>,
) -> Result<image::Image, Failure> {
    let found = match crate::registry::platform(platform)? {
        Some(platform) => store.find_on(name, &platform),
        None => store.find(name),
    };
    Ok(found.map_err(engine::Error::from)?)
}

/// Every container with its image and layers, images that are mounted, and what Compose projects may go back to: what removal
/// leaves alone.
pub(crate) fn in_use(session: &Session) -> Result<Vec<InUse>, Failure> {
    in_use_of(session.engine()?)
}

/// The same for the server, which has no session.
pub(crate) fn in_use_of(ctx: &engine::Context) -> Result<Vec<InUse>, Failure> {
    let mut users = Vec::new();
    for record in ContainerRecord::list(ctx)? {
        let running = State::load(ctx, record.id.as_str())?.is_active();
        let mounted = record.mounts.iter().filter_map(|m| m.image.as_ref());
        for used in std::iter::once(&record.image).chain(mounted) {
            let Ok(image) = used.id.parse() else {
                continue;
            };
            let layers = used.layers.iter().filter_map(|dir| layer_digest(dir));
            users.push(InUse {
                image,
                layers: layers.collect(),
                user: User::Container {
                    id: record.id.short().to_owned(),
                    running,
                },
            });
        }
    }
    let store = ctx.images()?;
    for job in engine::jobs::JobRecord::list(ctx)? {
        if let Ok(image) = store.find(&job.image_id) {
            users.push(InUse {
                image: image.id,
                layers: image.chain,
                user: User::Container {
                    id: format!("of job {}", job.name),
                    running: false,
                },
            });
        }
    }
    for mounted in engine::image_mount::list(ctx) {
        let Ok(image) = mounted.id.parse() else {
            continue;
        };
        let found = store.find(&mounted.id);
        users.push(InUse {
            image,
            layers: found.map(|image| image.chain).unwrap_or_default(),
            user: User::Mount { path: mounted.path },
        });
    }
    for (id, (name, generation)) in compose::generation::images(ctx).map_err(kept_failure)? {
        // One that is gone already keeps nothing.
        if let Ok(image) = store.find(&id) {
            users.push(InUse {
                image: image.id,
                layers: image.chain,
                user: User::Project { name, generation },
            });
        }
    }
    Ok(users)
}

fn kept_failure(error: compose::generation::Error) -> Failure {
    Failure::of(&error)
}

/// `…/layers/<chain id>/diff` → the chain id.
fn layer_digest(dir: &std::path::Path) -> Option<oci::Digest> {
    let name = dir.parent()?.file_name()?.to_str()?;
    let text = if name.contains(':') {
        name.to_owned()
    } else {
        format!("sha256:{name}")
    };
    text.parse().ok()
}
