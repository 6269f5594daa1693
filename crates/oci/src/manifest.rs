//! Descriptors, manifests and indexes.
//! Source: OCI image-spec `descriptor.md`, `manifest.md`, `image-index.md`; Docker schema 2.

use crate::digest::Digest;
use crate::media_type::{self, MediaType};
use crate::platform::Platform;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The annotation under which an image layout keeps a name.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// containerd's annotation for the full name, where `REF_NAME` may be the tag alone.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not an image manifest or index")]
    Json(#[source] serde_json::Error),
    #[error(
        "schema version {0} is not supported: the image must be pushed again by a newer tool (schema 2 or OCI)"
    )]
    Schema(u64),
    #[error("neither a manifest nor an index (media type {0:?})")]
    Kind(String),
    #[error("both a manifest and an index: refused, since readers would disagree about it")]
    Ambiguous,
}

/// Content by digest, size and kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_default"
    )]
    pub urls: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_default"
    )]
    pub annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Descriptor {
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            platform: None,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// Describes `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
    }

    pub fn kind(&self) -> MediaType {
        MediaType::of(&self.media_type)
    }

    /// Whether this is an attestation or another thing that cannot be run (BuildKit writes these as
    /// manifests for the platform `unknown/unknown`).
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self
                .platform
                .as_ref()
                .is_some_and(|p| p.os == "unknown" || p.architecture == "unknown")
    }
}

/// One image for one platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    pub config: Descriptor,
    #[serde(default, deserialize_with = "null_default")]
    pub layers: Vec<Descriptor>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_default"
    )]
    pub annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Manifest {
    /// An OCI manifest of a config and its layers.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.into(),
            config,
            layers,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }
}

/// Several manifests: one per platform, or all of an image layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(default, deserialize_with = "null_default")]
    pub manifests: Vec<Descriptor>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_default"
    )]
    pub annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.into(),
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }
}

impl Index {
    /// The manifest that runs best on `wanted`: attestations never, the closest variant first, and of
    /// equals the first. A single manifest that names no platform is taken as it is.
    pub fn choose(&self, wanted: &Platform) -> Option<&Descriptor> {
        let runnable = || self.manifests.iter().filter(|d| !d.is_attestation());
        let ranked = runnable().filter_map(|d| Some((wanted.rank(d.platform.as_ref()?)?, d)));
        if let Some((_, best)) = ranked.min_by_key(|(rank, _)| *rank) {
            return Some(best);
        }
        let mut all = runnable();
        match (all.next(), all.next()) {
            (Some(only), None) if only.platform.is_none() => Some(only),
            _ => None,
        }
    }

    /// The platforms on offer, for messages.
    pub fn platforms(&self) -> Vec<String> {
        let named = self.manifests.iter().filter(|d| !d.is_attestation());
        named
            .filter_map(|d| Some(d.platform.as_ref()?.to_string()))
            .collect()
    }
}

/// What a registry or a layout answers for an image name.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    Manifest(Box<Manifest>),
    Index(Index),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    manifests: Option<Value>,
    #[serde(default)]
    layers: Option<Value>,
    #[serde(default)]
    config: Option<Value>,
}

impl Document {
    /// Reads a manifest or an index by what it contains; a document that is both is refused
    /// (CVE-2021-41190).
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let shape: Shape = serde_json::from_slice(bytes).map_err(Error::Json)?;
        if shape.schema_version != 2 {
            return Err(Error::Schema(shape.schema_version));
        }
        let is_index = shape.manifests.is_some();
        if is_index && (shape.layers.is_some() || shape.config.is_some()) {
            return Err(Error::Ambiguous);
        }
        match MediaType::of(&shape.media_type) {
            MediaType::Index if !is_index => return Err(Error::Kind(shape.media_type)),
            MediaType::Manifest if is_index => return Err(Error::Kind(shape.media_type)),
            _ => {}
        }
        if is_index {
            return serde_json::from_slice(bytes)
                .map(Self::Index)
                .map_err(Error::Json);
        }
        if shape.config.is_none() {
            return Err(Error::Kind(shape.media_type));
        }
        serde_json::from_slice(bytes)
            .map(|m| Self::Manifest(Box::new(m)))
            .map_err(Error::Json)
    }
}

/// `null` where a list or map belongs means the empty one (Go writes it so).
pub(crate) fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(platform: Option<&str>) -> Descriptor {
        let mut d = Descriptor::of(
            media_type::OCI_MANIFEST,
            platform.unwrap_or("none").as_bytes(),
        );
        d.platform = platform.map(|p| p.parse().unwrap());
        d
    }

    #[test]
    fn the_closest_platform_is_chosen_and_attestations_never() {
        let mut attestation = descriptor(Some("linux/amd64"));
        attestation.annotations.insert(
            "vnd.docker.reference.type".into(),
            "attestation-manifest".into(),
        );
        let list = ["linux/arm/v6", "linux/arm/v7", "linux/amd64"].map(|p| descriptor(Some(p)));
        let index = Index {
            manifests: [vec![attestation], list.to_vec()].concat(),
            ..Index::default()
        };
        let pick = |wanted: &str| {
            index
                .choose(&wanted.parse().unwrap())
                .and_then(|d| d.platform.clone())
        };
        assert_eq!(pick("linux/amd64").unwrap().architecture, "amd64");
        assert_eq!(pick("linux/arm/v8").unwrap().variant.as_deref(), Some("v7"));
        assert_eq!(pick("linux/arm/v6").unwrap().variant.as_deref(), Some("v6"));
        assert_eq!(pick("linux/arm/v5"), None);
        assert_eq!(pick("linux/s390x"), None);
        assert_eq!(index.platforms().len(), 3);
    }

    #[test]
    fn a_single_manifest_without_platform_is_taken() {
        let one = Index {
            manifests: vec![descriptor(None)],
            ..Index::default()
        };
        assert!(one.choose(&Platform::host()).is_some());
    }

    #[test]
    fn a_document_that_is_manifest_and_index_is_refused() {
        let config = serde_json::to_value(Descriptor::of(media_type::OCI_CONFIG, b"{}")).unwrap();
        let both = serde_json::json!({"schemaVersion": 2, "config": config, "layers": [], "manifests": []});
        assert!(matches!(
            Document::parse(both.to_string().as_bytes()),
            Err(Error::Ambiguous)
        ));
        assert!(matches!(
            Document::parse(br#"{"schemaVersion":1}"#),
            Err(Error::Schema(1))
        ));
        assert!(matches!(
            Document::parse(br#"{"schemaVersion":2}"#),
            Err(Error::Kind(_))
        ));
        let lie = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
            media_type::OCI_MANIFEST
        );
        assert!(matches!(
            Document::parse(lie.as_bytes()),
            Err(Error::Kind(_))
        ));
    }

    #[test]
    fn unknown_fields_survive() {
        let text = r#"{"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"x-new":1},"layers":null,"subject":{"a":1}}"#;
        let Document::Manifest(manifest) = Document::parse(text.as_bytes()).unwrap() else {
            panic!("a manifest")
        };
        let again = serde_json::to_string(&manifest).unwrap();
        assert!(
            again.contains(r#""x-new":1"#) && again.contains(r#""subject":{"a":1}"#),
            "{again}"
        );
    }
}
