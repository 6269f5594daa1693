//! `docker manifest`: images that lie at a registry, put together under one name without fetching them. What is being put together is
//! kept in the data root until it is pushed.

use crate::commit::json;
use crate::content;
use crate::error::Error;
use crate::pull::parse;
use crate::registry::Registry;
use crate::registry::memory::Memory;
use crate::remote::Remote;
use crate::store::Store;
use oci::{
    Descriptor, Digest, Document, ImageConfig, Index, Manifest, Platform, Reference, media_type,
};
use serde::{Deserialize, Serialize};
use state::Durability;
use std::io::Read;
use std::path::PathBuf;

/// A manifest as a registry has it.
#[derive(Debug, Clone)]
pub struct RemoteManifest {
    pub reference: Reference,
    pub descriptor: Descriptor,
    pub bytes: Vec<u8>,
    pub document: Document,
}

/// A list that is being put together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManifestList {
    pub name: Reference,
    pub members: Vec<Member>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    pub name: Reference,
    pub descriptor: Descriptor,
}

/// What `manifest annotate` changes; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Annotation {
    pub os: Option<String>,
    pub architecture: Option<String>,
    pub variant: Option<String>,
    pub os_version: Option<String>,
    pub os_features: Vec<String>,
}

/// Why a list cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ManifestListError {
    #[error("No such manifest: {0}")]
    NoSuchList(String),
    #[error("manifest for image {member} does not exist in {list}")]
    NoSuchMember { member: String, list: String },
    #[error("refusing to amend an existing manifest list with no --amend flag: {0}")]
    Exists(String),
    #[error("cannot use source images from a different registry than the target image: {0} != {1}")]
    OtherRegistry(String, String),
    #[error("{0} is itself a list of manifests: name the images in it by their digests")]
    Nested(String),
    #[error(transparent)]
    Record(#[from] state::record::Error),
}

impl Store {
    /// A manifest or index, from whoever has the image.
    pub fn remote_manifest(&self, reference: &Reference) -> Result<RemoteManifest, Error> {
        let reference = reference.clone().or_latest();
        self.with_remote(&reference, |registry| {
            let wanted = reference.tag_or_digest();
            let (bytes, descriptor) =
                registry.manifest(&registry.endpoint().repository, &wanted)?;
            if let Some(asked) = reference.digest().filter(|d| **d != descriptor.digest) {
                let (expected, actual) = (asked.clone(), descriptor.digest.clone());
                return Err(content::Error::Digest { expected, actual }.into());
            }
            let document = parse(&bytes, &descriptor.digest)?;
            Ok(RemoteManifest {
                reference: reference.clone(),
                descriptor,
                bytes,
                document,
            })
        })
    }

    /// Asks one after the other who may have the image.
    pub(crate) fn with_remote<T>(
        &self,
        reference: &Reference,
        ask: impl Fn(&Registry) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let memory = Memory::new(Some(self.paths.run_registries()));
        let remote = Remote::open(&self.options.registries, reference, memory)?;
        let mut places = Vec::new();
        for at in remote.resolving() {
            match ask(remote.registry(at)) {
                Err(error) if remote.goes_on(at, &error) => places.push(remote.place(at, &error)),
                other => return other,
            }
        }
        let reference = reference.familiar();
        Err(Error::NotFound(crate::NotFound { reference, places }))
    }

    /// The platforms that are there under a manifest's or index's name.
    pub fn remote_platforms(&self, of: &RemoteManifest) -> Result<Vec<Platform>, Error> {
        Ok(match &of.document {
            Document::Manifest(manifest) => self
                .remote_platform(&of.reference, manifest)?
                .into_iter()
                .collect(),
            Document::Index(index) => {
                let entries = index.manifests.iter();
                entries.filter_map(|entry| entry.platform.clone()).collect()
            }
        })
    }

    /// The platform a manifest's configuration names.
    fn remote_platform(
        &self,
        of: &Reference,
        manifest: &Manifest,
    ) -> Result<Option<Platform>, Error> {
        let blob = &manifest.config;
        if blob.size > content::DOCUMENT_MAX || blob.kind() == oci::MediaType::Other {
            return Ok(None);
        }
        let bytes = self.with_remote(of, |registry| {
            let mut bytes = Vec::new();
            let body = registry.blob(&registry.endpoint().repository, &blob.digest, 0)?;
            body.take(content::DOCUMENT_MAX + 1)
                .read_to_end(&mut bytes)
                .map_err(|source| Error::Fetch {
                    blob: blob.digest.clone(),
                    place: registry.name().to_owned(),
                    source,
                })?;
            content::check_document(&blob.digest, &bytes)?;
            Ok(bytes)
        })?;
        let config: ImageConfig =
            serde_json::from_slice(&bytes).map_err(|source| Error::Config {
                digest: blob.digest.clone(),
                source,
            })?;
        Ok(Some(config.platform()))
    }

    fn list_path(&self, name: &Reference) -> PathBuf {
        // Names have slashes; a digest of the name has none.
        let digest = Digest::sha256(name.to_string().as_bytes());
        self.paths
            .manifests()
            .join(format!("{}.json", digest.hex()))
    }

    /// The list that is being put together under a name.
    pub fn manifest_list(&self, name: &Reference) -> Result<ManifestList, Error> {
        let name = name.clone().or_latest();
        let found =
            state::record::read(&self.list_path(&name)).map_err(ManifestListError::Record)?;
        Ok(found.ok_or_else(|| ManifestListError::NoSuchList(name.familiar()))?)
    }

    fn write_list(&self, list: &ManifestList) -> Result<(), Error> {
        let path = self.list_path(&list.name);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|source| content::Error::Io {
                step: "make",
                path: dir.into(),
                source,
            })?;
        }
        Ok(state::record::write(&path, list, Durability::Durable)
            .map_err(ManifestListError::Record)?)
    }

    /// Begins a list of images, or adds to one (`amend`). All of them are asked for before anything is kept.
    pub fn create_manifest_list(
        &self,
        name: &Reference,
        images: &[Reference],
        amend: bool,
    ) -> Result<ManifestList, Error> {
        let name = name.clone().or_latest();
        let mut list = match self.manifest_list(&name) {
            Ok(list) if amend => list,
            Ok(_) => return Err(ManifestListError::Exists(name.familiar()).into()),
            Err(Error::ManifestList(ManifestListError::NoSuchList(_))) => ManifestList {
                name: name.clone(),
                members: Vec::new(),
            },
            Err(other) => return Err(other),
        };
        for image in images {
            let image = image.clone().or_latest();
            if image.domain() != name.domain() {
                let (theirs, ours) = (image.domain().to_owned(), name.domain().to_owned());
                return Err(ManifestListError::OtherRegistry(theirs, ours).into());
            }
            let found = self.remote_manifest(&image)?;
            let Document::Manifest(manifest) = &found.document else {
                return Err(ManifestListError::Nested(image.familiar()).into());
            };
            let mut descriptor = found.descriptor.clone();
            descriptor.platform = self.remote_platform(&image, manifest)?;
            list.members.retain(|m| m.name != image);
            list.members.push(Member {
                name: image,
                descriptor,
            });
        }
        self.write_list(&list)?;
        Ok(list)
    }

    /// Says what platform an image of a list is for.
    pub fn annotate_manifest_list(
        &self,
        name: &Reference,
        image: &Reference,
        annotation: &Annotation,
    ) -> Result<(), Error> {
        let mut list = self.manifest_list(name)?;
        let image = image.clone().or_latest();
        let missing = || ManifestListError::NoSuchMember {
            member: image.familiar(),
            list: list.name.familiar(),
        };
        let at = list
            .members
            .iter()
            .position(|m| m.name == image)
            .ok_or_else(missing)?;
        let platform = list.members[at].descriptor.platform.get_or_insert_default();
        let change = |field: &mut String, to: &Option<String>| {
            if let Some(to) = to {
                field.clone_from(to);
            }
        };
        change(&mut platform.os, &annotation.os);
        change(&mut platform.architecture, &annotation.architecture);
        if annotation.variant.is_some() {
            platform.variant.clone_from(&annotation.variant);
        }
        if annotation.os_version.is_some() {
            platform.os_version.clone_from(&annotation.os_version);
        }
        for feature in &annotation.os_features {
            if !platform.os_features.contains(feature) {
                platform.os_features.push(feature.clone());
            }
        }
        self.write_list(&list)
    }

    /// Pushes a list: its images are made known in its repository, then the list under its name.
    pub fn push_manifest_list(&self, name: &Reference) -> Result<Digest, Error> {
        let list = self.manifest_list(name)?;
        let registry = Registry::for_push(&self.options.registries, &list.name)?;
        let repository = registry.endpoint().repository.clone();
        for member in &list.members {
            let digest = member.descriptor.digest.clone();
            self.bring_image(&registry, &member.name.with_digest(digest))?;
        }
        let bytes = json(&list.index())?;
        registry.put_manifest(
            &repository,
            &list.name.tag_or_digest(),
            &bytes,
            list.media_type(),
        )?;
        Ok(Digest::sha256(&bytes))
    }

    /// Forgets a list; what was pushed stays.
    pub fn remove_manifest_list(&self, name: &Reference) -> Result<(), Error> {
        let list = self.manifest_list(name)?;
        Ok(
            state::record::remove(&self.list_path(&list.name))
                .map_err(ManifestListError::Record)?,
        )
    }
}

impl ManifestList {
    /// Docker's kind where all images are of Docker's kind.
    fn media_type(&self) -> &'static str {
        let docker = |m: &Member| m.descriptor.media_type == media_type::DOCKER_MANIFEST;
        match self.members.iter().all(docker) {
            true => media_type::DOCKER_INDEX,
            false => media_type::OCI_INDEX,
        }
    }

    pub fn index(&self) -> Index {
        Index {
            media_type: self.media_type().into(),
            manifests: self.members.iter().map(|m| m.descriptor.clone()).collect(),
            ..Index::default()
        }
    }
}
