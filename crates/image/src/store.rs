//! [`Store`]: the images of one data root, and finding one by what a person typed.

use crate::content::{self, ContentStore, ImageLayout};
use crate::error::Error;
use crate::fetch::{Brought, Fetcher, Job};
use crate::layer::{LayerStore, StoreError};
use crate::progress::Progress;
use crate::room::Room;
use crate::tarball::Limits;
use oci::{Descriptor, Digest, Document, ImageConfig, Manifest, Platform, Reference};
use state::Layout;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use sys::lock::FileLock;

/// What the store may use besides itself.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Image layouts on disk, searched in order before any registry.
    pub image_dirs: Vec<PathBuf>,
    pub registries: crate::RegistryOptions,
    /// How new layers are kept.
    pub layer_form: crate::Form,
    /// The archives of layers that came from a registry are not kept.
    pub drop_blobs: bool,
    /// Bytes that stay free on the data root's file system; `None`: a sane part of it.
    pub min_free: Option<u64>,
    /// What containers run on here; `None`: the machine's own platform.
    pub platform: Option<Platform>,
}

/// The images of one data root. Cheap to clone; many processes may use one data root at once.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) content: ContentStore,
    pub(crate) layers: LayerStore,
    pub(crate) paths: Layout,
    pub(crate) options: StoreOptions,
    /// What came in: see [`Store::remembering`].
    pub(crate) brought: Brought,
}

/// One image for one platform, its documents read.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of the configuration: Docker's image id.
    pub id: Digest,
    /// What the name stands for in the table of names: a manifest, or an index of several.
    pub target: Descriptor,
    /// The manifest of this platform.
    pub manifest_digest: Digest,
    pub manifest: Manifest,
    pub config: ImageConfig,
    /// Every name of the image, in full form; empty: dangling.
    pub names: Vec<Reference>,
    /// The chain id of every layer, lowest first.
    pub chain: Vec<Digest>,
}

impl Image {
    /// `redis:7` and the like, as people write them; Docker's `RepoTags`.
    pub fn repo_tags(&self) -> Vec<String> {
        self.names
            .iter()
            .filter(|n| n.tag().is_some())
            .map(Reference::familiar)
            .collect()
    }

    /// `redis@sha256:…`; Docker's `RepoDigests`.
    pub fn repo_digests(&self) -> Vec<String> {
        let mut list: Vec<String> = Vec::new();
        for name in &self.names {
            let digest = format!("{}@{}", name.familiar_repository(), self.target.digest);
            if !list.contains(&digest) {
                list.push(digest);
            }
        }
        list
    }

    /// Whether an index was there to choose it from.
    pub(crate) fn is_of_index(&self) -> bool {
        self.target.digest != self.manifest_digest
    }

    /// Bytes of the blobs, as a registry keeps them.
    pub fn blob_size(&self) -> u64 {
        self.manifest.layers.iter().map(|l| l.size).sum::<u64>() + self.manifest.config.size
    }
}

/// While it is held, nothing is collected: not what is being pulled, nor what a container being created
/// is about to use.
#[derive(Debug)]
pub struct Hold {
    _lock: FileLock,
}

impl Store {
    /// Opens the image store of a data root, made where it is missing. Reads no registry configuration
    /// and makes no connection.
    pub fn open(layout: &Layout, options: StoreOptions) -> Result<Self, Error> {
        let prepared = layout.prepare();
        prepared.map_err(|source| StoreError::Io {
            step: "prepare",
            path: layout.data_root().into(),
            source,
        })?;
        let content = ContentStore::open(layout.clone())?;
        Ok(Self {
            content,
            layers: LayerStore::new(layout.clone(), options.layer_form),
            paths: layout.clone(),
            options,
            brought: Brought::default(),
        })
    }

    /// Keeps collection away until dropped. Take it before looking an image up for a new container, and
    /// keep it until the container's record is written.
    pub fn hold(&self) -> Result<Hold, Error> {
        let path = self.paths.lock("image", "collect");
        let lock = FileLock::shared(&path).map_err(|source| StoreError::Io {
            step: "lock",
            path,
            source,
        })?;
        Ok(Hold { _lock: lock })
    }

    /// The same store; a registry (`host[:port]`) may have any certificate or no TLS.
    #[must_use]
    pub fn trusting(mut self, registry: &str) -> Self {
        self.options.registries.insecure.push(registry.to_owned());
        self
    }

    /// The unpacked layers.
    pub fn layers(&self) -> &LayerStore {
        &self.layers
    }

    pub fn platform(&self) -> Platform {
        self.options.platform.clone().unwrap_or_else(Platform::host)
    }

    /// The image in the store by name, name and digest, id, or unique id prefix (with or without
    /// `sha256:`). Nothing is fetched.
    pub fn find(&self, wanted: &str) -> Result<Image, Error> {
        self.find_as(wanted, None)
    }

    /// The same for another platform than the store's own.
    pub fn find_for(&self, wanted: &str, platform: &Platform) -> Result<Image, Error> {
        self.find_as(wanted, Some(platform))
    }

    /// The same, and an image that has no choice of platforms must be for this one, too.
    pub fn find_on(&self, wanted: &str, platform: &Platform) -> Result<Image, Error> {
        let image = self.find_for(wanted, platform)?;
        check_platform(&image, platform, wanted)?;
        Ok(image)
    }

    /// The same, for the store's own platform without one. That is found out only when there is a choice: the processor has to be
    /// asked for all it can do.
    pub(crate) fn find_as(
        &self,
        wanted: &str,
        platform: Option<&Platform>,
    ) -> Result<Image, Error> {
        // Read once: what is found and what it is called are of one moment.
        let index = self.content.index()?;
        let Some(target) = self.target_in(&index, wanted)? else {
            return Err(Error::NoSuchImage(wanted.into()));
        };
        let platform = || platform.cloned().unwrap_or_else(|| self.platform());
        let mut image = read_image(self.content.layout(), &target, &platform, wanted)?;
        image.names = names_in(&index, &target.digest);
        Ok(image)
    }

    /// The entry of the table of names that `wanted` stands for. A name without a registry that is no name here may be another
    /// registry's.
    pub(crate) fn find_target(&self, wanted: &str) -> Result<Option<Descriptor>, Error> {
        self.target_in(&self.content.index()?, wanted)
    }

    pub(crate) fn target_in(
        &self,
        index: &oci::Index,
        wanted: &str,
    ) -> Result<Option<Descriptor>, Error> {
        if let Some(found) = self.exactly_in(index, wanted)? {
            return Ok(Some(found));
        }
        // Files that cannot be read are told when something is pulled.
        for name in self.names_for(wanted).unwrap_or_default() {
            if let Some(found) = self.exactly_in(index, &name.to_string())? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn exactly_in(&self, index: &oci::Index, wanted: &str) -> Result<Option<Descriptor>, Error> {
        if let Ok(name) = wanted.parse::<Reference>()
            && let Some(found) = index
                .manifests
                .iter()
                .find(|d| names(d, &name.clone().or_latest()))
        {
            return Ok(Some(found.clone()));
        }
        Ok(self.by_id(index, wanted)?.into_iter().next())
    }

    /// The entries an id or its beginning stands for, each once: an image that came in several forms has one for each of them.
    pub(crate) fn by_id(&self, index: &oci::Index, wanted: &str) -> Result<Vec<Descriptor>, Error> {
        let hex = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        let digit = |b: u8| b.is_ascii_hexdigit() && !b.is_ascii_uppercase();
        if hex.is_empty() || !hex.bytes().all(digit) {
            return Ok(Vec::new());
        }
        let mut fits: BTreeMap<String, Vec<Descriptor>> = BTreeMap::new();
        for entry in distinct(index) {
            let ids: BTreeSet<String> = self.ids(entry).into_iter().collect();
            for id in ids.into_iter().filter(|id| id.starts_with(hex)) {
                fits.entry(id).or_default().push(entry.clone());
            }
        }
        if let Some(exact) = fits.remove(hex) {
            return Ok(exact);
        }
        let mut found = fits.into_values();
        let first = found.next().unwrap_or_default();
        // Several ids may belong to one entry.
        match found.all(|other| other.len() == 1 && other == first) {
            true => Ok(first),
            false => Err(Error::Ambiguous(wanted.into())),
        }
    }

    /// The entries that have an image, each once.
    pub(crate) fn entries_of(&self, index: &oci::Index, image: &Digest) -> Vec<Descriptor> {
        let has = |entry: &&Descriptor| {
            let manifests = self.manifests(entry);
            manifests.iter().any(|m| m.config.digest == *image)
        };
        distinct(index).filter(has).cloned().collect()
    }

    /// What an entry answers to: its own digest, and the id of every image in it.
    fn ids(&self, entry: &Descriptor) -> Vec<String> {
        let mut ids = vec![entry.digest.hex().to_owned()];
        for manifest in self.manifests(entry) {
            ids.push(manifest.config.digest.hex().to_owned());
        }
        ids
    }

    /// All manifests of an entry that are here.
    pub(crate) fn manifests(&self, entry: &Descriptor) -> Vec<Manifest> {
        let read = |digest: &Digest| {
            let bytes = self.content.layout().document(digest).ok()?;
            Document::parse(&bytes).ok()
        };
        match read(&entry.digest) {
            Some(Document::Manifest(manifest)) => vec![*manifest],
            Some(Document::Index(index)) => {
                let documents = index
                    .manifests
                    .iter()
                    .filter(|d| !d.is_attestation())
                    .filter_map(|d| read(&d.digest));
                let manifests = documents.filter_map(|d| match d {
                    Document::Manifest(manifest) => Some(*manifest),
                    Document::Index(_) => None,
                });
                manifests.collect()
            }
            None => Vec::new(),
        }
    }

    /// Reads an entry's documents for one platform.
    pub(crate) fn read(
        &self,
        target: &Descriptor,
        platform: &dyn Fn() -> Platform,
        name: &str,
    ) -> Result<Image, Error> {
        let layout = self.content.layout();
        let mut image = read_image(layout, target, platform, name)?;
        image.names = self.names_of(&target.digest)?;
        Ok(image)
    }

    /// All names an entry has.
    pub(crate) fn names_of(&self, target: &Digest) -> Result<Vec<Reference>, Error> {
        Ok(names_in(&self.content.index()?, target))
    }

    /// The layers of an image as an overlay takes them, **lowest first** (the reverse of overlayfs' `lowerdir=`).
    /// A layer that is not unpacked (any more) is unpacked from its blob.
    pub fn layer_dirs(&self, image: &Image) -> Result<Vec<PathBuf>, Error> {
        if !image.chain.iter().all(|c| self.layers.exists(c)) {
            let _hold = self.hold()?;
            let own = self.content.layout().clone();
            self.fetcher(&own, &crate::Silent).layers(&jobs(image)?)?;
        }
        Ok(image.chain.iter().map(|c| self.layers.files(c)).collect())
    }

    pub(crate) fn fetcher<'a>(
        &'a self,
        source: &'a dyn crate::fetch::Source,
        progress: &'a dyn Progress,
    ) -> Fetcher<'a> {
        Fetcher {
            content: &self.content,
            layers: &self.layers,
            source,
            progress,
            limits: Limits::default(),
            room: self.room(),
            keep: !self.options.drop_blobs,
            brought: self.brought.clone(),
        }
    }

    /// What is left on the data root's file system.
    pub(crate) fn room(&self) -> Room {
        Room::new(self.paths.data_root(), self.options.min_free)
    }
}

/// The entries of a table of names, each once whatever names it has.
fn distinct(index: &oci::Index) -> impl Iterator<Item = &Descriptor> {
    let mut seen = BTreeSet::new();
    let entries = index.manifests.iter();
    entries.filter(move |entry| seen.insert(&entry.digest))
}

/// All names that an entry has in a table of names.
pub(crate) fn names_in(index: &oci::Index, target: &Digest) -> Vec<Reference> {
    let entries = index.manifests.iter().filter(|d| d.digest == *target);
    entries.filter_map(content::name_of).collect()
}

/// Whether an entry answers to the (full) name. With tag and digest, only the digest counts.
pub(crate) fn names(entry: &Descriptor, wanted: &Reference) -> bool {
    let Some(name) = content::name_of(entry) else {
        return false;
    };
    match wanted.digest() {
        Some(digest) => *digest == entry.digest && name.repository() == wanted.repository(),
        None => name == *wanted,
    }
}

/// Reads the documents behind an entry of any layout. Names are left empty.
pub(crate) fn read_image(
    layout: &ImageLayout,
    target: &Descriptor,
    platform: &dyn Fn() -> Platform,
    name: &str,
) -> Result<Image, Error> {
    let parse = |digest: &Digest| -> Result<Document, Error> {
        let bytes = layout.document(digest)?;
        Document::parse(&bytes).map_err(|source| Error::Manifest {
            digest: digest.clone(),
            source,
        })
    };
    let (digest, manifest) = match parse(&target.digest)? {
        Document::Manifest(manifest) => (target.digest.clone(), *manifest),
        Document::Index(index) => {
            let chosen = choose(&index, &platform(), name)?;
            match parse(&chosen.digest)? {
                Document::Manifest(manifest) => (chosen.digest.clone(), *manifest),
                Document::Index(_) => {
                    return Err(Error::NotAnImage(
                        name.into(),
                        "an index within an index".into(),
                    ));
                }
            }
        }
    };
    let config = layout.document(&manifest.config.digest)?;
    assemble(target.clone(), digest, manifest, &config)
}

pub(crate) fn choose<'a>(
    index: &'a oci::Index,
    platform: &Platform,
    name: &str,
) -> Result<&'a Descriptor, Error> {
    index.choose(platform).ok_or_else(|| Error::NoPlatform {
        name: name.into(),
        wanted: platform.to_string(),
        offered: index.platforms(),
    })
}

/// That an image is for a platform somebody named. An index says itself what its images are for.
pub(crate) fn check_platform(image: &Image, platform: &Platform, name: &str) -> Result<(), Error> {
    let own = image.config.platform();
    match platform.rank(&own) {
        Some(_) => Ok(()),
        None if image.is_of_index() => Ok(()),
        None => Err(Error::NoPlatform {
            name: name.into(),
            wanted: platform.to_string(),
            offered: vec![own.to_string()],
        }),
    }
}

/// Puts an image together from its documents.
pub(crate) fn assemble(
    target: Descriptor,
    manifest_digest: Digest,
    manifest: Manifest,
    config: &[u8],
) -> Result<Image, Error> {
    let id = manifest.config.digest.clone();
    if matches!(manifest.config.kind(), oci::MediaType::Other)
        && !manifest.config.media_type.is_empty()
    {
        return Err(Error::NotAnImage(
            manifest_digest.to_string(),
            manifest.config.media_type,
        ));
    }
    let config: ImageConfig = serde_json::from_slice(config).map_err(|source| Error::Config {
        digest: id.clone(),
        source,
    })?;
    let chain = oci::chain_ids(&config.rootfs.diff_ids);
    if chain.len() != manifest.layers.len() {
        let (layers, diff_ids) = (manifest.layers.len(), chain.len());
        return Err(Error::LayerCount {
            digest: manifest_digest,
            layers,
            diff_ids,
        });
    }
    Ok(Image {
        id,
        target,
        manifest_digest,
        manifest,
        config,
        names: Vec::new(),
        chain,
    })
}

/// The layers of an image as work for a [`Fetcher`].
pub(crate) fn jobs(image: &Image) -> Result<Vec<Job>, Error> {
    let layers = image
        .manifest
        .layers
        .iter()
        .zip(&image.config.rootfs.diff_ids)
        .zip(&image.chain);
    Ok(layers
        .map(|((blob, diff_id), chain_id)| Job {
            blob: blob.clone(),
            diff_id: diff_id.clone(),
            chain_id: chain_id.clone(),
        })
        .collect())
}
