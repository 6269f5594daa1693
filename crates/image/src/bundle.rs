//! `save`, `load`, `import`: images as one file.
//!
//! What is written is an OCI layout and a docker-archive at once, as Docker writes it since version 25:
//! ```text
//! oci-layout, index.json, blobs/sha256/…    read by everything that knows OCI
//! manifest.json, repositories               read by older Docker; Config and Layers are paths of blobs
//! ```
//! What is read is either, compressed or not, as a stream: every file goes into the content store under
//! the digest it turns out to have, and only then is looked at.

use crate::commit::{Ingest, Layer, json};
use crate::content;
use crate::error::Error;
use crate::layer::Record;
use crate::layer::root::components;
use crate::pipeline;
use crate::progress::Progress;
use crate::pull::{leave_dangling, set_name};
use crate::store::{self, Image, Store};
use crate::tarball::{Kind, Limits, Reader, Writer, compression, writer};
use oci::manifest::{CONTAINERD_NAME, REF_NAME};
use oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Reference, media_type};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    #[error(transparent)]
    Tar(#[from] crate::tarball::reader::Error),
    #[error("the archive holds no image: neither index.json nor manifest.json")]
    NoImage,
    #[error("the archive's {file} is damaged")]
    Parse {
        file: &'static str,
        source: serde_json::Error,
    },
    #[error("the archive's {file} names {path}, which the archive does not hold")]
    Missing { file: &'static str, path: String },
}

/// An entry of `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// An image that was loaded; its line for the user is `Loaded image: NAME` or `Loaded image ID: ID`.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub image: Image,
    pub names: Vec<Reference>,
}

impl Store {
    /// Writes images into one archive, by name or id.
    pub fn save(&self, wanted: &[&str], out: &mut dyn Write) -> Result<(), Error> {
        let _hold = self.hold()?;
        let mut plan = SavePlan::default();
        for name in wanted {
            let target = self
                .find_target(name)?
                .ok_or_else(|| Error::NoSuchImage((*name).into()))?;
            let image = self.read_any(&target)?;
            let reference = name.parse::<Reference>().ok().map(Reference::or_latest);
            let all = self.content.layout().index()?.manifests;
            let named =
                reference.filter(|r| r.tag().is_some() && all.iter().any(|d| store::names(d, r)));
            plan.add(self, &target, &image, named)?;
        }
        let mut writer = Writer::new(out);
        plan.write(self, &mut writer)?;
        writer.finish().map_err(BundleError::Write)?;
        Ok(())
    }

    /// Reads all images of an archive and unpacks them (for `platform`, else our own).
    pub fn load(
        &self,
        stream: impl Read + Send,
        platform: Option<&Platform>,
        progress: &dyn Progress,
    ) -> Result<Vec<Loaded>, Error> {
        let own = self.platform();
        let hold = self.hold()?;
        let mut new = Vec::new();
        let loaded = self.load_held(stream, platform.unwrap_or(&own), progress, &mut new);
        drop(hold);
        // Files of the archive that no image refers to (all, when loading failed).
        if let Some(_alone) = self.alone()? {
            let mut reached = crate::remove::Reachable::default();
            for entry in &self.content.layout().index()?.manifests {
                self.reach(entry, &mut reached);
            }
            for digest in new.iter().filter(|d| !reached.blobs.contains(*d)) {
                self.remove_blob(digest)?;
            }
        }
        loaded
    }

    fn load_held(
        &self,
        stream: impl Read + Send,
        platform: &Platform,
        progress: &dyn Progress,
        new: &mut Vec<Digest>,
    ) -> Result<Vec<Loaded>, Error> {
        let files = self.take_in(stream, new)?;
        let targets = match self.oci_targets(&files)? {
            Some(targets) => targets,
            None => self.docker_targets(&files, new)?,
        };
        let mut loaded: Vec<Loaded> = Vec::new();
        for (target, names) in targets {
            let image = store::read_image(
                self.content.layout(),
                &target,
                platform,
                target.digest.hex(),
            )?;
            let own = self.content.layout().clone();
            self.fetcher(&own, progress).layers(&store::jobs(&image)?)?;
            self.content.update_index(|index| {
                names.iter().for_each(|name| {
                    set_name(index, name, target.clone());
                });
                if names.is_empty() {
                    leave_dangling(index, target.clone());
                }
            })?;
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
                        ingest
                            .write_all(&buffer[..got])
                            .map_err(BundleError::Read)?;
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

    /// The images of `index.json`; `None` where there is none, or none of it is here.
    fn oci_targets(
        &self,
        files: &BTreeMap<Vec<u8>, Descriptor>,
    ) -> Result<Option<Vec<(Descriptor, Vec<Reference>)>>, Error> {
        let Some(file) = files.get(&b"index.json"[..]) else {
            return Ok(None);
        };
        let bytes = self.content.layout().document(&file.digest)?;
        let index: Index = serde_json::from_slice(&bytes).map_err(|source| BundleError::Parse {
            file: "index.json",
            source,
        })?;
        let mut targets = Vec::new();
        for entry in index.manifests.iter().filter(|d| !d.is_attestation()) {
            if !self.content.layout().has(&entry.digest) {
                let path = format!(
                    "blobs/{}/{}",
                    entry.digest.algorithm().as_str(),
                    entry.digest.hex()
                );
                return Err(BundleError::Missing {
                    file: "index.json",
                    path,
                }
                .into());
            }
            let names = content::name_of(entry).into_iter().collect();
            let mut target = Descriptor::new(&entry.media_type, entry.digest.clone(), entry.size);
            target.platform = entry.platform.clone();
            targets.push((target, names));
        }
        // A docker-archive of two names has them in manifest.json where index.json has bare tags.
        Ok((!targets.is_empty()).then_some(targets))
    }

    /// The images of `manifest.json`, each given a manifest of its own.
    fn docker_targets(
        &self,
        files: &BTreeMap<Vec<u8>, Descriptor>,
        new: &mut Vec<Digest>,
    ) -> Result<Vec<(Descriptor, Vec<Reference>)>, Error> {
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
            ingest.write_all(&bytes).map_err(BundleError::Read)?;
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

    fn layer_type(&self, digest: &Digest) -> Result<&'static str, Error> {
        let mut start = [0u8; 6];
        let mut file = self.content.layout().open(digest)?;
        let got = file.read(&mut start).map_err(BundleError::Read)?;
        Ok(match compression::Compression::of(&start[..got]) {
            compression::Compression::Gzip => media_type::OCI_LAYER_GZIP,
            compression::Compression::Zstd => media_type::OCI_LAYER_ZSTD,
            _ => media_type::OCI_LAYER,
        })
    }

    /// Makes the layer above `parent` of an archive (plain, gzip or zstd), as `docker import` does.
    pub fn import_layer(
        &self,
        mut stream: impl Read,
        parent: Option<&Digest>,
    ) -> Result<Layer, Error> {
        let _hold = self.hold()?;
        let staging = self.layers.stage()?;
        let target = staging.open_diff()?;
        let mut ingest = Ingest::new(self)?;
        let unknown = Digest::sha256(b"");
        let (unpacked, diff_id) =
            pipeline::run(&unknown, target.as_fd(), Limits::default(), |sink| {
                let mut buffer = vec![0u8; 256 << 10];
                loop {
                    match stream.read(&mut buffer) {
                        Ok(0) => return Ok(()),
                        Ok(got) => {
                            ingest
                                .write_all(&buffer[..got])
                                .map_err(BundleError::Write)?;
                            sink(&buffer[..got]);
                        }
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(BundleError::Read(e).into()),
                    }
                }
            })?;
        let mut blob = ingest.publish(self, media_type::OCI_LAYER)?;
        blob.media_type = self.layer_type(&blob.digest)?.into();
        let chain_id = crate::commit::chain(parent, &diff_id);
        let _lock = self.layers.lock(&chain_id)?;
        if !self.layers.exists(&chain_id) {
            let record = Record {
                chain_id: chain_id.clone(),
                diff_id: diff_id.clone(),
                parent: parent.cloned(),
                blob: Some(blob.digest.clone()),
                size: unpacked.size,
            };
            let below = self.below(parent)?;
            self.layers.commit(staging, &record, &unpacked, &below)?;
        }
        Ok(Layer {
            blob,
            diff_id,
            chain_id,
        })
    }

    /// The chain from the lowest layer up to `top`, by the records.
    fn below(&self, top: Option<&Digest>) -> Result<Vec<Digest>, Error> {
        let mut chain = Vec::new();
        let mut next = top.cloned();
        while let Some(chain_id) = next {
            next = self
                .layers
                .get(&chain_id)?
                .and_then(|r| r.parent)
                .filter(|p| !chain.contains(p));
            chain.push(chain_id);
        }
        chain.reverse();
        Ok(chain)
    }
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter()
        .rposition(|b| *b == b'/')
        .map_or(b"", |at| &path[..at])
}

/// What goes into an archive, found out before the first byte is written.
#[derive(Default)]
struct SavePlan {
    index: Index,
    docker: Vec<DockerEntry>,
    blobs: Vec<Digest>,
    known: BTreeSet<Digest>,
}

impl SavePlan {
    fn add(
        &mut self,
        store: &Store,
        target: &Descriptor,
        image: &Image,
        name: Option<Reference>,
    ) -> Result<(), Error> {
        let layout = store.content.layout();
        let mut reached = crate::remove::Reachable::default();
        store.reach(target, &mut reached);
        // Of an index with platforms that were never pulled, the image we have is saved alone.
        let whole = reached.blobs.iter().all(|d| layout.has(d));
        let (mut entry, blobs) = if whole {
            (target.clone(), reached.blobs.into_iter().collect())
        } else {
            let bytes = layout.document(&image.manifest_digest)?;
            let manifest = &image.manifest;
            let kind = if manifest.media_type.is_empty() {
                media_type::OCI_MANIFEST
            } else {
                &manifest.media_type
            };
            let mut blobs = vec![image.manifest_digest.clone(), image.id.clone()];
            blobs.extend(manifest.layers.iter().map(|l| l.digest.clone()));
            (
                Descriptor::new(kind, image.manifest_digest.clone(), bytes.len() as u64),
                blobs,
            )
        };
        for digest in blobs {
            if !layout.has(&digest) {
                return Err(content::Error::Missing {
                    digest,
                    root: layout.root().into(),
                }
                .into());
            }
            if self.known.insert(digest.clone()) {
                self.blobs.push(digest);
            }
        }
        entry.annotations.clear();
        if let Some(name) = &name {
            entry
                .annotations
                .insert(CONTAINERD_NAME.into(), name.to_string());
            entry
                .annotations
                .insert(REF_NAME.into(), name.tag().unwrap_or_default().into());
        }
        if !self.index.manifests.contains(&entry) {
            self.index.manifests.push(entry);
        }
        self.add_docker(image, name);
        Ok(())
    }

    fn add_docker(&mut self, image: &Image, name: Option<Reference>) {
        let path = |d: &Digest| format!("blobs/{}/{}", d.algorithm().as_str(), d.hex());
        let config = path(&image.id);
        let tag = name.filter(|n| n.tag().is_some()).map(|n| n.familiar());
        if let Some(known) = self.docker.iter_mut().find(|e| e.config == config) {
            let tags = known.repo_tags.get_or_insert_default();
            tags.extend(tag.filter(|t| !tags.contains(t)));
            return;
        }
        let layers = image
            .manifest
            .layers
            .iter()
            .map(|l| path(&l.digest))
            .collect();
        self.docker.push(DockerEntry {
            config,
            repo_tags: tag.map(|t| vec![t]),
            layers,
        });
    }

    fn write(&self, store: &Store, writer: &mut Writer<&mut dyn Write>) -> Result<(), Error> {
        let failed = BundleError::Write;
        for dir in ["blobs/", "blobs/sha256/"] {
            writer
                .entry(&writer::plain(dir, Kind::Directory, 0o755, 0))
                .map_err(failed)?;
        }
        let mut buffer = vec![0u8; 256 << 10];
        for digest in &self.blobs {
            let mut file = store.content.layout().open(digest)?;
            let size = file.metadata().map_err(BundleError::Read)?.len();
            let path = format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex());
            writer
                .entry(&writer::plain(&path, Kind::File, 0o644, size))
                .map_err(failed)?;
            loop {
                let got = file.read(&mut buffer).map_err(BundleError::Read)?;
                if got == 0 {
                    break;
                }
                writer.data(&buffer[..got]).map_err(failed)?;
            }
            writer.pad(size).map_err(failed)?;
        }
        writer
            .file("index.json", &json(&self.index)?)
            .map_err(failed)?;
        writer
            .file("manifest.json", &json(&self.docker)?)
            .map_err(failed)?;
        writer
            .file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
            .map_err(failed)?;
        writer
            .file("repositories", &json(&self.repositories())?)
            .map_err(failed)?;
        Ok(())
    }

    /// `{"busybox":{"latest":"<top layer>"}}`, which only very old tools read.
    fn repositories(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for entry in &self.docker {
            let top = entry
                .layers
                .last()
                .map(|l| l.rsplit('/').next().unwrap_or(l))
                .unwrap_or_default();
            for tag in entry.repo_tags.iter().flatten() {
                if let Some((repository, tag)) = tag.rsplit_once(':') {
                    all.entry(repository.into())
                        .or_default()
                        .insert(tag.into(), top.into());
                }
            }
        }
        all
    }
}

impl Store {
    /// Makes a one-layer image of an archive (`docker import`).
    pub fn import(
        &self,
        stream: impl Read,
        config: &ImageConfig,
        names: &[Reference],
    ) -> Result<Image, Error> {
        let layer = self.import_layer(stream, None)?;
        self.put_image(config, &[layer], names)
    }
}
