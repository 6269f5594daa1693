//! A build that ended because the disk is full leaves the store as it was. A build that failed otherwise keeps the steps that
//! succeeded: the next one goes on from there.

use crate::cache::{self, StepRecord};
use crate::error::Cause;
use oci::Digest;
use state::Layout;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What a build made that outlives it, but for layers and blobs: those the store remembers.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Records of steps, each with what was said there before.
    steps: Mutex<Vec<(Digest, Option<StepRecord>)>>,
    /// Directories of cache mounts.
    mounts: Mutex<Vec<PathBuf>>,
}

impl Made {
    /// Writes down what a step made.
    pub(super) fn store(
        &self,
        layout: &Layout,
        key: &Digest,
        record: &StepRecord,
    ) -> Result<(), Cause> {
        let before = cache::recorded(layout, key);
        cache::store(layout, key, record)?;
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push((key.clone(), before));
        Ok(())
    }

    pub(super) fn mount(&self, directory: &Path) {
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.push(directory.to_owned());
    }

    /// What cannot be removed now is found by the next prune. An image that was pulled for the build is whole, and stays.
    pub(super) fn take_away(&self, layout: &Layout, store: &image::Store) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        // The last first: one step may have been written down twice.
        for (key, before) in steps.drain(..).rev() {
            let _ = cache::put_back(layout, &key, before.as_ref());
        }
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        for directory in mounts.drain(..) {
            cache::remove_mount(&directory);
        }
        if let Ok((layers, blobs)) = cache::roots(layout) {
            let _ = store.take_back(image::Keep {
                layers: &layers,
                blobs: &blobs,
                ..image::Keep::default()
            });
        }
    }
}
