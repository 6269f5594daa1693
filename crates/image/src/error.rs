//! The errors of the crate's public calls. Texts that scripts know follow Docker.

use crate::{content, layer};
use oci::Digest;
use std::fmt;

/// Why an image could not be found, fetched, kept or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Reference(#[from] oci::reference::Error),
    #[error("No such image: {0}")]
    NoSuchImage(String),
    #[error("multiple images found with provided prefix: {0}")]
    Ambiguous(String),
    #[error("{0}")]
    NotFound(NotFound),
    #[error("image {name} has no manifest for platform {wanted} (it has: {})", offered.join(", "))]
    NoPlatform {
        name: String,
        wanted: String,
        offered: Vec<String>,
    },
    #[error(transparent)]
    Content(#[from] content::Error),
    #[error(transparent)]
    Layer(#[from] layer::StoreError),
    #[error(
        "this kernel takes no file in {} as a layer: it needs Linux 6.12 with EROFS of files (CONFIG_EROFS_FS_BACKED_BY_FILE), and a disk's file system there", .0.display()
    )]
    NoImages(std::path::PathBuf),
    #[error("failed to register layer {layer}")]
    Unpack {
        layer: Digest,
        source: layer::UnpackError,
    },
    #[error("failed to decompress layer {layer}")]
    Decompress {
        layer: Digest,
        source: std::io::Error,
    },
    #[error(
        "layer {layer} does not unpack to what its image says: expected diff id {expected}, got {actual}"
    )]
    DiffId {
        layer: Digest,
        expected: Digest,
        actual: Digest,
    },
    #[error("the manifest or index {digest} is not valid")]
    Manifest {
        digest: Digest,
        source: oci::manifest::Error,
    },
    #[error("the configuration {digest} is not valid")]
    Config {
        digest: Digest,
        source: serde_json::Error,
    },
    #[error(
        "image {digest} is not runnable: its manifest lists {layers} layers, its configuration {diff_ids}"
    )]
    LayerCount {
        digest: Digest,
        layers: usize,
        diff_ids: usize,
    },
    #[error("{0} is not a container image (media type {1}): it cannot be run or unpacked")]
    NotAnImage(String, String),
    #[error("{0} is an index of more images than are copied, or of indexes of indexes")]
    TooManyImages(String),
    #[error("{name} is no artifact of type {wanted}, but {found}")]
    NotAnArtifact {
        name: String,
        wanted: String,
        found: String,
    },
    #[error("{artifact} has a file whose name {name:?} {why}: nothing is written")]
    ArtifactFile {
        artifact: String,
        name: String,
        why: &'static str,
    },
    #[error("cannot write directory {} as a layer", dir.display())]
    Pack {
        dir: std::path::PathBuf,
        source: layer::PackError,
    },
    #[error("cannot encode an image document")]
    Encode(#[source] serde_json::Error),
    #[error("refusing to create a tag with a digest reference: {0}")]
    TagWithDigest(String),
    #[error("'scratch' is a reserved name: it is the empty image that FROM begins with")]
    Reserved,
    #[error("{0}")]
    Conflict(String),
    #[error(transparent)]
    LowDisk(#[from] crate::room::LowDisk),
    #[error(transparent)]
    Bundle(#[from] crate::bundle::BundleError),
    #[error(transparent)]
    Registry(#[from] crate::registry::Error),
    #[error(transparent)]
    Signature(#[from] crate::signature::Error),
    #[error(transparent)]
    ManifestList(#[from] crate::manifest_list::ManifestListError),
    #[error("An image does not exist locally with the tag: {0}")]
    NoLocalImage(String),
    #[error("cannot read {blob} from {place}")]
    Fetch {
        blob: Digest,
        place: String,
        source: std::io::Error,
    },
    #[error(
        "the archive of layer {layer} was not kept (keep-blobs is false) and cannot be had again: {places} (make the registry \
         reachable, or set keep-blobs to true and pull the image anew)"
    )]
    NoArchive { layer: Digest, places: Places },
    #[error(
        "the archive of layer {0} was not kept (keep-blobs is false), and no image here says where it came from (pull the image it \
         belongs to, or build it anew with --no-cache)"
    )]
    NoSource(Digest),
    #[error("{blob} was given by nobody: {places}")]
    Nowhere {
        blob: Digest,
        places: Places,
        /// What the last one said, for who asks again.
        last: Box<crate::registry::Error>,
    },
}

impl Error {
    /// Whether it failed because there was no room on the disk.
    pub fn is_full_disk(&self) -> bool {
        crate::room::is_full(self)
    }
}

/// Places that were asked, and what each said.
#[derive(Debug)]
pub struct Places(pub Vec<Place>);

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, place) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", place.name, place.answer)?;
        }
        Ok(())
    }
}

/// An image that exists nowhere, and every place that was asked.
#[derive(Debug, Default)]
pub struct NotFound {
    pub reference: String,
    pub places: Vec<Place>,
}

/// One place an image was looked for, and what came of it.
#[derive(Debug)]
pub struct Place {
    pub name: String,
    pub answer: String,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image {} was found nowhere", self.reference)?;
        for (number, place) in self.places.iter().enumerate() {
            let separator = if number == 0 { ":" } else { ";" };
            write!(f, "{separator} {}: {}", place.name, place.answer)?;
        }
        Ok(())
    }
}
