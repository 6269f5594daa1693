//! The images a build starts from or copies from, each fetched once.

use super::Solver;
use crate::error::Cause;
use crate::graph;
use crate::progress::{Event, Step, Stream};
use image::{LayerEvent, PullPolicy, Status};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// An image and its unpacked layers.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) image: image::Image,
    pub(super) dirs: Vec<PathBuf>,
}

#[derive(Debug, Default)]
pub(super) struct Bases {
    /// One lock per name, so that two stages on one image wait for one pull.
    known: Mutex<BTreeMap<String, Slot>>,
}

/// Filled once the image is there.
type Slot = Arc<Mutex<Option<Arc<Base>>>>;

impl Solver<'_> {
    /// The image by name, fetched if it is not here (or anyway, with `--pull`).
    pub(super) fn base(&self, name: &str, step: Option<&Step>) -> Result<Arc<Base>, Cause> {
        let slot = {
            let mut known = self
                .bases
                .known
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(name.to_owned()).or_default())
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = slot.as_ref() {
            return Ok(Arc::clone(base));
        }
        let policy = if self.options.pull {
            PullPolicy::Always
        } else {
            PullPolicy::Missing
        };
        let failed = |source| Cause::Image {
            name: name.to_owned(),
            source: Box::new(source),
            stage: graph::similar_stage(&self.file.stages, name).map(str::to_owned),
        };
        let pulling = Pulling {
            progress: self.progress,
            step,
            since: Instant::now(),
        };
        let image = self
            .store
            .ensure(name, policy, None, &pulling)
            .map_err(failed)?;
        let dirs = self.store.layer_dirs(&image).map_err(failed)?;
        let base = Arc::new(Base { image, dirs });
        *slot = Some(Arc::clone(&base));
        Ok(base)
    }
}

/// Tells of a pull as output of its step.
pub(super) struct Pulling<'a> {
    pub(super) progress: &'a dyn crate::progress::Progress,
    pub(super) step: Option<&'a Step>,
    pub(super) since: Instant,
}

impl Pulling<'_> {
    fn tell(&self, line: &str) {
        if let Some(step) = self.step {
            let at = self.since.elapsed();
            self.progress.event(Event::Output {
                step,
                stream: Stream::Stdout,
                line: line.as_bytes(),
                at,
            });
        }
    }
}

impl image::Progress for Pulling<'_> {
    fn layer(&self, event: LayerEvent<'_>) {
        if matches!(
            event.status,
            Status::PullComplete
                | Status::Pushed
                | Status::Retrying { .. }
                | Status::WaitingForAnother
        ) {
            self.tell(&format!("{}: {}", event.id, event.status.text()));
        }
    }

    fn line(&self, text: &str) {
        // That it is not here yet is no news in a build.
        if !text.starts_with("Unable to find image") {
            self.tell(text);
        }
    }
}
