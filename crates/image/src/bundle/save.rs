//! Writing images into one archive.

use super::{BundleError, DockerEntry};
use crate::commit::json;
use crate::content;
use crate::error::Error;
use crate::store::{self, Image, Store};
use crate::tarball::{Kind, Writer, writer};
use oci::manifest::{CONTAINERD_NAME, REF_NAME};
use oci::{Descriptor, Digest, Index, Reference, media_type};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

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
