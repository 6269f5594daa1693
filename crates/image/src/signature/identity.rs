//! For which image a signature counts: the name that was signed against the name that was asked for.
//! Source: containers-policy.json(5), `signedIdentity`.

use oci::Reference;
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(super) enum Identity {
    MatchExact {},
    MatchRepoDigestOrExact {},
    MatchRepository {},
    ExactReference {
        docker_reference: String,
    },
    ExactRepository {
        docker_repository: String,
    },
    #[serde(rename = "remapIdentity")]
    Remapped {
        prefix: String,
        signed_prefix: String,
    },
}

impl Default for Identity {
    fn default() -> Self {
        Self::MatchRepoDigestOrExact {}
    }
}

impl Identity {
    /// Whether a signature over the name `signed` counts for `image`.
    pub(super) fn accepts(&self, image: &Reference, signed: &str) -> bool {
        let Ok(signed) = signed.parse::<Reference>() else {
            return false;
        };
        match self {
            Self::MatchExact {} => is_whole(&signed) && signed == *image,
            Self::MatchRepoDigestOrExact {} => exact_or_by_digest(image, &signed),
            Self::MatchRepository {} => signed.repository() == image.repository(),
            Self::ExactReference { docker_reference } => {
                is_whole(&signed) && docker_reference.parse() == Ok(signed)
            }
            Self::ExactRepository { docker_repository } => {
                let wanted = docker_repository.parse::<Reference>();
                wanted.is_ok_and(|wanted| wanted.repository() == signed.repository())
            }
            Self::Remapped {
                prefix,
                signed_prefix,
            } => remapped(image, prefix, signed_prefix)
                .is_some_and(|image| exact_or_by_digest(&image, &signed)),
        }
    }
}

impl Identity {
    /// Whether a signature that names no image counts for `image`: only where the digest that was asked for says what it is, so that
    /// one signed image cannot be given for another.
    pub(super) fn accepts_unnamed(&self, image: &Reference) -> bool {
        let by_digest = matches!(
            self,
            Self::MatchRepoDigestOrExact {} | Self::MatchRepository {} | Self::Remapped { .. }
        );
        by_digest && image.digest().is_some()
    }
}

fn is_whole(name: &Reference) -> bool {
    name.tag().is_some() || name.digest().is_some()
}

/// Asked by digest, the content is what was wanted already: the repository must be the one that was signed.
fn exact_or_by_digest(image: &Reference, signed: &Reference) -> bool {
    match image.digest() {
        Some(_) => image.repository() == signed.repository(),
        None => is_whole(signed) && image == signed,
    }
}

/// The name under which the image was signed; one that does not begin with `prefix` is its own.
fn remapped(image: &Reference, prefix: &str, signed_prefix: &str) -> Option<Reference> {
    let repository = image.repository();
    let below = repository.strip_prefix(prefix);
    let Some(rest) = below.filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        return Some(image.clone());
    };
    let moved: Reference = format!("{signed_prefix}{rest}").parse().ok()?;
    match (image.digest(), image.tag()) {
        (Some(digest), _) => Some(moved.with_digest(digest.clone())),
        (None, Some(tag)) => moved.with_tag(tag).ok(),
        (None, None) => Some(moved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_name_only_the_digest_that_was_asked_for_counts() {
        let by_digest: Reference = format!("quay.io/a/b@{DIGEST}").parse().unwrap();
        let by_tag: Reference = "quay.io/a/b:1".parse().unwrap();
        for (rule, taken) in [
            (r#"{"type":"matchRepoDigestOrExact"}"#, true),
            (r#"{"type":"matchRepository"}"#, true),
            (r#"{"type":"matchExact"}"#, false),
            (
                r#"{"type":"exactReference","dockerReference":"x.io/y:1"}"#,
                false,
            ),
            (
                r#"{"type":"exactRepository","dockerRepository":"x.io/y"}"#,
                false,
            ),
        ] {
            let identity: Identity = serde_json::from_str(rule).unwrap();
            assert_eq!(identity.accepts_unnamed(&by_digest), taken, "{rule}");
            assert!(!identity.accepts_unnamed(&by_tag), "{rule}");
        }
    }

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn accepts(rule: &str, image: &str, signed: &str) -> bool {
        let identity: Identity = serde_json::from_str(rule).unwrap();
        identity.accepts(&image.parse().unwrap(), signed)
    }

    #[test]
    fn the_names_that_each_rule_takes() {
        let by_digest = format!("quay.io/a/b@{DIGEST}");
        let by_digest = by_digest.as_str();
        let exact = r#"{"type":"matchExact"}"#;
        let usual = r#"{"type":"matchRepoDigestOrExact"}"#;
        let repository = r#"{"type":"matchRepository"}"#;
        let one = r#"{"type":"exactReference","dockerReference":"x.io/y:1"}"#;
        let whole = r#"{"type":"exactRepository","dockerRepository":"x.io/y"}"#;
        let moved = r#"{"type":"remapIdentity","prefix":"mirror.io/up","signedPrefix":"quay.io"}"#;
        for (rule, image, signed, taken) in [
            (exact, "quay.io/a/b:1", "quay.io/a/b:1", true),
            (exact, "quay.io/a/b:1", "quay.io/a/b", false),
            (exact, by_digest, "quay.io/a/b", false),
            (usual, "quay.io/a/b:1", "quay.io/a/b:1", true),
            (usual, "quay.io/a/b:1", "quay.io/a/b:2", false),
            (usual, "quay.io/a/b:1", "quay.io/a/b", false),
            (usual, by_digest, "quay.io/a/b:2", true),
            (usual, by_digest, "quay.io/a/c", false),
            (usual, "redis:7", "docker.io/library/redis:7", true),
            (repository, "quay.io/a/b:1", "quay.io/a/b", true),
            (repository, "quay.io/a/b:1", "quay.io/a/b:2", true),
            (repository, "quay.io/a/b:1", "quay.io/a", false),
            (repository, "quay.io/a/b:1", "../b", false),
            (one, "quay.io/a/b:1", "x.io/y:1", true),
            (one, "quay.io/a/b:1", "x.io/y", false),
            (one, "quay.io/a/b:1", "quay.io/a/b:1", false),
            (whole, "quay.io/a/b:1", "x.io/y:7", true),
            (whole, "quay.io/a/b:1", "x.io/z", false),
            (moved, "mirror.io/up/a/b:1", "quay.io/a/b:1", true),
            (moved, "mirror.io/up/a/b:1", "mirror.io/up/a/b:1", false),
            (moved, "mirror.io/upper/a:1", "mirror.io/upper/a:1", true),
            (moved, "mirror.io/upper/a:1", "quay.io/per/a:1", false),
        ] {
            assert_eq!(
                accepts(rule, image, signed),
                taken,
                "{rule} {image} {signed}"
            );
        }
    }

    #[test]
    fn a_rule_with_another_key_is_refused() {
        for bad in [
            r#"{"type":"matchExact","dockerReference":"x"}"#,
            r#"{"type":"exactReference"}"#,
            r#"{"type":"matchAll"}"#,
            r#"{"type":"remapIdentity","prefix":"a","signedPrefix":"b","x":1}"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<Identity>(bad).is_err(), "{bad}");
        }
    }
}
