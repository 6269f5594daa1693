//! Pulling several images at once.

use super::{Error, at, mark, platform};
use crate::progress::{Event, Progress, State};
use compose_file::project::PullPolicy as FilePolicy;
use compose_file::{Project, Service};
use engine::Context;
use image::{PullPolicy, Store};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How the pull of an image is told to begin; what its layers do is told in other words.
pub(super) const PULLING: &str = "Pulling";

/// Images that are pulled at the same time.
const PULLS: usize = 4;

/// Pulls several images at once, each once; all that cannot be had are told together.
pub fn pull(
    ctx: &Context,
    project: &Project,
    wanted: &[(&Service, PullPolicy)],
    progress: &dyn Progress,
) -> Result<(), Error> {
    let store = &ctx.images()?;
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
    tell(PULLING, State::Working);
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
