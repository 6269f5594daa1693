//! The images of a project: which are there, which are to be pulled or built; and getting them.
//!
//! What to do is decided first, for all services, by [`decide`]; then every image that must come from elsewhere is
//! looked for, before anything is built, and all that are missing are told together.
//! Source: docker/compose `pkg/compose/pull.go`, `build.go`; Compose Specification `pull_policy`.

mod decide;
mod pull;

pub use decide::{Build, Decision, Options, decide};
pub use pull::pull;

use crate::generation::Restored;
use crate::plan::up::ImageState;
use crate::progress::{Event, Progress, State};
use compose_file::project::PullPolicy as FilePolicy;
use compose_file::{Diagnostic, Project, Service};
use engine::Context;
use image::{PullPolicy, Store};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Services whose image cannot be had, each at its place in the file.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Unavailable(Vec<Diagnostic>),
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Build(#[from] crate::build::Error),
    #[error("platform {text:?} of service {service}")]
    Platform {
        service: String,
        text: String,
        source: oci::platform::Error,
    },
}

/// Looks at what is here, without getting anything: for a plan that is only shown.
pub fn look(
    ctx: &Context,
    project: &Project,
    services: &[&Service],
    options: Options,
) -> Result<BTreeMap<String, ImageState>, Error> {
    let store = ctx.images()?;
    let mut states = BTreeMap::new();
    for service in services {
        let found = find(&store, project, service)?;
        let state = match (
            decision(ctx, project, service, found.is_some(), options),
            found,
        ) {
            (Decision::Build(why), _) => ImageState::Missing(format!("to be built: {why}")),
            (Decision::Use | Decision::Pull(PullPolicy::Always), Some(image)) => present(&image),
            (Decision::Refuse(why), _) => ImageState::Missing(format!("not here, and {why}")),
            _ if builder_of(project, service).is_some() => {
                ImageState::Missing("to be built".to_owned())
            }
            _ => ImageState::Missing("to be pulled".to_owned()),
        };
        states.insert(service.name.clone(), state);
    }
    Ok(states)
}

/// Gets every image that is not here or is wanted anew: pulls first, then builds.
pub fn ensure(
    ctx: &Context,
    project: &Project,
    services: &[&Service],
    options: Options,
    build: &crate::build::Settings<'_>,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, ImageState>, Error> {
    let store = ctx.images()?;
    let mut pulls: Vec<(&Service, PullPolicy)> = Vec::new();
    let mut builds: Vec<&Service> = Vec::new();
    let mut built_along: Vec<&Service> = Vec::new();
    let mut refused = Vec::new();
    let mut decided = Vec::new();
    for service in services.iter().copied().filter(|s| s.provider.is_none()) {
        let found = find(&store, project, service)?;
        let decision = decision(ctx, project, service, found.is_some(), options);
        decided.push((service, decision.clone(), found));
        match decision {
            Decision::Pull(PullPolicy::Missing) if builder_of(project, service).is_some() => {
                built_along.extend(builder_of(project, service));
            }
            Decision::Use => {}
            Decision::Build(_) => builds.push(service),
            Decision::Pull(policy) => pulls.push((service, policy)),
            Decision::Refuse(why) => {
                let name = service.image_name(&project.name);
                refused.push(at(
                    project,
                    service,
                    format!("image {name} is not in the store, and {why}"),
                ));
            }
        }
    }
    if !refused.is_empty() {
        return Err(Error::Unavailable(refused));
    }
    let quiet = WithoutLayers(progress);
    let told: &dyn Progress = if options.quiet { &quiet } else { progress };
    pull(ctx, project, &pulls, told)?;
    for builder in built_along {
        if !builds.iter().any(|service| service.name == builder.name) {
            builds.push(builder);
        }
    }
    if !builds.is_empty() {
        crate::build::all(ctx, project, &builds, build, progress)?;
    }
    let mut states = BTreeMap::new();
    for (service, decision, found) in decided {
        let image = match (decision, found) {
            (Decision::Use, Some(image)) => image,
            _ => find(&store, project, service)?.ok_or_else(|| {
                engine::Error::Image(image::Error::NoSuchImage(service.image_name(&project.name)))
            })?,
        };
        states.insert(service.name.clone(), present(&image));
    }
    Ok(states)
}

/// The images of a generation, each the very one that ran; one that is gone is fetched by its digest, unless nobody is there to be
/// told.
pub fn kept(
    ctx: &Context,
    restored: &Restored,
    progress: Option<&dyn Progress>,
) -> Result<BTreeMap<String, ImageState>, Error> {
    let store = ctx.images()?;
    let (mut states, mut gone) = (BTreeMap::new(), Vec::new());
    for (name, kept) in &restored.generation.services {
        let Some(service) = restored.project.service(name) else {
            continue;
        };
        let found = store.find(&kept.image_id).or_else(|missing| {
            let (Some(digest), Some(progress)) = (&kept.digest, progress) else {
                return Err(missing);
            };
            progress.warning(&format!("image {} is fetched again", kept.image));
            let by_digest = format!("{}@{digest}", kept.image);
            store.ensure(&by_digest, PullPolicy::Missing, None, &image::Silent)
        });
        match found {
            Ok(image) if image.id.to_string() == kept.image_id => {
                states.insert(name.clone(), present(&image));
            }
            _ => gone.push(at(
                &restored.project,
                service,
                format!(
                    "image {} ({}) of generation {} is not in the store any more",
                    kept.image, kept.image_id, restored.generation.number
                ),
            )),
        }
    }
    match gone.is_empty() {
        true => Ok(states),
        false => Err(Error::Unavailable(gone)),
    }
}

/// Gets the images that steps of `pre_start` run from, where those are not the service's own.
pub(crate) fn of_init_containers(
    ctx: &Context,
    project: &Project,
    services: &[&Service],
    options: Options,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let store = ctx.images()?;
    let mut missing = Vec::new();
    for (service, image) in crate::plan::init::images(services) {
        // As if the image were the service's: with its platform, and told at its place.
        let as_service = Service {
            image: Some(image.to_owned()),
            ..service.clone()
        };
        if find(&store, project, &as_service)?.is_none() {
            missing.push(as_service);
        }
    }
    let pulls: Vec<(&Service, PullPolicy)> = missing
        .iter()
        .map(|service| (service, PullPolicy::Missing))
        .collect();
    let quiet = WithoutLayers(progress);
    let told: &dyn Progress = if options.quiet { &quiet } else { progress };
    pull(ctx, project, &pulls, told)
}

/// The service whose build makes the image of another one that only names it.
fn builder_of<'a>(project: &'a Project, service: &Service) -> Option<&'a Service> {
    let name = service.image_name(&project.name);
    let makes = |s: &&Service| s.build.is_some() && s.image_name(&project.name) == name;
    project.services.iter().find(makes)
}

/// `--quiet-pull`: which images come is told, not how far each of their layers is.
struct WithoutLayers<'a>(&'a dyn Progress);

impl Progress for WithoutLayers<'_> {
    fn event(&self, event: Event<'_>) {
        let part = event.state == State::Working && event.text != pull::PULLING;
        if !part {
            self.0.event(event);
        }
    }

    fn warning(&self, text: &str) {
        self.0.warning(text);
    }
}

fn present(image: &image::Image) -> ImageState {
    ImageState::Present {
        id: image.id.to_string(),
        volumes: image.config.config.volumes.keys().cloned().collect(),
    }
}

fn decision(
    ctx: &Context,
    project: &Project,
    service: &Service,
    present: bool,
    options: Options,
) -> Decision {
    let age = || {
        let pulled = mark(ctx, &service.image_name(&project.name))
            .metadata()
            .and_then(|m| m.modified())
            .ok()?;
        SystemTime::now().duration_since(pulled).ok()
    };
    let age = matches!(service.pull_policy, Some(FilePolicy::Every(_)))
        .then(age)
        .flatten();
    decide(service, present, age, options)
}

/// A file as old as the last pull of an image for `pull_policy: every_…`.
fn mark(ctx: &Context, reference: &str) -> PathBuf {
    let name = crate::change::hash_of(&reference);
    crate::files::root(&ctx.layout).join(".pulled").join(name)
}

fn find(
    store: &Store,
    project: &Project,
    service: &Service,
) -> Result<Option<image::Image>, Error> {
    let name = service.image_name(&project.name);
    let found = match platform(service)? {
        Some(platform) => store.find_for(&name, &platform),
        None => store.find(&name),
    };
    match found {
        Ok(image) => Ok(Some(image)),
        // Nothing is known to be missing while the table of names cannot be read.
        Err(error @ image::Error::Content(image::content::Error::Table { .. })) => {
            Err(engine::Error::from(error).into())
        }
        Err(
            image::Error::NoSuchImage(_)
            | image::Error::NoPlatform { .. }
            | image::Error::Content(_),
        ) => Ok(None),
        Err(error) => Err(engine::Error::from(error).into()),
    }
}

fn platform(service: &Service) -> Result<Option<oci::Platform>, Error> {
    let Some(text) = &service.platform else {
        return Ok(None);
    };
    let wrong = |source| Error::Platform {
        service: service.name.clone(),
        text: text.clone(),
        source,
    };
    text.parse().map(Some).map_err(wrong)
}

fn at(project: &Project, service: &Service, message: String) -> Diagnostic {
    let key = if service.image.is_some() {
        "image"
    } else {
        "build"
    };
    project.error_at(&format!("services.{}.{key}", service.name), message)
}

/// Removes an image by name; one that is gone, or that others still use, is no error.
pub(crate) fn remove(ctx: &Context, reference: &str) -> engine::Result<()> {
    let store = ctx.images()?;
    let mut users = Vec::new();
    for (id, containers) in engine::images::in_use(ctx)? {
        let Ok(image) = id.parse::<oci::Digest>() else {
            continue;
        };
        for container in containers {
            let layers = container
                .image
                .chain_id
                .iter()
                .filter_map(|chain| chain.parse().ok())
                .collect();
            users.push(image::InUse {
                image: image.clone(),
                layers,
                user: image::remove::User::Container {
                    id: container.id.short().to_owned(),
                    running: true,
                },
            });
        }
    }
    match store.remove(
        reference,
        image::RemoveOptions {
            force: false,
            in_use: &users,
        },
    ) {
        Ok(_) => engine::trash::delete_images_later(ctx),
        Err(image::Error::NoSuchImage(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
