//! `push`: what the registry does not have yet is uploaded, then the manifest, then (for several platforms)
//! the index. Layers kept as plain tars are compressed first.

use crate::commit::json;
use crate::error::Error;
use crate::progress::{LayerEvent, Progress, Status};
use crate::registry::{Error as RegistryError, Payload, Registry, pause};
use crate::store::{Image, Store};
use oci::{Descriptor, Digest, Document, Index, Manifest, Platform, Reference};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const PARALLEL: usize = 3;

/// What was pushed under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub reference: Reference,
    pub digest: Digest,
    pub size: u64,
}

impl Store {
    /// Pushes one name (`NAME:TAG`, full form decides the registry).
    pub fn push(&self, reference: &Reference, progress: &dyn Progress) -> Result<Pushed, Error> {
        self.push_for(reference, None, progress)
    }

    /// The same of one platform's image alone.
    pub fn push_for(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        progress: &dyn Progress,
    ) -> Result<Pushed, Error> {
        let reference = reference.clone().or_latest();
        let _hold = self.hold()?;
        let missing = || Error::NoLocalImage(reference.familiar());
        let target = self
            .find_target(&reference.to_string())?
            .ok_or_else(missing)?;
        let image = match platform {
            Some(platform) => self.find_on(&reference.to_string(), platform)?,
            None => self.read_any(&target)?,
        };
        progress.line(&format!(
            "The push refers to repository [{}]",
            reference.repository()
        ));
        let image = self.compress(&image)?;
        let registry = Registry::for_push(&self.options.registries, &reference)?;
        let upload = Upload::to(self, &registry, progress);
        let pushed = upload.target(&image, &reference, platform.is_some())?;
        progress.line(&format!(
            "{}: digest: {} size: {}",
            reference.tag_or_digest(),
            pushed.digest,
            pushed.size
        ));
        Ok(pushed)
    }
}

pub(crate) struct Upload<'a> {
    pub(crate) store: &'a Store,
    pub(crate) registry: &'a Registry,
    pub(crate) repository: &'a str,
    pub(crate) progress: &'a dyn Progress,
    /// What the registry has by now.
    settled: Mutex<BTreeSet<Digest>>,
}

impl<'a> Upload<'a> {
    pub(crate) fn to(store: &'a Store, registry: &'a Registry, progress: &'a dyn Progress) -> Self {
        Self {
            store,
            registry,
            repository: &registry.endpoint().repository,
            progress,
            settled: Mutex::default(),
        }
    }

    fn target(&self, image: &Image, reference: &Reference, alone: bool) -> Result<Pushed, Error> {
        let layout = self.store.content.layout();
        let bytes = layout.document(&image.target.digest)?;
        let pushed = |bytes: &[u8]| Pushed {
            reference: reference.clone(),
            digest: Digest::sha256(bytes),
            size: bytes.len() as u64,
        };
        let wanted = reference.tag_or_digest();
        let Ok(Document::Index(index)) = Document::parse(&bytes) else {
            self.manifest(&image.manifest)?;
            self.registry.put_manifest(
                self.repository,
                &wanted,
                &bytes,
                &image.target.media_type,
            )?;
            return Ok(pushed(&bytes));
        };
        let here = self.complete(&index);
        if alone || here.len() < index.manifests.len() {
            // Other platforms were never pulled: what we have is pushed under the name, as Docker does.
            if !alone {
                self.progress.line("Not all platforms of the multi-platform image are present locally. Only the available single-platform image was pushed");
            }
            self.manifest(&image.manifest)?;
            let bytes = layout.document(&image.manifest_digest)?;
            let kind = &image.manifest.media_type;
            let kind = if kind.is_empty() {
                oci::media_type::OCI_MANIFEST
            } else {
                kind
            };
            self.registry
                .put_manifest(self.repository, &wanted, &bytes, kind)?;
            return Ok(pushed(&bytes));
        }
        for (_, manifest, _) in &here {
            self.provide(manifest)?;
        }
        for (child, manifest, raw) in &here {
            self.manifest(manifest)?;
            if !self.registry.has_manifest(self.repository, &child.digest)? {
                self.registry.put_manifest(
                    self.repository,
                    &child.digest.to_string(),
                    raw,
                    &child.media_type,
                )?;
            }
        }
        self.registry
            .put_manifest(self.repository, &wanted, &bytes, &image.target.media_type)?;
        Ok(pushed(&bytes))
    }

    /// The children of an index that are here whole.
    fn complete<'i>(&self, index: &'i Index) -> Vec<(&'i Descriptor, Manifest, Vec<u8>)> {
        let layout = self.store.content.layout();
        let read = |child: &'i Descriptor| {
            let bytes = layout.document(&child.digest).ok()?;
            let Ok(Document::Manifest(manifest)) = Document::parse(&bytes) else {
                return None;
            };
            let whole = self.store.is_complete(&manifest);
            whole.then_some((child, *manifest, bytes))
        };
        index.manifests.iter().filter_map(read).collect()
    }

    /// Sees to it, before anything is sent, that every archive is here which the registry does not have: those that were not kept
    /// are fetched again, or nothing is pushed.
    fn provide(&self, manifest: &Manifest) -> Result<(), Error> {
        for layer in &manifest.layers {
            if self.store.content.layout().has(&layer.digest) || self.is_settled(layer) {
                continue;
            }
            let status = if self.registry.has_blob(self.repository, &layer.digest)? {
                Status::LayerAlreadyExists
            } else if self.mount(layer)? {
                Status::Mounted
            } else {
                self.store.bring_archive(layer, self.progress)?;
                continue;
            };
            self.settle(layer);
            self.tell(layer, status, 0);
        }
        Ok(())
    }

    /// Whether another repository of the registry gave the blob.
    fn mount(&self, blob: &Descriptor) -> Result<bool, Error> {
        let Some(from) = self.known_elsewhere(blob)? else {
            return Ok(false);
        };
        let (repository, digest) = (self.repository, &blob.digest);
        let upload = self
            .registry
            .start_upload(repository, digest, Some(&from))?;
        Ok(upload.is_none())
    }

    fn is_settled(&self, blob: &Descriptor) -> bool {
        self.settled
            .lock()
            .is_ok_and(|all| all.contains(&blob.digest))
    }

    fn settle(&self, blob: &Descriptor) {
        if let Ok(mut all) = self.settled.lock() {
            all.insert(blob.digest.clone());
        }
    }

    /// All blobs of a manifest, three at a time; the configuration last.
    pub(crate) fn manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let mut blobs: Vec<&Descriptor> = Vec::new();
        self.provide(manifest)?;
        for layer in &manifest.layers {
            // An image may have one layer twice; it is sent once.
            if !self.is_settled(layer) && !blobs.iter().any(|b| b.digest == layer.digest) {
                blobs.push(layer);
            }
        }
        for blob in &blobs {
            self.tell(blob, Status::Preparing, 0);
        }
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let stop = failed.lock().is_ok_and(|f| f.is_some());
                if stop || number >= blobs.len() {
                    return;
                }
                if let Err(error) = self.blob(blobs[number])
                    && let Ok(mut first) = failed.lock()
                {
                    first.get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..PARALLEL.min(blobs.len()) {
                scope.spawn(work);
            }
            work();
        });
        if let Ok(Some(error)) = failed.into_inner() {
            return Err(error);
        }
        self.blob(&manifest.config)
    }

    fn blob(&self, blob: &Descriptor) -> Result<(), Error> {
        if self.registry.has_blob(self.repository, &blob.digest)? {
            self.tell(blob, Status::LayerAlreadyExists, 0);
            return Ok(());
        }
        let mut attempt = 1;
        loop {
            let error = match self.upload(blob) {
                Ok(()) => return Ok(()),
                Err(Error::Registry(error)) => error,
                Err(other) => return Err(other),
            };
            let Some(wait) = pause(&error, attempt) else {
                return Err(error.into());
            };
            self.tell(
                blob,
                Status::Retrying {
                    in_seconds: wait.as_secs().max(1),
                },
                0,
            );
            self.registry.tell_wait(&error, wait);
            std::thread::sleep(wait);
            attempt += 1;
        }
    }

    fn upload(&self, blob: &Descriptor) -> Result<(), Error> {
        let from = self.known_elsewhere(blob)?;
        let Some(location) =
            self.registry
                .start_upload(self.repository, &blob.digest, from.as_deref())?
        else {
            self.tell(blob, Status::Mounted, 0);
            return Ok(());
        };
        let path = self.store.content.layout().blob(&blob.digest);
        let sent = Arc::new(AtomicU64::new(0));
        let open = || -> io::Result<Box<dyn Read>> {
            Ok(Box::new(Counting {
                inner: std::fs::File::open(&path)?,
                sent: sent.clone(),
            }))
        };
        // The request runs on a thread of its own, so that this one can tell how far it is.
        std::thread::scope(|scope| {
            let (done, ended) = std::sync::mpsc::channel::<()>();
            let sent = sent.clone();
            scope.spawn(move || {
                while ended.recv_timeout(std::time::Duration::from_millis(100))
                    == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    self.tell(blob, Status::Pushing, sent.load(Ordering::Relaxed));
                }
            });
            let payload = Payload::Stream {
                open: &open,
                size: blob.size,
            };
            let result = self
                .registry
                .upload(self.repository, &blob.digest, &location, &payload);
            let result = match result {
                Err(RegistryError::Status { status: 413, .. }) => self.in_chunks(blob, &open),
                other => other,
            };
            drop(done);
            result
        })?;
        self.tell(blob, Status::Pushed, blob.size);
        Ok(())
    }

    /// Who answers "content too large" (a proxy before the registry) may take it piece by piece.
    fn in_chunks(
        &self,
        blob: &Descriptor,
        open: &dyn Fn() -> io::Result<Box<dyn Read>>,
    ) -> Result<(), RegistryError> {
        let location = self
            .registry
            .start_upload(self.repository, &blob.digest, None)?;
        let Some(location) = location else {
            return Ok(());
        };
        let mut stream = open().map_err(|e| RegistryError::Connect {
            url: location.clone(),
            source: Box::new(ureq::Error::Io(e)),
        })?;
        self.registry
            .upload_chunks(self.repository, &blob.digest, &location, &mut stream)
    }

    /// Another repository of the same registry that an image here with this blob has a name in.
    fn known_elsewhere(&self, blob: &Descriptor) -> Result<Option<String>, Error> {
        for entry in self.store.content.index()?.manifests {
            let Some(name) = crate::content::name_of(&entry) else {
                continue;
            };
            if name.domain() != self.registry.name() || name.path() == self.repository {
                continue;
            }
            let has = |m: &Manifest| m.layers.iter().any(|l| l.digest == blob.digest);
            if self.store.manifests(&entry).iter().any(has) {
                return Ok(Some(name.path().to_owned()));
            }
        }
        Ok(None)
    }

    fn tell(&self, blob: &Descriptor, status: Status, current: u64) {
        self.progress.layer(LayerEvent {
            id: blob.digest.short(),
            status,
            current,
            total: blob.size,
        });
    }
}

struct Counting {
    inner: std::fs::File,
    sent: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.sent.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

impl Store {
    /// Writes an index of images (one per platform) under a name; all of them must be here.
    pub fn put_index(&self, images: &[Image], name: &Reference) -> Result<Digest, Error> {
        let _hold = self.hold()?;
        let mut index = Index::default();
        for image in images {
            let bytes = self.content.layout().document(&image.manifest_digest)?;
            let kind = &image.manifest.media_type;
            let kind = if kind.is_empty() {
                oci::media_type::OCI_MANIFEST
            } else {
                kind
            };
            let mut child =
                Descriptor::new(kind, image.manifest_digest.clone(), bytes.len() as u64);
            child.platform = Some(image.config.platform());
            index.manifests.push(child);
        }
        let bytes = json(&index)?;
        let digest = self.put(&bytes)?;
        let target = Descriptor::of(oci::media_type::OCI_INDEX, &bytes);
        self.content.update_index(|table| {
            crate::table::set_name(table, &name.clone().or_latest(), target)
        })?;
        Ok(digest)
    }
}
