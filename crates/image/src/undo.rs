//! What a command brought in, taken away again when nothing comes of it: a disk that was too full for all of it is not left fuller.

use crate::collect::Keep;
use crate::error::Error;
use crate::fetch::Brought;
use crate::room::LowDisk;
use crate::store::Store;
use oci::Digest;

impl Store {
    /// The same store, by which it is known what comes in from now on.
    pub fn remembering(&self) -> Self {
        Self {
            brought: Brought::default(),
            ..self.clone()
        }
    }

    /// Takes away what came in by a store that remembers, as far as neither an image nor `keep` reaches it. Nobody of this process may
    /// hold the store; while somebody else does, it is left for the next prune.
    pub fn take_back(&self, keep: Keep<'_>) -> Result<(), Error> {
        let mut brought = self.brought.take();
        for layer in keep
            .layers
            .iter()
            .chain(keep.in_use.iter().flat_map(|u| &u.layers))
        {
            brought.layers.remove(layer);
        }
        for blob in keep.blobs {
            brought.blobs.remove(blob);
        }
        self.give_back(&brought)
    }

    /// Does something of several steps: when one fails, nothing of those before it stays. Nothing is collected meanwhile.
    pub fn wholly<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let store = self.remembering();
        let done = {
            let _hold = store.hold()?;
            // Nothing is made that could not get its name.
            store.content.index().map_err(Error::from)?;
            work(&store)
        };
        if done.is_err() {
            // What cannot be removed now is unreferenced, and found by the next prune.
            let _ = store.take_back(Keep::default());
        }
        done
    }

    /// Why nothing more can be written, where that is so: for who runs a program that cannot tell.
    pub fn full(&self) -> Option<LowDisk> {
        self.room().exhausted()
    }

    /// Keeps a document under its digest.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::sha256(bytes);
        if !self.content.layout().has(&digest) {
            self.content.put_as(&digest, bytes)?;
            self.brought.blob(&digest);
        }
        Ok(digest)
    }
}
