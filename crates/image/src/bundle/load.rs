//! Reading an archive of images as a stream.

use super::{BundleError, DockerEntry};
use crate::commit::{Ingest, json};
use crate::content;
use crate::error::Error;
use crate::layer::root::components;
use crate::progress::Progress;
use crate::pull::{leave_dangling, set_name};
use crate::signature;
use crate::store::{self, Image, Store};
use crate::tarball::{Kind, Limits, Reader, compression};
use oci::{Descriptor, Digest, Index, Manifest, Platform, Reference, media_type};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// An image that was loaded; its line for the user is `Loaded image: NAME` or `Loaded image ID: ID`.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub image: Image,
    pub names: Vec<Reference>,
}

/// An entry of the archive's table, and its names.
type Target = (Descriptor, Vec<Reference>);

impl Store {
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
        self.drop_unreached(&new)?;
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
        let transport = match files.contains_key(&b"manifest.json"[..]) {
            true => "docker-archive",
            false => "oci-archive",
        };
        let mut loaded: Vec<Loaded> = Vec::new();
        for (target, names) in targets {
            let name = names
                .first()
                .map_or_else(|| target.digest.to_string(), Reference::familiar);
            signature::check_local(&self.options.registries, transport, None, &name)?;
            let image = store::read_image(
                self.content.layout(),
                &target,
                &|| platform.clone(),
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
    ) -> Result<Option<Vec<Target>>, Error> {
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
