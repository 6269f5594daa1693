//! The images of a project: which are there, which are to be pulled or built; and getting them.
//!
//! What to do is decided first, for all services, by [`decide`]; then every image that must come from elsewhere is
//! looked for, before anything is built, and all that are missing are told together.
//! Source: docker/compose `pkg/compose/pull.go`, `build.go`; Compose Specification `pull_policy`.

use crate::plan::up::ImageState;
use crate::progress::{Event, Progress, State};
use compose_file::project::PullPolicy as FilePolicy;
use compose_file::{Diagnostic, Project, Service};
use engine::Context;
use image::{PullPolicy, Store};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// Images that are pulled at the same time.
const PULLS: usize = 4;

/// What the command line says about images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    pub build: Build,
    /// `--pull`, over what the file says.
    pub pull: Option<PullPolicy>,
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Build {
    /// What is missing.
    #[default]
    Missing,
    /// `--build`.
    Always,
    /// `--no-build`.
    Never,
}

/// What is done about a service's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Use,
    Build(&'static str),
    /// `Missing`: look wherever images come from; `Always`: even if it is here.
    Pull(PullPolicy),
    /// It is not here, and nothing may be done about it.
    Refuse(&'static str),
}

/// Decides for one service. `age`: how long ago the image was last pulled, where a policy asks for it.
pub fn decide(
    service: &Service,
    present: bool,
    age: Option<Duration>,
    options: Options,
) -> Decision {
    let builds = service.build.is_some();
    if builds && options.build == Build::Always {
        return Decision::Build("--build");
    }
    let policy = match options.pull {
        Some(PullPolicy::Always) => FilePolicy::Always,
        Some(PullPolicy::Never) => FilePolicy::Never,
        Some(PullPolicy::Missing) => FilePolicy::Missing,
        None => service.pull_policy.unwrap_or(FilePolicy::Missing),
    };
    let never_build = options.build == Build::Never;
    match policy {
        FilePolicy::Build if builds && !never_build => Decision::Build("pull_policy: build"),
        // What is built here is not asked for elsewhere, unless it has a name to ask for.
        FilePolicy::Always
            if !builds || service.image.is_some() && service.pull_policy.is_some() =>
        {
            Decision::Pull(PullPolicy::Always)
        }
        FilePolicy::Every(limit) if !present || age.is_none_or(|age| age > limit) => {
            Decision::Pull(PullPolicy::Always)
        }
        _ if present => Decision::Use,
        _ if builds && !never_build => Decision::Build("image not found"),
        FilePolicy::Never => Decision::Refuse("pull_policy is never"),
        _ if builds => Decision::Refuse("--no-build was given"),
        _ => Decision::Pull(PullPolicy::Missing),
    }
}

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
    let store = ctx.images().map_err(engine::Error::from)?;
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
    let store = ctx.images().map_err(engine::Error::from)?;
    let mut pulls: Vec<(&Service, PullPolicy)> = Vec::new();
    let mut builds: Vec<&Service> = Vec::new();
    let mut refused = Vec::new();
    let mut decided = Vec::new();
    for service in services.iter().copied().filter(|s| s.provider.is_none()) {
        let found = find(&store, project, service)?;
        let decision = decision(ctx, project, service, found.is_some(), options);
        decided.push((service, decision.clone(), found));
        match decision {
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
    pull(ctx, project, &pulls, progress)?;
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

/// Pulls several images at once, each once; all that cannot be had are told together.
pub fn pull(
    ctx: &Context,
    project: &Project,
    wanted: &[(&Service, PullPolicy)],
    progress: &dyn Progress,
) -> Result<(), Error> {
    let store = &ctx.images().map_err(engine::Error::from)?;
    let mut unique: Vec<(&Service, PullPolicy)> = Vec::new();
    for (service, policy) in wanted {
        let name = service.image_name(&project.name);
        if !unique
            .iter()
            .any(|(s, _)| s.image_name(&project.name) == name && s.platform == service.platform)
        {
            unique.push((service, *policy));
        }
    }
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PULLS.min(unique.len()) {
            scope.spawn(|| {
                while let Some((service, policy)) = unique.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    if let Err(error) = pull_one(ctx, store, project, service, *policy, progress)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push((service.name.clone(), error));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_default();
    if failures.is_empty() {
        return Ok(());
    }
    failures.sort_by(|a, b| a.0.cmp(&b.0));
    let diagnostics = failures.into_iter().filter_map(|(name, error)| {
        let service = project.service(&name)?;
        let diagnostic = at(project, service, told(&error));
        Some(match &error {
            Error::Engine(engine::Error::Image(image::Error::NotFound(_))) => diagnostic.with_hint(
                "correct the name, or put the image into an image directory (--image-dir)",
            ),
            _ => diagnostic,
        })
    });
    Err(Error::Unavailable(diagnostics.collect()))
}

fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

fn pull_one(
    ctx: &Context,
    store: &Store,
    project: &Project,
    service: &Service,
    policy: PullPolicy,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let name = service.image_name(&project.name);
    let tell = |text: &str, state| {
        progress.event(Event {
            id: &format!("Image {name}"),
            text,
            state,
        })
    };
    tell("Pulling", State::Working);
    let platform = platform(service)?;
    match store.ensure(
        &name,
        policy,
        platform.as_ref(),
        &Layers {
            progress,
            image: &name,
        },
    ) {
        Ok(_) => {
            tell("Pulled", State::Done);
            if matches!(service.pull_policy, Some(FilePolicy::Every(_))) {
                remember_pull(&mark(ctx, &name));
            }
            Ok(())
        }
        Err(error) => {
            tell("Error", State::Failed);
            Err(engine::Error::from(error).into())
        }
    }
}

/// Without the mark the image is only pulled once more than needed.
fn remember_pull(mark: &std::path::Path) {
    if let Some(dir) = mark.parent() {
        let _ = std::fs::create_dir_all(dir);
    }
    let _ = state::record::write_bytes(mark, b"", state::Durability::Volatile);
}

/// Tells how the layers of one image come.
struct Layers<'a> {
    progress: &'a dyn Progress,
    image: &'a str,
}

impl image::Progress for Layers<'_> {
    fn layer(&self, event: image::LayerEvent<'_>) {
        let amount = match event.total {
            0 => String::new(),
            total => format!(" {}%", event.current.saturating_mul(100) / total),
        };
        let text = format!("{} {}{amount}", event.id, event.status.text());
        self.progress.event(Event {
            id: &format!("Image {}", self.image),
            text: &text,
            state: State::Working,
        });
    }

    fn line(&self, _: &str) {}
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
                container: container.id.short().to_owned(),
                running: true,
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
        Ok(_) => Ok(store.empty_trash()?),
        Err(image::Error::NoSuchImage(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(build: bool, image: Option<&str>, policy: Option<FilePolicy>) -> Service {
        Service {
            name: "web".into(),
            build: build.then(Default::default),
            image: image.map(Into::into),
            pull_policy: policy,
            ..Default::default()
        }
    }

    #[test]
    fn what_is_here_is_used_and_what_is_not_is_got() {
        let none = Options::default();
        let plain = service(false, Some("nginx"), None);
        assert_eq!(decide(&plain, true, None, none), Decision::Use);
        assert_eq!(
            decide(&plain, false, None, none),
            Decision::Pull(PullPolicy::Missing)
        );
        let built = service(true, None, None);
        assert_eq!(decide(&built, true, None, none), Decision::Use);
        assert_eq!(
            decide(&built, false, None, none),
            Decision::Build("image not found")
        );
    }

    #[test]
    fn flags_win_over_the_file() {
        let built = service(true, Some("x"), Some(FilePolicy::Missing));
        let flags = |build, pull| Options {
            build,
            pull,
            quiet: false,
        };
        assert_eq!(
            decide(&built, true, None, flags(Build::Always, None)),
            Decision::Build("--build")
        );
        assert_eq!(
            decide(&built, false, None, flags(Build::Never, None)),
            Decision::Refuse("--no-build was given")
        );
        let plain = service(false, Some("x"), Some(FilePolicy::Always));
        assert_eq!(
            decide(&plain, true, None, Options::default()),
            Decision::Pull(PullPolicy::Always)
        );
        assert_eq!(
            decide(
                &plain,
                true,
                None,
                flags(Build::Missing, Some(PullPolicy::Never))
            ),
            Decision::Use
        );
        assert_eq!(
            decide(
                &plain,
                false,
                None,
                flags(Build::Missing, Some(PullPolicy::Never))
            ),
            Decision::Refuse("pull_policy is never")
        );
    }

    #[test]
    fn policies_of_the_file() {
        let day = Duration::from_secs(86_400);
        let daily = service(false, Some("x"), Some(FilePolicy::Every(day)));
        let none = Options::default();
        assert_eq!(decide(&daily, true, Some(day / 2), none), Decision::Use);
        assert_eq!(
            decide(&daily, true, Some(day * 2), none),
            Decision::Pull(PullPolicy::Always)
        );
        let build = service(true, Some("x"), Some(FilePolicy::Build));
        assert_eq!(
            decide(&build, true, None, none),
            Decision::Build("pull_policy: build")
        );
    }
}
