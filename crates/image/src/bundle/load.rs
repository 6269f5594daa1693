//! Reading an archive of images as a stream.

use super::{BundleError, DockerEntry};
use crate::artifact::{self, Kind as ArtifactKind};
use crate::commit::{Ingest, json};
use crate::content;
use crate::error::Error;
use crate::fetch::{Brought, Fetcher};
use crate::layer::root::components;
use crate::progress::Progress;
use crate::pull::parse;
use crate::signature;
use crate::store::{self, Hold, Image, Store};
use crate::table::{leave_dangling, set_name};
use crate::tarball::{Kind, Limits, Reader, compression, writer};
use oci::{Descriptor, Digest, Document, Index, Manifest, Platform, Reference, media_type};
use std::collections::BTreeMap;
use std::io::Read;

/// An image that was loaded; its line for the user is `Loaded image: NAME` or `Loaded image ID: ID`.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub image: Image,
    pub names: Vec<Reference>,
}

/// An entry of the archive's table, and its names.
type Target = (Descriptor, Vec<Reference>);

/// An archive whose files are in the content store and that nothing refers to yet. Dropped without [`Received::keep`], it is gone.
#[derive(Debug)]
pub struct Received<'a> {
    store: &'a Store,
    hold: Option<Hold>,
    /// As a policy calls what it came by.
    transport: &'static str,
    targets: Vec<Target>,
    artifacts: Vec<Descriptor>,
    /// What was not here before.
    new: Vec<Digest>,
    brought: Brought,
}

impl Store {
    /// Reads all images of an archive and unpacks them (for `platform`, else our own).
    pub fn load(
        &self,
        stream: impl Read + Send,
        platform: Option<&Platform>,
        progress: &dyn Progress,
    ) -> Result<Vec<Loaded>, Error> {
        self.receive(stream)?.keep(platform, progress)
    }

    /// Takes an archive in without giving anything in it a name.
    pub fn receive(&self, stream: impl Read + Send) -> Result<Received<'_>, Error> {
        let mut received = Received {
            store: self,
            hold: Some(self.hold()?),
            transport: "oci-archive",
            targets: Vec::new(),
            artifacts: Vec::new(),
            new: Vec::new(),
            brought: Brought::default(),
        };
        // Nothing is taken in that could not get its name.
        self.content.index()?;
        let files = self.take_in(stream, &mut received.new)?;
        match self.oci_entries(&files)? {
            Some(entries) => {
                let (artifacts, images): (Vec<_>, Vec<_>) =
                    entries.into_iter().partition(is_artifact);
                received.artifacts = artifacts;
                received.targets = images.into_iter().map(named).collect();
            }
            None => received.targets = self.docker_targets(&files, &mut received.new)?,
        }
        if files.contains_key(&b"manifest.json"[..]) {
            received.transport = "docker-archive";
        }
        Ok(received)
    }
}

impl Received<'_> {
    /// The archive's artifact of a kind: its manifest, every digest in it verified.
    pub fn artifact(&self, kind: ArtifactKind<'_>) -> Result<Option<Manifest>, Error> {
        let layout = self.store.content.layout();
        for entry in &self.artifacts {
            let document = parse(&layout.document(&entry.digest)?, &entry.digest)?;
            if let Document::Manifest(manifest) = document
                && artifact::check(&manifest, kind).is_ok()
            {
                return Ok(Some(*manifest));
            }
        }
        Ok(None)
    }

    /// A file of an artifact, not larger than an artifact's files may be.
    pub fn file(&self, layer: &Descriptor) -> Result<Vec<u8>, Error> {
        let large = |size| content::Error::Size {
            digest: layer.digest.clone(),
            expected: artifact::FILE_MAX,
            actual: size,
        };
        let file = self.store.content.layout().open(&layer.digest)?;
        let mut bytes = Vec::new();
        file.take(artifact::FILE_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(BundleError::Read)?;
        let size = bytes.len() as u64;
        if size > artifact::FILE_MAX {
            return Err(large(size).into());
        }
        if !layer.digest.matches(&bytes) {
            let (expected, actual) = (layer.digest.clone(), Digest::sha256(&bytes));
            return Err(content::Error::Digest { expected, actual }.into());
        }
        Ok(bytes)
    }

    /// Unpacks the images and gives them their names.
    pub fn keep(
        mut self,
        platform: Option<&Platform>,
        progress: &dyn Progress,
    ) -> Result<Vec<Loaded>, Error> {
        let own = self.store.platform();
        let (asked, platform) = (platform, platform.unwrap_or(&own));
        let mut targets = std::mem::take(&mut self.targets);
        let mut images = Vec::new();
        for (target, names) in &mut targets {
            crate::archives::forget_sources(target);
            self.check_policy(target, names)?;
            let image = self.unpack(target, platform, progress)?;
            if let Some(asked) = asked {
                let name = names.first().map(Reference::familiar);
                let name = name.unwrap_or_else(|| target.digest.to_string());
                store::check_platform(&image, asked, &name)?;
            }
            images.push(image);
        }
        // All of them or none.
        self.store.content.update_index(|index| {
            for (target, names) in &targets {
                give_names(index, target, names);
            }
        })?;
        let mut loaded: Vec<Loaded> = Vec::new();
        for (image, (target, names)) in images.into_iter().zip(targets) {
            match loaded
                .iter_mut()
                .find(|l| l.image.target.digest == target.digest)
            {
                Some(known) => known.names.extend(names),
                None => loaded.push(Loaded { image, names }),
            }
        }
        Ok(loaded)
    }

    fn check_policy(&self, target: &Descriptor, names: &[Reference]) -> Result<(), Error> {
        let name = names.first().map(Reference::familiar);
        let name = name.unwrap_or_else(|| target.digest.to_string());
        let options = &self.store.options.registries;
        Ok(signature::check_local(
            options,
            self.transport,
            None,
            &name,
        )?)
    }

    fn unpack(
        &self,
        target: &Descriptor,
        platform: &Platform,
        progress: &dyn Progress,
    ) -> Result<Image, Error> {
        let layout = self.store.content.layout();
        let platform = || platform.clone();
        let image = store::read_image(layout, target, &platform, target.digest.hex())?;
        let own = layout.clone();
        let fetcher = Fetcher {
            brought: self.brought.clone(),
            ..self.store.fetcher(&own, progress)
        };
        fetcher.layers(&store::jobs(&image)?)?;
        Ok(image)
    }

    /// What no image refers to: files of the archive (all, when loading failed), and layers of images that were not loaded whole.
    fn let_go(&mut self) -> Result<(), Error> {
        drop(self.hold.take());
        let mut brought = self.brought.take();
        brought.blobs.extend(std::mem::take(&mut self.new));
        self.store.give_back(&brought)
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is unreferenced, and found by the next prune.
        let _ = self.let_go();
    }
}

fn give_names(index: &mut Index, target: &Descriptor, names: &[Reference]) {
    for name in names {
        set_name(index, name, target.clone());
    }
    if names.is_empty() {
        leave_dangling(index, target.clone());
    }
}

fn is_artifact(entry: &Descriptor) -> bool {
    entry
        .other
        .get("artifactType")
        .is_some_and(|t| t.is_string())
}

fn named(entry: Descriptor) -> Target {
    let names = content::name_of(&entry).into_iter().collect();
    let mut target = Descriptor::new(&entry.media_type, entry.digest, entry.size);
    target.platform = entry.platform;
    (target, names)
}

impl Store {
    /// Puts every file of the archive into the content store: path → descriptor. Links between files
    /// (old Docker writes equal layers so) are followed within the archive only.
    fn take_in(
        &self,
        stream: impl Read + Send,
        new: &mut Vec<Digest>,
    ) -> Result<BTreeMap<Vec<u8>, Descriptor>, Error> {
        let plain = compression::decompress(stream).map_err(BundleError::Read)?;
        let mut reader = Reader::new(plain, Limits::default());
        let (mut files, mut links) = (BTreeMap::new(), Vec::new());
        let mut buffer = vec![0u8; 256 << 10];
        while let Some(entry) = reader.next().map_err(BundleError::Tar)? {
            let Some(parts) = components(&entry.path) else {
                continue;
            };
            let path = parts.join(&b'/');
            match entry.kind {
                Kind::Symlink => links.push((path, entry.link)),
                Kind::HardLink => links.push((path, [b"/", entry.link.as_slice()].concat())),
                Kind::File if entry.sparse.is_none() => {
                    let mut ingest = Ingest::new(self)?;
                    loop {
                        let got = reader.read_data(&mut buffer).map_err(BundleError::Tar)?;
                        if got == 0 {
                            break;
                        }
                        ingest.append(&buffer[..got])?;
                    }
                    let descriptor = ingest.publish_new(self, media_type::OCI_LAYER, new)?;
                    files.insert(path, descriptor);
                }
                _ => {}
            }
        }
        for (path, target) in links {
            let base = if target.starts_with(b"/") {
                Vec::new()
            } else {
                [parent(&path), b"/"].concat()
            };
            let full = [base, target].concat();
            let target = components(&full).map(|parts| parts.join(&b'/'));
            if let Some(descriptor) = target.and_then(|t| files.get(&t)).cloned() {
                files.insert(path, descriptor);
            }
        }
        Ok(files)
    }

    /// The entries of `index.json`; `None` where there is none, or nothing in it.
    fn oci_entries(
        &self,
        files: &BTreeMap<Vec<u8>, Descriptor>,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        const FILE: &str = "index.json";
        let Some(file) = files.get(FILE.as_bytes()) else {
            return Ok(None);
        };
        let bytes = self.content.layout().document(&file.digest)?;
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|source| BundleError::Parse { file: FILE, source })?;
        let mut entries = index.manifests;
        entries.retain(|d| !d.is_attestation());
        for entry in &entries {
            if !self.content.layout().has(&entry.digest) {
                let path = writer::blob_path(&entry.digest);
                return Err(BundleError::Missing { file: FILE, path }.into());
            }
        }
        // A docker-archive of two names has them in manifest.json where index.json has bare tags.
        Ok((!entries.is_empty()).then_some(entries))
    }

    /// The images of `manifest.json`, each given a manifest of its own.
    fn docker_targets(
        &self,
        files: &BTreeMap<Vec<u8>, Descriptor>,
        new: &mut Vec<Digest>,
    ) -> Result<Vec<Target>, Error> {
        const FILE: &str = "manifest.json";
        let file = files.get(FILE.as_bytes()).ok_or(BundleError::NoImage)?;
        let bytes = self.content.layout().document(&file.digest)?;
        let entries: Vec<DockerEntry> = serde_json::from_slice(&bytes)
            .map_err(|source| BundleError::Parse { file: FILE, source })?;
        let find = |path: &str| {
            let key = components(path.as_bytes()).map(|parts| parts.join(&b'/'));
            let found = key.and_then(|k| files.get(&k)).cloned();
            found.ok_or_else(|| {
                Error::from(BundleError::Missing {
                    file: FILE,
                    path: path.into(),
                })
            })
        };
        let mut targets = Vec::new();
        for entry in entries {
            let mut config = find(&entry.config)?;
            config.media_type = media_type::OCI_CONFIG.into();
            let mut layers = entry
                .layers
                .iter()
                .map(|path| find(path))
                .collect::<Result<Vec<_>, _>>()?;
            for layer in &mut layers {
                layer.media_type = self.layer_type(&layer.digest)?.into();
            }
            let bytes = json(&Manifest::new(config, layers))?;
            let mut ingest = Ingest::new(self)?;
            ingest.append(&bytes)?;
            let target = ingest.publish_new(self, media_type::OCI_MANIFEST, new)?;
            let tags = entry.repo_tags.unwrap_or_default();
            let names = tags
                .iter()
                .map(|t| Ok(t.parse::<Reference>()?.or_latest()))
                .collect::<Result<_, Error>>()?;
            targets.push((target, names));
        }
        Ok(targets)
    }

    pub(crate) fn layer_type(&self, digest: &Digest) -> Result<&'static str, Error> {
        let mut start = [0u8; 6];
        let mut file = self.content.layout().open(digest)?;
        let got = file.read(&mut start).map_err(BundleError::Read)?;
        Ok(match compression::Compression::of(&start[..got]) {
            compression::Compression::Gzip => media_type::OCI_LAYER_GZIP,
            compression::Compression::Zstd => media_type::OCI_LAYER_ZSTD,
            _ => media_type::OCI_LAYER,
        })
    }
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter()
        .rposition(|b| *b == b'/')
        .map_or(b"", |at| &path[..at])
}
