//! The small documents of an image on its way: its manifests and its configuration. They are read from memory, and go to the disk
//! while layers come: waiting for it would come before the first byte of a layer is asked for.

use crate::content::{self, DOCUMENT_MAX};
use crate::error::Error;
use crate::fetch::{Brought, Fetcher};
use crate::progress::{Silent, Status};
use crate::receive::verify;
use crate::store::Store;
use oci::{Descriptor, Digest};
use sys::lock::FileLock;

/// By digest, each verified.
#[derive(Debug, Default)]
pub(crate) struct Documents(Vec<Document>);

#[derive(Debug)]
struct Document {
    digest: Digest,
    bytes: Vec<u8>,
    /// Until it is kept others wait for it instead of asking for it too.
    lock: Option<FileLock>,
}

impl Documents {
    pub(crate) fn add(&mut self, digest: &Digest, bytes: Vec<u8>) {
        self.push(digest, bytes, None);
    }

    /// One that came under a lock.
    pub(crate) fn push(&mut self, digest: &Digest, bytes: Vec<u8>, lock: Option<FileLock>) {
        self.0.push(Document {
            digest: digest.clone(),
            bytes,
            lock,
        });
    }
}

impl Store {
    /// Keeps the documents while `work` brings in what they are about.
    pub(crate) fn keep_beside(
        &self,
        documents: Documents,
        brought: &Brought,
        work: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        std::thread::scope(|scope| {
            let keep = || {
                let mut all = documents.0.into_iter();
                all.try_for_each(|document| self.keep(document, brought))
            };
            let kept = scope.spawn(keep);
            work()?;
            match kept.join() {
                Ok(kept) => kept,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn keep(&self, document: Document, brought: &Brought) -> Result<(), Error> {
        if !self.content.layout().has(&document.digest) {
            self.content.put_as(&document.digest, &document.bytes)?;
            brought.blob(&document.digest);
        }
        drop(document.lock);
        Ok(())
    }
}

impl Fetcher<'_> {
    /// A blob's lock; that another process has it is told.
    pub(crate) fn lock_blob(&self, blob: &Descriptor) -> Result<FileLock, Error> {
        if let Some(lock) = self.content.try_lock_blob(&blob.digest)? {
            return Ok(lock);
        }
        self.tell(blob, Status::WaitingForAnother, 0);
        Ok(self.content.lock_blob(&blob.digest)?)
    }

    /// A configuration: small, and without a bar. From the store, where it is there. Nobody else asks for it while the lock is held.
    pub(crate) fn document(&self, blob: &Descriptor) -> Result<(Vec<u8>, FileLock), Error> {
        if blob.size > DOCUMENT_MAX {
            let (digest, size) = (blob.digest.clone(), blob.size);
            return Err(content::Error::TooLarge { digest, size }.into());
        }
        let lock = self.lock_blob(blob)?;
        let own = self.content.layout();
        if own.has(&blob.digest) {
            return Ok((own.document(&blob.digest)?, lock));
        }
        let silent = Fetcher {
            progress: &Silent,
            room: self.room.clone(),
            brought: self.brought.clone(),
            ..*self
        };
        let mut attempt = 1;
        loop {
            match silent.receive_document(blob) {
                Err(error) if self.tries_again(&error, attempt) => attempt += 1,
                other => return other.map(|bytes| (bytes, lock)),
            }
        }
    }

    fn receive_document(&self, blob: &Descriptor) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut have = 0;
        self.receive_all(blob, &mut have, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        let mut hasher = blob.digest.algorithm().hasher();
        hasher.update(&bytes);
        verify(blob, (have, hasher.finish()))?;
        Ok(bytes)
    }
}
