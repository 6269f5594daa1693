//! Bringing an image's blobs and layers in from a source: each blob verified while it streams, each layer
//! unpacked while it downloads, up to three at a time, committed lowest first.

use crate::content::{self, ContentStore, ImageLayout};
use crate::error::Error;
use crate::layer::form::Taken;
use crate::layer::staging::Staging;
use crate::layer::{LayerStore, Record};
use crate::pipeline::{self, Sink};
use crate::progress::{LayerEvent, Progress, Status};
use crate::receive::{fetch_error, verify};
use crate::remove::Reachable;
use crate::room::Room;
use crate::tarball::Limits;
use oci::{Descriptor, Digest};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use sys::lock::FileLock;

/// Layers in flight at once.
const PARALLEL: usize = 3;

/// Where blobs come from.
pub(crate) trait Source: Sync {
    /// What to call it in messages.
    fn place(&self) -> String;
    /// The blob from `offset` on. A broken stream is asked for again by [`Source::again`].
    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>, Error>;
    /// Whether, and after how many seconds, to try once more after `failure`, the `attempt`-th in a row.
    fn again(&self, failure: &Error, attempt: u32) -> Option<std::time::Duration>;
    /// How many places may have a blob.
    fn places(&self) -> usize {
        1
    }
    /// What was given was not what was asked for: another place is asked next.
    fn was_wrong(&self) {}
    /// The layout whose files these are, where they are files.
    fn layout(&self) -> Option<&ImageLayout> {
        None
    }
}

/// A directory given by `--image-dir`, or the store's own content.
impl Source for ImageLayout {
    fn place(&self) -> String {
        self.root().display().to_string()
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>, Error> {
        let mut file = ImageLayout::open(self, &blob.digest)?;
        file.seek(SeekFrom::Start(offset))
            .map_err(|e| fetch_error(&blob.digest, self, e))?;
        Ok(Box::new(file))
    }

    fn again(&self, _: &Error, _: u32) -> Option<std::time::Duration> {
        None
    }

    fn layout(&self) -> Option<&ImageLayout> {
        Some(self)
    }
}

/// One layer to bring in.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: Digest,
    pub(crate) chain_id: Digest,
}

/// The stores, and who wants to hear about progress.
pub(crate) struct Fetcher<'a> {
    pub(crate) content: &'a ContentStore,
    pub(crate) layers: &'a LayerStore,
    pub(crate) source: &'a dyn Source,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) limits: Limits,
    pub(crate) room: Room,
    /// Whether an archive is wanted whose layer is here already.
    pub(crate) keep: bool,
    pub(crate) brought: Brought,
}

/// What came in and was not there before: taken away again when the disk is full. Shared by all that bring in parts of one image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brought(Arc<Mutex<Reachable>>);

impl Brought {
    pub(crate) fn blob(&self, digest: &Digest) {
        if let Ok(mut all) = self.0.lock() {
            all.blobs.insert(digest.clone());
        }
    }

    pub(crate) fn layer(&self, chain_id: &Digest) {
        if let Ok(mut all) = self.0.lock() {
            all.layers.insert(chain_id.clone());
        }
    }

    pub(crate) fn add(&self, more: &Reachable) {
        more.blobs.iter().for_each(|digest| self.blob(digest));
        more.layers.iter().for_each(|chain_id| self.layer(chain_id));
    }

    pub(crate) fn take(&self) -> Reachable {
        self.0
            .lock()
            .map(|mut all| std::mem::take(&mut *all))
            .unwrap_or_default()
    }
}

/// How far a layer is.
enum Slot {
    Pending,
    /// Unpacked and verified; waits until the layers below are committed.
    Ready {
        staging: Staging,
        taken: Taken,
        _lock: FileLock,
    },
    Committed,
}

impl Fetcher<'_> {
    /// Brings all layers in; at the end each is unpacked and its blob is in the content store.
    pub(crate) fn layers(&self, jobs: &[Job]) -> Result<(), Error> {
        self.check_room(jobs)?;
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let slots: Mutex<Vec<Slot>> = Mutex::new(jobs.iter().map(|_| Slot::Pending).collect());
        for job in jobs {
            self.tell(&job.blob, Status::PullingFsLayer, 0);
        }
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let stop = failed.lock().is_ok_and(|f| f.is_some());
                if stop || number >= jobs.len() {
                    return;
                }
                let done = self
                    .layer(&jobs[number])
                    .and_then(|slot| self.settle(jobs, &slots, number, slot));
                if let Err(error) = done
                    && let Ok(mut first) = failed.lock()
                {
                    first.get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..PARALLEL.min(jobs.len()) {
                scope.spawn(work);
            }
            work();
        });
        match failed.into_inner() {
            Ok(Some(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Refuses what cannot fit before a byte of it comes. How much an archive becomes is not known; it is not less.
    fn check_room(&self, jobs: &[Job]) -> Result<(), Error> {
        let mut needed = 0u64;
        for job in jobs {
            let layer = !self.layers.exists(&job.chain_id);
            let blob = (self.keep || layer) && !self.content.layout().has(&job.blob.digest);
            let times = u64::from(blob) + u64::from(layer);
            needed = needed.saturating_add(job.blob.size.saturating_mul(times));
        }
        if needed == 0 || self.room.check(needed).is_ok() {
            return Ok(());
        }
        // What was removed a moment ago may lie there still.
        self.layers.empty_trash()?;
        Ok(self.room.check(needed)?)
    }

    /// Commits the layer, and those above that waited for it.
    fn settle(
        &self,
        jobs: &[Job],
        slots: &Mutex<Vec<Slot>>,
        number: usize,
        slot: Slot,
    ) -> Result<(), Error> {
        let mut slots = slots
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        slots[number] = slot;
        let Some(first) = slots.iter().position(|s| !matches!(s, Slot::Committed)) else {
            return Ok(());
        };
        for at in first..jobs.len() {
            match std::mem::replace(&mut slots[at], Slot::Committed) {
                Slot::Committed => {}
                Slot::Pending => {
                    slots[at] = Slot::Pending;
                    return Ok(());
                }
                Slot::Ready {
                    staging,
                    taken,
                    _lock,
                } => {
                    let below: Vec<Digest> =
                        jobs[..at].iter().map(|j| j.chain_id.clone()).collect();
                    self.commit(&jobs[at], &below, staging, taken)?;
                }
            }
        }
        Ok(())
    }

    /// Brings one layer in above those that are here.
    pub(crate) fn above(&self, job: &Job, below: &[Digest]) -> Result<(), Error> {
        match self.layer(job)? {
            Slot::Ready {
                staging,
                taken,
                _lock,
            } => self.commit(job, below, staging, taken),
            Slot::Pending | Slot::Committed => Ok(()),
        }
    }

    fn commit(
        &self,
        job: &Job,
        below: &[Digest],
        staging: Staging,
        taken: Taken,
    ) -> Result<(), Error> {
        let record = Record {
            chain_id: job.chain_id.clone(),
            diff_id: job.diff_id.clone(),
            parent: below.last().cloned(),
            blob: Some(job.blob.digest.clone()),
            size: taken.size(),
        };
        self.layers.commit(staging, &record, taken, below)?;
        self.brought.layer(&job.chain_id);
        self.tell(&job.blob, Status::PullComplete, job.blob.size);
        Ok(())
    }

    fn layer(&self, job: &Job) -> Result<Slot, Error> {
        let lock = match self.layers.try_lock(&job.chain_id)? {
            Some(lock) => lock,
            None => {
                self.tell(&job.blob, Status::WaitingForAnother, 0);
                self.layers.lock(&job.chain_id)?
            }
        };
        let (unpacked, present) = (
            self.layers.exists(&job.chain_id),
            self.content.layout().has(&job.blob.digest),
        );
        if unpacked {
            if !present && self.keep {
                self.blob(&job.blob, &mut |_| {})?;
            }
            self.tell(&job.blob, Status::AlreadyExists, 0);
            return Ok(Slot::Committed);
        }
        let mut attempt = 1;
        let (staging, result) = loop {
            let staging = self.layers.stage()?;
            let result = self.take(job, &staging);
            let again = matches!(&result, Err(error) if self.tries_again(error, attempt));
            if !again {
                break (staging, result);
            }
            attempt += 1;
        };
        Ok(Slot::Ready {
            staging,
            taken: result?,
            _lock: lock,
        })
    }

    /// Whether wrong bytes may come right: what an earlier, broken pull left was bad and is gone now, or a place lied and another is
    /// asked.
    pub(crate) fn tries_again(&self, error: &Error, attempt: usize) -> bool {
        use content::Error::{Digest, Size};
        let is_wrong = matches!(error, Error::Content(Digest { .. } | Size { .. }));
        if !is_wrong || self.source.layout().is_some() || attempt > self.source.places() {
            return false;
        }
        self.source.was_wrong();
        true
    }

    /// Brings a layer's archive in, and makes of it what was staged; it is what the image says.
    pub(crate) fn take(&self, job: &Job, staging: &Staging) -> Result<Taken, Error> {
        let target = staging.target(Some(&job.chain_id))?;
        let (taken, diff_id) = pipeline::run(&job.blob.digest, target, self.limits, |sink| {
            self.blob(&job.blob, sink)
        })?;
        if diff_id != job.diff_id {
            let (layer, expected) = (job.blob.digest.clone(), job.diff_id.clone());
            return Err(Error::DiffId {
                layer,
                expected,
                actual: diff_id,
            });
        }
        Ok(taken)
    }

    /// Brings one blob into the content store, handing its bytes to `sink` as they come.
    pub(crate) fn blob(&self, blob: &Descriptor, sink: &mut Sink<'_>) -> Result<(), Error> {
        let _lock = self.lock_blob(blob)?;
        let own = self.content.layout();
        if own.has(&blob.digest) {
            let mut file = own.open(&blob.digest)?;
            let actual = self.read_through(blob, &mut file, own, Status::Extracting, sink)?;
            return verify(blob, actual);
        }
        if let Some(layout) = self.source.layout() {
            let ingest = self.content.borrow_blob(&blob.digest, layout)?;
            let mut file = File::open(&ingest).map_err(|e| fetch_error(&blob.digest, layout, e))?;
            let actual = self.read_through(blob, &mut file, layout, Status::Extracting, sink)?;
            if let Err(e) = verify(blob, actual) {
                let _ = std::fs::remove_file(&ingest);
                return Err(e);
            }
            self.content.publish(&blob.digest, &file, &ingest)?;
            self.brought.blob(&blob.digest);
            return Ok(());
        }
        let downloaded = self.download(blob, sink);
        if downloaded.as_ref().is_err_and(Error::is_full_disk) {
            // What is kept for the next pull after a break is in everybody's way here.
            let _ = std::fs::remove_file(self.content.ingest(&blob.digest));
        }
        downloaded
    }

    pub(crate) fn tell(&self, blob: &Descriptor, status: Status, current: u64) {
        self.progress.layer(LayerEvent {
            id: blob.digest.short(),
            status,
            current,
            total: blob.size,
        });
    }
}
