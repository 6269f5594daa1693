//! Layers kept elsewhere with a document about them that is no image's configuration: a build cache in a registry or in an
//! image layout. What the document says is its owner's business; an image is such a deposit too.
//!
//! ```text
//! manifest: config: the document, by its owner's media type; layers: those the document speaks of
//! ```
//! Every registry keeps such a manifest. Source: OCI image-spec `manifest.md`, `image-layout.md`.

use crate::commit::{chain, json};
use crate::content::{self, ImageLayout};
use crate::error::Error;
use crate::fetch::{Job, Source};
use crate::progress::{Progress, Silent};
use crate::push::Upload;
use crate::registry::Registry;
use crate::registry::memory::Memory;
use crate::remote::Remote;
use crate::store::{self, Store};
use crate::{Layer, pull};
use oci::manifest::REF_NAME;
use oci::media_type::{OCI_LAYER, OCI_MANIFEST};
use oci::{Descriptor, Digest, Document, Manifest, Reference};
use state::Durability;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a deposit is, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Depot {
    Registry(Reference),
    /// A directory, and under which tag or digest in it.
    Layout {
        dir: PathBuf,
        name: String,
    },
}

/// A deposit that was found: its document is here, its layers are fetched one by one.
pub struct Deposit {
    pub manifest: Manifest,
    /// What the manifest's configuration is.
    pub document: Vec<u8>,
    place: Place,
}

enum Place {
    Layout(Foreign),
    /// The registries, and which of them gave the manifest.
    Remote(Box<Remote>, usize),
}

impl std::fmt::Debug for Deposit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deposit")
            .field("config", &self.manifest.config)
            .finish_non_exhaustive()
    }
}

/// A layout that others may write to: its blobs are copied, never linked.
struct Foreign(ImageLayout);

impl Source for Foreign {
    fn place(&self) -> String {
        Source::place(&self.0)
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>, Error> {
        // A pipe under a blob's name would be waited for.
        if !self.0.has(&blob.digest) {
            let (digest, root) = (blob.digest.clone(), self.0.root().to_owned());
            return Err(content::Error::Missing { digest, root }.into());
        }
        Source::open(&self.0, blob, offset)
    }

    fn again(&self, _: &Error, _: u32) -> Option<Duration> {
        None
    }
}

impl Place {
    fn with<T>(&self, ask: impl FnOnce(&dyn Source) -> T) -> T {
        match self {
            Self::Layout(layout) => ask(layout),
            Self::Remote(remote, at) => ask(&remote.blobs(*at)),
        }
    }
}

impl Store {
    /// Finds a deposit and reads its document.
    pub fn open_deposit(&self, depot: &Depot) -> Result<Deposit, Error> {
        let _hold = self.hold()?;
        match depot {
            Depot::Layout { dir, name } => self.deposit_in(dir, name),
            Depot::Registry(reference) => self.deposit_at(reference),
        }
    }

    fn deposit_in(&self, dir: &Path, name: &str) -> Result<Deposit, Error> {
        let layout = ImageLayout::new(dir);
        let index = layout.index()?;
        let named = |entry: &&Descriptor| {
            entry.digest.to_string() == name
                || entry
                    .annotations
                    .get(REF_NAME)
                    .is_some_and(|tag| tag == name)
        };
        let entry = index.manifests.iter().find(named);
        let entry =
            entry.ok_or_else(|| Error::NoSuchImage(format!("{name} in {}", dir.display())))?;
        let read = |digest: &Digest| Ok(layout.document(digest)?);
        let manifest = self.manifest_of(&entry.digest, name, &read)?;
        self.deposit_of(manifest, Place::Layout(Foreign(layout.clone())))
    }

    fn deposit_at(&self, reference: &Reference) -> Result<Deposit, Error> {
        let memory = Memory::new(Some(self.paths.run_registries()));
        let remote = Remote::open(&self.options.registries, reference, memory)?;
        let mut places = Vec::new();
        let asked: Vec<usize> = remote.resolving().collect();
        for at in asked {
            match self.manifest_at(remote.registry(at), reference) {
                Ok(manifest) => {
                    return self.deposit_of(manifest, Place::Remote(Box::new(remote), at));
                }
                Err(error) if remote.goes_on(at, &error) => places.push(remote.place(at, &error)),
                Err(error) => return Err(error),
            }
        }
        Err(Error::NotFound(crate::NotFound {
            reference: reference.familiar(),
            places,
        }))
    }

    fn manifest_at(&self, registry: &Registry, reference: &Reference) -> Result<Manifest, Error> {
        let repository = &registry.endpoint().repository;
        let (bytes, found) = registry.manifest(repository, &reference.tag_or_digest())?;
        pull::check_asked(reference, &found)?;
        let read = |digest: &Digest| {
            if *digest == found.digest {
                return Ok(bytes.clone());
            }
            let (bytes, _) = registry.manifest(repository, &digest.to_string())?;
            content::check_document(digest, &bytes)?;
            Ok(bytes)
        };
        self.manifest_of(&found.digest, &reference.familiar(), &read)
    }

    /// The manifest, or that of an index which is for this platform.
    fn manifest_of(
        &self,
        digest: &Digest,
        name: &str,
        read: &dyn Fn(&Digest) -> Result<Vec<u8>, Error>,
    ) -> Result<Manifest, Error> {
        let index = match pull::parse(&read(digest)?, digest)? {
            Document::Manifest(manifest) => return Ok(*manifest),
            Document::Index(index) => index,
        };
        let chosen = &store::choose(&index, &self.platform(), name)?.digest;
        match pull::parse(&read(chosen)?, chosen)? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(_) => {
                let what = "an index within an index".to_owned();
                Err(Error::NotAnImage(name.to_owned(), what))
            }
        }
    }

    fn deposit_of(&self, manifest: Manifest, place: Place) -> Result<Deposit, Error> {
        let config = &manifest.config;
        let (document, _) = place.with(|source| self.fetcher(source, &Silent).document(config))?;
        Ok(Deposit {
            manifest,
            document,
            place,
        })
    }

    /// Fetches one layer of a deposit and unpacks it above `parent`; both digests are checked on the way.
    pub fn take_layer(
        &self,
        deposit: &Deposit,
        blob: &Descriptor,
        diff_id: &Digest,
        parent: Option<&Digest>,
        progress: &dyn Progress,
    ) -> Result<Layer, Error> {
        let _hold = self.hold()?;
        let chain_id = chain(parent, diff_id);
        let job = Job {
            blob: blob.clone(),
            diff_id: diff_id.clone(),
            chain_id: chain_id.clone(),
        };
        let below = self.below(parent)?;
        let taken = |source: &dyn Source| self.fetcher(source, progress).above(&job, &below);
        deposit.place.with(taken)?;
        Ok(Layer {
            blob: Descriptor::new(&blob.media_type, blob.digest.clone(), blob.size),
            diff_id: diff_id.clone(),
            chain_id,
        })
    }

    /// A layer as it is sent: compressed, where it is kept as a plain tar.
    pub fn compressed(&self, layer: &Descriptor) -> Result<Descriptor, Error> {
        match layer.media_type == OCI_LAYER {
            true => self.compress_blob(layer),
            false => Ok(layer.clone()),
        }
    }

    /// Leaves layers of this store and a document about them somewhere else; the manifest's digest.
    pub fn deposit(
        &self,
        depot: &Depot,
        kind: &str,
        document: &[u8],
        layers: Vec<Descriptor>,
        progress: &dyn Progress,
    ) -> Result<Digest, Error> {
        let _hold = self.hold()?;
        self.put(document)?;
        let manifest = Manifest::new(Descriptor::of(kind, document), layers);
        let bytes = json(&manifest)?;
        match depot {
            Depot::Registry(reference) => {
                let registry = Registry::for_push(&self.options.registries, reference)?;
                let repository = registry.endpoint().repository.as_str();
                Upload::to(self, &registry, progress).manifest(&manifest)?;
                registry.put_manifest(
                    repository,
                    &reference.tag_or_digest(),
                    &bytes,
                    OCI_MANIFEST,
                )?;
            }
            Depot::Layout { dir, name } => {
                self.bring_archives(&manifest.layers, progress)?;
                self.write_layout(dir, name, &manifest, &bytes)?;
            }
        }
        Ok(Digest::sha256(&bytes))
    }

    /// The blobs first, the entry of the index that leads to them last: whoever reads meanwhile finds what was there before.
    fn write_layout(
        &self,
        dir: &Path,
        name: &str,
        manifest: &Manifest,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let layout = ImageLayout::new(dir);
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).map_err(io("make", &blobs))?;
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            self.copy_out(&blob.digest, &layout)?;
        }
        let digest = Digest::sha256(bytes);
        put(&layout.blob(&digest), bytes)?;
        put(
            &dir.join("oci-layout"),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        let mut index = layout.index()?;
        let is_other = |entry: &Descriptor| {
            entry
                .annotations
                .get(REF_NAME)
                .is_none_or(|tag| tag != name)
        };
        index.manifests.retain(is_other);
        let mut entry = Descriptor::new(OCI_MANIFEST, digest, bytes.len() as u64);
        entry
            .annotations
            .insert(REF_NAME.to_owned(), name.to_owned());
        index.manifests.push(entry);
        put(&dir.join("index.json"), &json(&index)?)
    }

    fn copy_out(&self, digest: &Digest, to: &ImageLayout) -> Result<(), Error> {
        if to.has(digest) {
            return Ok(());
        }
        let target = to.blob(digest);
        let mut source = self.content.layout().open(digest)?;
        let aside = target.with_extension(format!("tmp-{}", std::process::id()));
        let copied = std::fs::File::create(&aside)
            .and_then(|mut file| std::io::copy(&mut source, &mut file))
            .and_then(|_| std::fs::rename(&aside, &target));
        if copied.is_err() {
            let _ = std::fs::remove_file(&aside);
        }
        copied.map_err(|source| io("write", &target)(source))
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    state::record::write_bytes(path, bytes, Durability::Durable)
        .map_err(|source| io("write", path)(source))
}

fn io(step: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| {
        content::Error::Io {
            step,
            path: path.clone(),
            source,
        }
        .into()
    }
}
