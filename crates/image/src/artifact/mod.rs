//! Artifacts: manifests whose layers are files and not file systems. Small ones are read and written whole; those of any size go into a
//! directory (`extract`). None is stored.
//! Source: OCI image-spec 1.1 `manifest.md` ("Guidelines for Artifact Usage").

mod extract;

pub use extract::{Extracted, referrers};

use crate::commit::json;
use crate::error::Error;
use crate::registry::{Error as RegistryError, Payload, Registry, RegistryOptions};
use crate::signature::Demands;
use oci::{Descriptor, Digest, Document, Manifest, Reference, media_type};
use std::collections::BTreeMap;
use std::io::Read;

/// One file of an artifact is not larger, nor has one more of them.
pub const FILE_MAX: u64 = 16 << 20;
pub const FILES_MAX: usize = 1000;
const ARTIFACT_TYPE: &str = "artifactType";
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub media_type: String,
    pub annotations: BTreeMap<String, String>,
    pub content: Vec<u8>,
}

/// Which kind of artifact is meant.
#[derive(Debug, Clone, Copy)]
pub struct Kind<'a> {
    pub artifact_type: &'a str,
    /// What its configuration is called where manifests have no `artifactType` (OCI 1.0).
    pub config_type: &'a str,
}

/// In which form an artifact is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Oci1_0,
    Oci1_1,
}

/// The digest a name has at its registry now.
pub fn resolve(options: &RegistryOptions, reference: &Reference) -> Result<Digest, Error> {
    from_any(options, reference, |registry, repository| {
        let (_, found) = registry.manifest(repository, &reference.tag_or_digest())?;
        Ok(found.digest)
    })
}

/// Asks everyone who may have it, until one does; the registry itself is the last.
pub(crate) fn from_any<T>(
    options: &RegistryOptions,
    reference: &Reference,
    ask: impl Fn(&Registry, &str) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut registries = Registry::all(options, reference)?.into_iter().peekable();
    while let Some(registry) = registries.next() {
        match ask(&registry, &registry.endpoint().repository) {
            Err(Error::Registry(_)) if registries.peek().is_some() => {}
            answer => return answer,
        }
    }
    Err(Error::NotFound(crate::NotFound {
        reference: reference.familiar(),
        places: Vec::new(),
    }))
}

/// Fetches an artifact of a kind, or that of an index which has one.
pub fn pull(
    options: &RegistryOptions,
    reference: &Reference,
    kind: Kind<'_>,
) -> Result<Vec<File>, Error> {
    let demands = Demands::of(options, reference)?;
    from_any(options, reference, |registry, repository| {
        pull_from(registry, repository, &demands, kind)
    })
}

fn pull_from(
    registry: &Registry,
    repository: &str,
    demands: &Demands,
    kind: Kind<'_>,
) -> Result<Vec<File>, Error> {
    let reference = demands.image();
    let other = |what: &str| Error::NotAnArtifact {
        name: reference.familiar(),
        wanted: kind.artifact_type.to_owned(),
        found: what.to_owned(),
    };
    let mut wanted = reference.tag_or_digest();
    let mut seen = Vec::new();
    // An index may lead to the manifest, and no further.
    for _ in 0..2 {
        let (bytes, descriptor) = registry.manifest(repository, &wanted)?;
        seen.push(descriptor.digest.clone());
        if wanted
            .parse::<Digest>()
            .is_ok_and(|digest| !digest.matches(&bytes))
        {
            return Err(other("something with another digest"));
        }
        match Document::parse(&bytes) {
            Ok(Document::Manifest(manifest)) => {
                check(&manifest, kind).map_err(|found| other(&found))?;
                demands.check(registry, &seen.iter().collect::<Vec<_>>())?;
                return files(registry, repository, &manifest);
            }
            Ok(Document::Index(index)) => {
                let of_kind = |entry: &&Descriptor| {
                    let own = entry.other.get(ARTIFACT_TYPE).and_then(|t| t.as_str());
                    own == Some(kind.artifact_type)
                };
                let entry = index.manifests.iter().find(of_kind);
                wanted = entry
                    .ok_or_else(|| other("an index without one"))?
                    .digest
                    .to_string();
            }
            Err(_) => return Err(other(&descriptor.media_type)),
        }
    }
    Err(other("an index within an index"))
}

pub(crate) fn check(manifest: &Manifest, kind: Kind<'_>) -> Result<(), String> {
    let own = manifest.other.get(ARTIFACT_TYPE).and_then(|t| t.as_str());
    let config = manifest.config.media_type.as_str();
    match own.filter(|own| !own.is_empty()) {
        Some(own) if own == kind.artifact_type => Ok(()),
        None if config == kind.config_type => Ok(()),
        Some(own) => Err(own.to_owned()),
        None => Err(config.to_owned()),
    }
}

fn files(registry: &Registry, repository: &str, manifest: &Manifest) -> Result<Vec<File>, Error> {
    let mut all = Vec::new();
    for layer in manifest.layers.iter().take(FILES_MAX) {
        let failed = |source| Error::Fetch {
            blob: layer.digest.clone(),
            place: registry.name().to_owned(),
            source,
        };
        let mut content = Vec::new();
        registry
            .blob(repository, &layer.digest, 0)?
            .take(FILE_MAX + 1)
            .read_to_end(&mut content)
            .map_err(failed)?;
        if content.len() as u64 > FILE_MAX {
            let large = "a file of an artifact has more than 16 MiB";
            return Err(failed(std::io::Error::new(
                std::io::ErrorKind::FileTooLarge,
                large,
            )));
        }
        if !layer.digest.matches(&content) {
            let actual = Digest::sha256(&content);
            let expected = layer.digest.clone();
            return Err(crate::content::Error::Digest { expected, actual }.into());
        }
        all.push(File {
            media_type: layer.media_type.clone(),
            annotations: layer.annotations.clone(),
            content,
        });
    }
    Ok(all)
}

/// Pushes files as one artifact, and says what it is there; without a form that of OCI 1.1, and of 1.0 where the registry does not take it.
pub fn push(
    options: &RegistryOptions,
    reference: &Reference,
    kind: Kind<'_>,
    files: &[File],
    created: &str,
    form: Option<Form>,
) -> Result<Descriptor, Error> {
    let registry = Registry::for_push(options, reference)?;
    let repository = registry.endpoint().repository.as_str();
    let mut layers = Vec::with_capacity(files.len());
    for file in files {
        let mut layer = blob(&registry, repository, &file.media_type, &file.content)?;
        layer.annotations.clone_from(&file.annotations);
        layers.push(layer);
    }
    let put = |form| -> Result<Descriptor, Error> {
        let config_type = match form {
            Form::Oci1_0 => kind.config_type,
            Form::Oci1_1 => EMPTY_TYPE,
        };
        let config = blob(&registry, repository, config_type, EMPTY)?;
        let mut manifest = manifest(config, layers.clone(), created);
        if form == Form::Oci1_1 {
            let own = kind.artifact_type.into();
            manifest.other.insert(ARTIFACT_TYPE.to_owned(), own);
        }
        let bytes = json(&manifest)?;
        let wanted = reference.tag_or_digest();
        registry.put_manifest(repository, &wanted, &bytes, media_type::OCI_MANIFEST)?;
        let mut pushed = Descriptor::of(media_type::OCI_MANIFEST, &bytes);
        if let Some(own) = manifest.other.remove(ARTIFACT_TYPE) {
            pushed.other.insert(ARTIFACT_TYPE.to_owned(), own);
        }
        Ok(pushed)
    };
    match (form, put(form.unwrap_or(Form::Oci1_1))) {
        (None, Err(Error::Registry(RegistryError::Status { status, .. })))
            if (400..500).contains(&status) && ![401, 403, 407].contains(&status) =>
        {
            put(Form::Oci1_0)
        }
        (_, result) => result,
    }
}

fn manifest(config: Descriptor, layers: Vec<Descriptor>, created: &str) -> Manifest {
    let mut manifest = Manifest::new(config, layers);
    let key = "org.opencontainers.image.created".to_owned();
    manifest.annotations.insert(key, created.to_owned());
    manifest
}

/// An artifact as documents: the entry that an index has for it, and every blob by its digest, the manifest last.
pub(crate) struct Documents {
    pub(crate) entry: Descriptor,
    pub(crate) blobs: Vec<(Digest, Vec<u8>)>,
}

pub(crate) fn documents(
    kind: Kind<'_>,
    files: &[File],
    annotations: &BTreeMap<String, String>,
    created: &str,
) -> Result<Documents, Error> {
    let mut blobs = Vec::with_capacity(files.len() + 2);
    let mut layers = Vec::with_capacity(files.len());
    for file in files {
        let mut layer = Descriptor::of(&file.media_type, &file.content);
        layer.annotations.clone_from(&file.annotations);
        blobs.push((layer.digest.clone(), file.content.clone()));
        layers.push(layer);
    }
    let config = Descriptor::of(EMPTY_TYPE, EMPTY);
    blobs.push((config.digest.clone(), EMPTY.to_vec()));
    let mut manifest = manifest(config, layers, created);
    let own = serde_json::Value::from(kind.artifact_type);
    manifest.other.insert(ARTIFACT_TYPE.to_owned(), own.clone());
    manifest.annotations.extend(annotations.clone());
    let bytes = json(&manifest)?;
    let mut entry = Descriptor::of(media_type::OCI_MANIFEST, &bytes);
    entry.other.insert(ARTIFACT_TYPE.to_owned(), own);
    blobs.push((entry.digest.clone(), bytes));
    Ok(Documents { entry, blobs })
}

fn blob(
    registry: &Registry,
    repository: &str,
    media_type: &str,
    content: &[u8],
) -> Result<Descriptor, Error> {
    let digest = Digest::sha256(content);
    if !registry.has_blob(repository, &digest)?
        && let Some(location) = registry.start_upload(repository, &digest, None)?
    {
        let payload = Payload::Bytes(content, "application/octet-stream");
        registry.upload(repository, &digest, &location, &payload)?;
    }
    Ok(Descriptor::new(media_type, digest, content.len() as u64))
}
