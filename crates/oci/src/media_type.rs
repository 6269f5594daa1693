//! Media types of OCI images and of Docker's schema 2, and what each stands for.
//! Source: OCI image-spec `media-types.md`, Docker `image/spec`, distribution `manifest-v2-2.md`.

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What a media type stands for. How a layer is compressed is told by its first bytes, never by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// Several manifests, one per platform.
    Index,
    Manifest,
    Config,
    Layer,
    /// Docker's schema 1, which nobody serves any more.
    Schema1,
    Other,
}

impl MediaType {
    /// Reads a media type; parameters (`; charset=utf-8`) do not count.
    pub fn of(text: &str) -> Self {
        let bare = text.split(';').next().unwrap_or_default().trim();
        match bare {
            OCI_INDEX | DOCKER_INDEX => Self::Index,
            OCI_MANIFEST | DOCKER_MANIFEST => Self::Manifest,
            OCI_CONFIG | DOCKER_CONFIG => Self::Config,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Self::Schema1,
            _ if is_layer(bare) => Self::Layer,
            _ => Self::Other,
        }
    }
}

/// Layers carry suffixes (`+gzip`, `+zstd`, `.gzip`) and, for content that must not be redistributed,
/// the word `nondistributable` or `foreign`.
fn is_layer(bare: &str) -> bool {
    bare.starts_with(OCI_LAYER)
        || bare.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar")
        || bare.starts_with(DOCKER_LAYER)
        || bare.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
}

/// What to ask a registry for when a manifest is wanted.
pub const ACCEPT_MANIFESTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_mean_the_same() {
        assert_eq!(MediaType::of(DOCKER_INDEX), MediaType::of(OCI_INDEX));
        assert_eq!(
            MediaType::of("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
            MediaType::Manifest
        );
        assert_eq!(MediaType::of(OCI_LAYER_ZSTD), MediaType::Layer);
        assert_eq!(MediaType::of(DOCKER_LAYER_GZIP), MediaType::Layer);
        assert_eq!(
            MediaType::of("application/vnd.in-toto+json"),
            MediaType::Other
        );
    }
}
