//! Steps that other data roots have made, brought in when they are looked up; and those of this build, left for others.
//!
//! What takes long is told as a step of its own, numbered after those of the Dockerfile.

use super::Solver;
use super::bases::Pulling;
use super::stage::Finished;
use crate::cache::StepRecord;
use crate::error::{Cause, Error};
use crate::exchange::{self, Source, Used};
use crate::progress::{Event, Step};
use engine::Timestamp;
use oci::Digest;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Solver<'_> {
    /// Brings a step's layer in above `parent`, from the first source that has it. One that gives something wrong is told and not
    /// asked again.
    pub(super) fn imported(
        &self,
        key: &Digest,
        parent: Option<&Digest>,
    ) -> Result<Option<StepRecord>, Cause> {
        for source in &self.sources {
            let Some(offered) = source.offer(key) else {
                continue;
            };
            let name = format!("importing {} from {}", offered.step, source.shown);
            let fetched = self.told(name, |progress| {
                source.fetch(&self.store, offered, parent, progress)
            });
            let layer = match fetched {
                Ok(layer) => layer,
                Err(error) => {
                    self.warn_of(source, &error);
                    continue;
                }
            };
            let record = StepRecord {
                blob: layer.blob,
                diff_id: layer.diff_id,
                chain_id: layer.chain_id,
                created: offered.created,
                used: Timestamp::now(),
                step: offered.step.clone(),
            };
            self.made.store(&self.ctx.layout, key, &record)?;
            return Ok(Some(record));
        }
        Ok(None)
    }

    fn warn_of(&self, source: &Source, error: &image::Error) {
        let why = exchange::chain(error);
        let text = format!("no more cache is taken from {}: {why}", source.shown);
        self.progress.event(Event::Warning(&text));
    }

    pub(super) fn note(&self, key: Digest, record: StepRecord) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.push(Used { key, record });
    }

    pub(super) fn used(&self) -> Vec<Used> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let mut used = used.clone();
        // Stages are solved side by side: the same build leaves the same cache.
        used.sort_by(|a, b| a.key.cmp(&b.key));
        used
    }

    pub(super) fn leave_cache(&self, finished: &Finished) -> Result<(), Error> {
        let used = self.used();
        for to in &self.options.cache_to {
            let Some(depot) = to.depot() else {
                continue;
            };
            let left = self.told(format!("exporting cache to {}", to.shown), |progress| {
                let wanted = exchange::wanted(to, &used, &finished.layers);
                exchange::leave(&self.store, depot, to, wanted, progress)
            });
            match left {
                Ok(()) => {}
                Err(error) if to.ignore_error => {
                    let why = exchange::chain(&error);
                    let text = format!("the cache is not left at {}: {why}", to.shown);
                    self.progress.event(Event::Warning(&text));
                }
                Err(source) => {
                    return Err(Error::from(Cause::CacheTo {
                        to: to.shown.clone(),
                        source: Box::new(source),
                    }));
                }
            }
        }
        Ok(())
    }

    /// Work beside the Dockerfile's steps.
    fn told<T>(&self, name: String, work: impl FnOnce(&dyn image::Progress) -> T) -> T {
        let number = self.beside.fetch_add(1, Ordering::Relaxed);
        let step = Step { number, name };
        let since = Instant::now();
        self.progress.event(Event::Started(&step));
        let done = work(&Pulling {
            progress: self.progress,
            step: Some(&step),
            since,
        });
        self.progress.event(Event::Finished {
            step: &step,
            took: since.elapsed(),
        });
        done
    }
}
