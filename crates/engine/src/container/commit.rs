//! `commit`: a container's own files as the layer of a new image, with what it runs as the image's configuration.
//!
//! The upper directory is read through handles, names sorted, so the same files make the same layer. A running container is
//! frozen meanwhile unless asked otherwise. Source: Docker CLI reference (`docker commit`), moby `daemon/commit.go`.

use super::pause::{pause, unpause};
use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use crate::{events, images};
use image::layer::Manner;
use image::{Image, Store};
use model::health::{HealthTest, Healthcheck};
use oci::config::Empty;
use oci::{HealthConfig, History, ImageConfig, Reference};
use std::time::Duration;

/// What `commit` is told.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub name: Option<Reference>,
    pub author: String,
    pub comment: String,
    /// Let the container go on while its files are read.
    pub no_pause: bool,
}

/// The configuration an image of this container has: its image's, with what the container was told at its making.
pub fn configuration(ctx: &Context, container: &ContainerRecord) -> Result<ImageConfig> {
    let mut config = base(&ctx.images()?, container)?.config;
    let process = &container.process;
    let own = &mut config.config;
    own.user.clone_from(&process.user);
    own.env.clone_from(&process.env);
    own.working_dir.clone_from(&process.working_dir);
    own.entrypoint = (!process.entrypoint.is_empty()).then(|| process.entrypoint.clone());
    own.cmd = (!process.command.is_empty()).then(|| process.command.clone());
    own.labels.clone_from(&container.labels);
    own.stop_signal = Some(container.stop_signal.clone()).filter(|s| !s.is_empty());
    own.healthcheck = container.healthcheck.as_ref().map(health);
    own.exposed_ports.extend(
        container
            .exposed
            .iter()
            .map(|port| (port.to_string(), Empty {})),
    );
    // Triggers were for what is built on the image the container was made from.
    own.on_build.clear();
    Ok(config)
}

/// Makes the image of `config`, which came from [`configuration`], and gives it its name.
pub fn commit(
    ctx: &Context,
    container: &ContainerRecord,
    mut config: ImageConfig,
    options: &Options,
) -> Result<Image> {
    let image = ctx
        .images()?
        .wholly(|store| make(ctx, store, container, &mut config, options))?;
    let id = image.id.to_string();
    let name = options.name.as_ref();
    let name = name.map(Reference::familiar).unwrap_or_default();
    if !name.is_empty() {
        images::emit(ctx, "tag", &id, &name);
    }
    let told = [
        ("comment", options.comment.clone()),
        ("imageID", id),
        ("imageRef", name),
    ];
    events::emit_container(ctx, "commit", container, &told);
    Ok(image)
}

/// The layer, then the image above that of the container.
fn make(
    ctx: &Context,
    store: &Store,
    container: &ContainerRecord,
    config: &mut ImageConfig,
    options: &Options,
) -> Result<Image> {
    let base = base(store, container)?;
    let layer = {
        let _still = Still::new(ctx, container, options.no_pause)?;
        // On disk its files have the owners it gave them, also with ids of its own: those are mapped by the mount.
        let manner = Manner {
            live: options.no_pause,
            ..Manner::STILL
        };
        let upper = ctx.layout.container(container.id.as_str()).join("upper");
        store.commit_layer_from_copy(&upper, base.chain.last(), manner)?
    };
    let now = Timestamp::now().to_string();
    config.created = Some(now.clone());
    config.author = Some(options.author.clone()).filter(|a| !a.is_empty());
    config.history.push(History {
        created: Some(now),
        created_by: container.process.command.join(" "),
        author: options.author.clone(),
        comment: options.comment.clone(),
        ..History::default()
    });
    let mut layers = base.layers();
    layers.push(layer);
    let names: Vec<Reference> = options.name.clone().into_iter().collect();
    Ok(store.put_image_from(config, &layers, &names, Some(&base.id))?)
}

fn base(store: &Store, container: &ContainerRecord) -> Result<Image> {
    store
        .find(&container.image.id)
        .map_err(|error| match error {
            image::Error::NoSuchImage(_) => Error::invalid(
                format!("commit of container {}", container.name),
                format!(
                    "its image {} is not in the store any more: pull {} again",
                    container.image.id, container.spec.image
                ),
            ),
            other => other.into(),
        })
}

/// Keeps a running container frozen; one that was frozen before stays so.
struct Still<'a> {
    thaw: Option<(&'a Context, &'a ContainerRecord)>,
}

impl<'a> Still<'a> {
    fn new(ctx: &'a Context, container: &'a ContainerRecord, not: bool) -> Result<Self> {
        let running = matches!(
            State::load(ctx, container.id.as_str())?,
            State::Running { .. }
        );
        if not || !running {
            return Ok(Self { thaw: None });
        }
        match pause(ctx, container) {
            Ok(()) => Ok(Self {
                thaw: Some((ctx, container)),
            }),
            // It has ended since, or somebody else froze it.
            Err(Error::NotRunning(_) | Error::Paused(_)) => Ok(Self { thaw: None }),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        if let Some((ctx, container)) = self.thaw {
            // It may have been killed meanwhile, or thawed by somebody else.
            let _ = unpause(ctx, container);
        }
    }
}

/// A health check in an image's form: nanoseconds, 0 for the default.
pub fn health(check: &Healthcheck) -> HealthConfig {
    let test = match &check.test {
        HealthTest::None => vec!["NONE".to_owned()],
        HealthTest::Inherit => Vec::new(),
        HealthTest::Cmd(words) => std::iter::once("CMD".to_owned())
            .chain(words.iter().cloned())
            .collect(),
        HealthTest::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
    };
    let nanos = |time: Option<Duration>| {
        time.map_or(0, |t| i64::try_from(t.as_nanos()).unwrap_or(i64::MAX))
    };
    HealthConfig {
        test,
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        start_period: nanos(check.start_period),
        start_interval: nanos(check.start_interval),
        retries: check.retries.map_or(0, i64::from),
    }
}
