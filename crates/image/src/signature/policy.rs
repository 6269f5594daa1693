//! `policy.json`: which images are taken at all, and which only with a signature.
//!
//! ```json
//! { "default": [{ "type": "insecureAcceptAnything" }],
//!   "transports": { "docker": { "quay.io/team": [{ "type": "sigstoreSigned", "keyPath": "/etc/keys/team.pub",
//!     "signedIdentity": { "type": "matchRepository" } }] } } }
//! ```
//! Read strictly: an unknown key or one that stands there twice makes the whole file invalid, as it may be what the administrator relies
//! on. Source: containers-policy.json(5).

use super::identity::Identity;
use crate::registry::config::Error;
use oci::Reference;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    default: Requirements,
    #[serde(default)]
    transports: Named<Named<Requirements>>,
}

/// All of them must be met.
type Requirements = Vec<Requirement>;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(super) enum Requirement {
    InsecureAcceptAnything {},
    Reject {},
    /// GPG's signatures: read, never met.
    SignedBy {
        #[serde(rename = "keyType")]
        _key_type: String,
        #[serde(default, rename = "keyPath")]
        _key_path: IgnoredAny,
        #[serde(default, rename = "keyPaths")]
        _key_paths: IgnoredAny,
        #[serde(default, rename = "keyData")]
        _key_data: IgnoredAny,
        #[serde(default, rename = "signedIdentity")]
        _signed_identity: Option<Identity>,
    },
    SignedBaseLayer {
        #[serde(rename = "baseLayerIdentity")]
        _base_layer_identity: IgnoredAny,
    },
    SigstoreSigned(Box<SigstoreSigned>),
}

/// Signatures by cosign: with one of the keys, over a name that fits.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SigstoreSigned {
    key_path: Option<PathBuf>,
    key_paths: Option<Vec<PathBuf>>,
    /// PEM in base64.
    key_data: Option<String>,
    key_datas: Option<Vec<String>>,
    pub(super) signed_identity: Identity,
    fulcio: Value,
    pki: Value,
    rekor_public_key_path: Value,
    rekor_public_key_paths: Value,
    rekor_public_key_data: Value,
    rekor_public_key_datas: Value,
}

impl SigstoreSigned {
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.key_path.iter().chain(self.key_paths.iter().flatten())
    }

    pub(super) fn data(&self) -> impl Iterator<Item = &String> {
        self.key_data.iter().chain(self.key_datas.iter().flatten())
    }

    /// What it asks for that is not known here.
    pub(super) fn unknown(&self) -> Option<&'static str> {
        let rekor = [
            &self.rekor_public_key_path,
            &self.rekor_public_key_paths,
            &self.rekor_public_key_data,
            &self.rekor_public_key_datas,
        ];
        if !self.fulcio.is_null() {
            return Some("fulcio (certificates of identities)");
        }
        if !self.pki.is_null() {
            return Some("pki (certificates)");
        }
        let has_log = rekor.iter().any(|key| !key.is_null());
        has_log.then_some("a rekorPublicKey (entries of a transparency log)")
    }

    fn ways(&self) -> usize {
        let ways = [
            self.key_path.is_some(),
            self.key_paths.is_some(),
            self.key_data.is_some(),
            self.key_datas.is_some(),
            !self.fulcio.is_null(),
            !self.pki.is_null(),
        ];
        ways.iter().filter(|there| **there).count()
    }
}

impl Policy {
    /// The file's content; `None`: there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let Some(text) = crate::registry::config::text(path)? else {
            return Ok(None);
        };
        let invalid = |message| Error::Invalid {
            path: path.into(),
            message,
        };
        Self::parse(&text).map(Some).map_err(invalid)
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let policy: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        check("default", &policy.default)?;
        for (transport, scopes) in &policy.transports.0 {
            for (scope, requirements) in &scopes.0 {
                check(&format!("{transport}, {scope:?}"), requirements)?;
            }
        }
        Ok(policy)
    }

    /// What is asked of an image of a registry, and the scope that says so.
    pub(super) fn of_image(&self, image: &Reference) -> (&str, &[Requirement]) {
        self.first("docker", scopes_of(image))
    }

    /// What is asked of a directory of images, or an archive of them.
    pub(super) fn of_path(&self, transport: &str, path: Option<&Path>) -> (&str, &[Requirement]) {
        let above = path.into_iter().flat_map(Path::ancestors);
        let scopes = above.map(|dir| dir.display().to_string());
        self.first(transport, scopes.collect())
    }

    fn first(&self, transport: &str, scopes: Vec<String>) -> (&str, &[Requirement]) {
        let of_transport = self.transports.get(transport);
        let whole = String::new();
        let found = of_transport.and_then(|known| {
            let mut scopes = scopes.iter().chain([&whole]);
            scopes.find_map(|scope| known.0.iter().find(|(name, _)| name == scope))
        });
        match found {
            Some((scope, requirements)) if scope.is_empty() => ("all images", requirements),
            Some((scope, requirements)) => (scope, requirements),
            None => ("default", &self.default),
        }
    }
}

fn check(place: &str, requirements: &Requirements) -> Result<(), String> {
    if requirements.is_empty() {
        return Err(format!(
            "{place}: no requirement is said (write [{{\"type\": \"reject\"}}] or [{{\"type\": \"insecureAcceptAnything\"}}])"
        ));
    }
    for requirement in requirements {
        let Requirement::SigstoreSigned(signed) = requirement else {
            continue;
        };
        if signed.ways() != 1 {
            return Err(format!(
                "{place}: sigstoreSigned needs one of keyPath, keyPaths, keyData, keyDatas, fulcio and pki, and has {}",
                signed.ways()
            ));
        }
    }
    Ok(())
}

/// The scopes an image is in, the narrowest first: itself, its repository, what is above that, its registry, `*.` and the registry's
/// domains.
pub(super) fn scopes_of(image: &Reference) -> Vec<String> {
    let mut name = image.repository();
    let itself = match (image.digest(), image.tag()) {
        (Some(digest), _) => format!("{name}@{digest}"),
        (None, tag) => format!("{name}:{}", tag.unwrap_or("latest")),
    };
    let mut scopes = vec![itself];
    while let Some(end) = name.rfind('/') {
        let above = name[..end].to_owned();
        scopes.push(std::mem::replace(&mut name, above));
    }
    scopes.push(name.clone());
    let mut host = name.split(':').next().unwrap_or_default();
    while let Some((_, domain)) = host.split_once('.') {
        scopes.push(format!("*.{domain}"));
        host = domain;
    }
    scopes
}

/// An object whose keys are names, each there once.
#[derive(Debug, Clone)]
struct Named<T>(Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    fn get(&self, name: &str) -> Option<&T> {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut named = Named::default();
        while let Some(name) = map.next_key::<String>()? {
            if named.get(&name).is_some() {
                return Err(serde::de::Error::custom(format_args!(
                    "{name:?} stands there twice"
                )));
            }
            named.0.push((name, map.next_value()?));
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(policy: &str, image: &str) -> String {
        let policy = Policy::parse(policy).unwrap();
        let (scope, requirements) = policy.of_image(&image.parse().unwrap());
        format!("{scope} {}", requirements.len())
    }

    #[test]
    fn the_narrowest_scope_decides() {
        let one = r#"[{"type":"reject"}]"#;
        let two = r#"[{"type":"reject"},{"type":"insecureAcceptAnything"}]"#;
        let policy = format!(
            r#"{{"default":{one},"transports":{{"oci":{{"":{two}}},"docker":{{"quay.io/a/b:1":{two},"quay.io/a":{one},"quay.io":{two},
                "*.example.com":{one},"a.example.com:5000":{two},"docker.io/library/redis":{one}}}}}}}"#
        );
        for (image, decides) in [
            ("quay.io/a/b:1", "quay.io/a/b:1 2"),
            ("quay.io/a/b:2", "quay.io/a 1"),
            ("quay.io/a/b/c", "quay.io/a 1"),
            ("quay.io/ab", "quay.io 2"),
            ("a.example.com/x", "*.example.com 1"),
            ("b.a.example.com:8/x", "*.example.com 1"),
            ("a.example.com:5000/x", "a.example.com:5000 2"),
            ("example.com/x", "default 1"),
            ("redis", "docker.io/library/redis 1"),
            ("redis:7", "docker.io/library/redis 1"),
            ("nginx", "default 1"),
        ] {
            assert_eq!(scope(&policy, image), decides, "{image}");
        }
        let whole = format!(
            r#"{{"default":{one},"transports":{{"docker":{{"":{two},"quay.io":{one}}}}}}}"#
        );
        assert_eq!(scope(&whole, "nginx"), "all images 2");
        let policy = Policy::parse(&policy).unwrap();
        assert_eq!(policy.of_path("oci", Some(Path::new("/a/b"))).1.len(), 2);
        assert_eq!(policy.of_path("docker-archive", None).0, "default");
    }

    #[test]
    fn what_is_no_policy_is_refused_as_a_whole() {
        for (bad, said) in [
            ("", "EOF"),
            ("{}", "default"),
            (r#"{"default":[]}"#, "no requirement"),
            (
                r#"{"default":[{"type":"accept"}]}"#,
                "unknown variant `accept`",
            ),
            (r#"{"default":[{"type":"reject","x":1}]}"#, "`x`"),
            (
                r#"{"default":[{"type":"reject"}],"defaults":1}"#,
                "defaults",
            ),
            (
                r#"{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}"#,
                "duplicate",
            ),
            (
                r#"{"default":[{"type":"reject"}],"transports":{"docker":{"a":[{"type":"reject"}],"a":[{"type":"reject"}]}}}"#,
                "twice",
            ),
            (
                r#"{"default":[{"type":"sigstoreSigned"}]}"#,
                "keyPath, keyPaths",
            ),
            (
                r#"{"default":[{"type":"sigstoreSigned","keyPath":"/a","keyData":"b"}]}"#,
                "has 2",
            ),
            (
                r#"{"default":[{"type":"sigstoreSigned","keyPath":"/a","keypath":"/b"}]}"#,
                "keypath",
            ),
            (
                r#"{"default":[{"type":"sigstoreSigned","keyPath":"/a","keyPath":"/b"}]}"#,
                "duplicate",
            ),
        ] {
            let text = Policy::parse(bad).unwrap_err();
            assert!(text.contains(said), "{bad}: {text}");
        }
    }

    #[test]
    fn what_other_tools_are_told_is_read() {
        let text = r#"{"default":[{"type":"insecureAcceptAnything"}],"transports":{
            "docker":{"registry.access.redhat.com":[{"type":"signedBy","keyType":"GPGKeys","keyPaths":["/a"]}],
              "x.io":[{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchRepository"}}],
              "y.io":[{"type":"sigstoreSigned","fulcio":{"caPath":"/a","oidcIssuer":"b","subjectEmail":"c"},"rekorPublicKeyPath":"/r"}]},
            "docker-daemon":{"":[{"type":"insecureAcceptAnything"}]}}}"#;
        let policy = Policy::parse(text).unwrap();
        let (_, found) = policy.of_image(&"y.io/x".parse().unwrap());
        let Requirement::SigstoreSigned(signed) = &found[0] else {
            panic!("{found:?}")
        };
        assert!(signed.unknown().is_some_and(|what| what.contains("fulcio")));
    }
}
