//! Writing images into one archive.

use super::{BundleError, DockerEntry};
use crate::artifact::{self, Kind};
use crate::commit::json;
use crate::content;
use crate::error::Error;
use crate::store::{self, Image, Store};
use crate::tarball::{self, Writer, writer};
use oci::manifest::{CONTAINERD_NAME, REF_NAME};
use oci::{Descriptor, Digest, Index, Platform, Reference, media_type};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

/// A project, or whatever else goes along with images.
#[derive(Debug, Clone, Copy)]
pub struct Along<'a> {
    pub kind: Kind<'a>,
    pub files: &'a [artifact::File],
    pub annotations: &'a BTreeMap<String, String>,
    /// When, in RFC 3339.
    pub created: &'a str,
}

/// What of an image is saved.
#[derive(Debug, Clone, Copy)]
enum Extent<'a> {
    /// All platforms that are here.
    All,
    /// One platform, under the name and the digest that it was pulled by.
    Only(&'a Platform),
    /// One platform, as an image of its own.
    Alone(&'a Platform),
}

impl Store {
    /// Writes images into one archive, by name or id; by the name of a repository all tags it has here.
    pub fn save(&self, wanted: &[&str], out: &mut dyn Write) -> Result<(), Error> {
        self.save_extent(wanted, Extent::All, out)
    }

    /// The same for one platform alone.
    pub fn save_for(
        &self,
        wanted: &[&str],
        platform: &Platform,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        self.save_extent(wanted, Extent::Alone(platform), out)
    }

    fn save_extent(
        &self,
        wanted: &[&str],
        extent: Extent<'_>,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let _hold = self.hold()?;
        let index = self.content.index()?;
        let mut plan = SavePlan::default();
        for name in wanted.iter().flat_map(|name| tags_of(&index, name)) {
            plan.add_by_name(self, &name, extent)?;
        }
        plan.write_all(self, out)
    }

    /// Writes images for one platform, and an artifact beside them.
    pub fn save_with(
        &self,
        wanted: &[&str],
        platform: &Platform,
        along: Option<Along<'_>>,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let _hold = self.hold()?;
        let mut plan = SavePlan::default();
        for name in wanted {
            plan.add_by_name(self, name, Extent::Only(platform))?;
        }
        if let Some(along) = along {
            let made =
                artifact::documents(along.kind, along.files, along.annotations, along.created)?;
            plan.index.manifests.push(made.entry);
            plan.documents = made.blobs;
        }
        plan.write_all(self, out)
    }
}

/// The tags a repository has here; what names anything else stands for itself.
fn tags_of(index: &Index, wanted: &str) -> Vec<String> {
    let bare = |name: &Reference| name.tag().is_none() && name.digest().is_none();
    let Some(repository) = wanted.parse::<Reference>().ok().filter(bare) else {
        return vec![wanted.to_owned()];
    };
    let names = index.manifests.iter().filter_map(content::name_of);
    let tags: BTreeSet<String> = names
        .filter(|n| n.tag().is_some() && n.repository() == repository.repository())
        .map(|n| n.to_string())
        .collect();
    match tags.is_empty() {
        true => vec![wanted.to_owned()],
        false => tags.into_iter().collect(),
    }
}

/// What goes into an archive, found out before the first byte is written.
#[derive(Default)]
struct SavePlan {
    index: Index,
    docker: Vec<DockerEntry>,
    blobs: Vec<Digest>,
    /// Blobs that are in no store.
    documents: Vec<(Digest, Vec<u8>)>,
    known: BTreeSet<Digest>,
}

impl SavePlan {
    fn add_by_name(&mut self, store: &Store, name: &str, extent: Extent<'_>) -> Result<(), Error> {
        let target = store
            .find_target(name)?
            .ok_or_else(|| Error::NoSuchImage(name.into()))?;
        let image = match extent {
            Extent::All => store.read_any(&target)?,
            Extent::Only(platform) => store.read(&target, &|| platform.clone(), name)?,
            Extent::Alone(platform) => store.find_on(name, platform)?,
        };
        let all = store.content.index()?.manifests;
        let named = name.parse::<Reference>().ok().map(Reference::or_latest);
        let named = named.filter(|r| all.iter().any(|d| store::names(d, r)));
        match extent {
            Extent::All | Extent::Alone(_) => {
                let tagged = named.filter(|r| r.tag().is_some());
                let alone = matches!(extent, Extent::Alone(_));
                self.add(store, &target, &image, tagged, alone)
            }
            Extent::Only(_) => self.add_only(store, &target, &image, named),
        }
    }

    /// One platform's image. Its index goes along, so that it is found by the digest that Compose files name.
    fn add_only(
        &mut self,
        store: &Store,
        target: &Descriptor,
        image: &Image,
        name: Option<Reference>,
    ) -> Result<(), Error> {
        store.bring_archives(&image.manifest.layers, &crate::Silent)?;
        let mut blobs = vec![target.digest.clone()];
        blobs.extend(of_manifest(image));
        self.add_blobs(store, blobs)?;
        self.add_entry(target.clone(), image, name);
        Ok(())
    }

    fn add(
        &mut self,
        store: &Store,
        target: &Descriptor,
        image: &Image,
        name: Option<Reference>,
        alone: bool,
    ) -> Result<(), Error> {
        store.bring_archives_of(target, &crate::Silent)?;
        let layout = store.content.layout();
        let mut reached = crate::remove::Reachable::default();
        store.reach(target, &mut reached);
        // Of an index with platforms that were never pulled, the image we have is saved alone.
        let whole = !alone && reached.blobs.iter().all(|d| layout.has(d));
        let (entry, blobs) = if whole {
            (target.clone(), reached.blobs.into_iter().collect())
        } else {
            let bytes = layout.document(&image.manifest_digest)?;
            let manifest = &image.manifest;
            let kind = if manifest.media_type.is_empty() {
                media_type::OCI_MANIFEST
            } else {
                &manifest.media_type
            };
            (
                Descriptor::new(kind, image.manifest_digest.clone(), bytes.len() as u64),
                of_manifest(image),
            )
        };
        self.add_blobs(store, blobs)?;
        self.add_entry(entry, image, name);
        Ok(())
    }

    fn add_blobs(&mut self, store: &Store, blobs: Vec<Digest>) -> Result<(), Error> {
        let layout = store.content.layout();
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
        Ok(())
    }

    fn add_entry(&mut self, mut entry: Descriptor, image: &Image, name: Option<Reference>) {
        entry.annotations.clear();
        if let Some(name) = &name {
            let full = (CONTAINERD_NAME.to_owned(), name.to_string());
            let tag = name.tag().map(|tag| (REF_NAME.to_owned(), tag.to_owned()));
            entry
                .annotations
                .extend([Some(full), tag].into_iter().flatten());
        }
        if !self.index.manifests.contains(&entry) {
            self.index.manifests.push(entry);
        }
        self.add_docker(image, name);
    }

    fn add_docker(&mut self, image: &Image, name: Option<Reference>) {
        let path = writer::blob_path;
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

    fn write_all(&self, store: &Store, out: &mut dyn Write) -> Result<(), Error> {
        let mut writer = Writer::new(out);
        self.write(store, &mut writer)?;
        writer.finish().map_err(BundleError::Write)?;
        Ok(())
    }

    fn write(&self, store: &Store, writer: &mut Writer<&mut dyn Write>) -> Result<(), Error> {
        let failed = BundleError::Write;
        for dir in ["blobs/", "blobs/sha256/"] {
            writer
                .entry(&writer::plain(dir, tarball::Kind::Directory, 0o755, 0))
                .map_err(failed)?;
        }
        let mut buffer = vec![0u8; 256 << 10];
        for digest in &self.blobs {
            let mut file = store.content.layout().open(digest)?;
            let size = file.metadata().map_err(BundleError::Read)?.len();
            let path = writer::blob_path(digest);
            writer
                .entry(&writer::plain(&path, tarball::Kind::File, 0o644, size))
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
        for (digest, bytes) in &self.documents {
            if !self.known.contains(digest) {
                writer
                    .file(&writer::blob_path(digest), bytes)
                    .map_err(failed)?;
            }
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

/// What one platform's manifest needs, itself first.
fn of_manifest(image: &Image) -> Vec<Digest> {
    let mut blobs = vec![image.manifest_digest.clone(), image.id.clone()];
    blobs.extend(image.manifest.layers.iter().map(|l| l.digest.clone()));
    blobs
}
