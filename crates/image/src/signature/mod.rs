//! Whether an image may be used here: containers' `policy.json` (`policy`), asked before anything of an image but its manifest is
//! fetched (`demands`). Signatures are those that `cosign sign --key` and `skopeo copy --sign-by-sigstore-private-key` make: they lie in
//! the registry (`attached`, `bundled`), if they are to be looked at (`registries_d`), are made with a key (`key`) over a digest and a name (`payload`) that the policy wants (`identity`). Nobody
//! is asked but the registry. Not known are GPG's signatures, certificates (fulcio) and transparency logs (rekor): where the policy asks
//! for one of those, the image is refused with that reason.
//! Source: containers-policy.json(5), containers/image `signature/policy_eval_sigstore.go`.

mod attached;
mod bundled;
mod demands;
mod identity;
mod key;
mod payload;
mod policy;
mod registries_d;

pub(crate) use demands::Demands;
pub use key::KeyError;

use crate::registry::RegistryOptions;
use crate::registry::config::{self, PolicyFile};
use policy::{Policy, Requirement};
use std::fmt;
use std::path::{Path, PathBuf};

/// The rule of a policy that decides about an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    pub path: PathBuf,
    /// The prefix of names it is written for.
    pub scope: String,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy {} ({})", self.path.display(), self.scope)
    }
}

/// Why an image is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] config::Error),
    #[error("signature-policy names {}, which does not exist: no image is taken until it does", .0.display())]
    NoPolicy(PathBuf),
    #[error("{image} is refused: {rule} rejects it")]
    Rejected { image: String, rule: Box<Rule> },
    #[error(
        "{image} is refused: {rule} asks for {what}, which dockless does not verify (it verifies sigstoreSigned with keys; a policy for dockless alone is named by signature-policy in /etc/dockless/config.json)"
    )]
    Unknown {
        image: String,
        rule: Box<Rule>,
        what: &'static str,
    },
    #[error("{rule}: the key {key} cannot be used")]
    Key {
        rule: Box<Rule>,
        key: String,
        source: KeyError,
    },
    #[error("{rule}: the key {} cannot be read", key.display())]
    KeyFile {
        rule: Box<Rule>,
        key: PathBuf,
        source: std::io::Error,
    },
    #[error("{image} is refused: {rule} asks for a signature, and {place} has none ({sought})")]
    Unsigned {
        image: String,
        rule: Box<Rule>,
        place: String,
        /// The tags it would lie under.
        sought: String,
    },
    #[error(
        "{image} is refused: {rule} asks for a signature, and {} says with use-sigstore-attachments: false that those in registries do not count", file.display()
    )]
    SwitchedOff {
        image: String,
        rule: Box<Rule>,
        file: PathBuf,
    },
    #[error("{image} is refused: {rule} asks for a signature, and none that {place} has will do: {}", reasons.join("; "))]
    Unmet {
        image: String,
        rule: Box<Rule>,
        place: String,
        reasons: Vec<String>,
    },
    #[error(
        "{image} is refused: {rule} asks for a signature, and images that do not come from a registry have none"
    )]
    NoRegistry { image: String, rule: Box<Rule> },
}

impl Error {
    /// Whether another place may have the signature that this one lacks.
    pub(crate) fn is_about_place(&self) -> bool {
        matches!(self, Self::Unsigned { .. } | Self::Unmet { .. })
    }
}

/// Whether images are taken that do not come from a registry: those of a directory (`oci`) or an archive (`docker-archive`,
/// `oci-archive`). A policy that wants signatures has to say that it does not want them here.
pub(crate) fn check_local(
    options: &RegistryOptions,
    transport: &str,
    path: Option<&Path>,
    image: &str,
) -> Result<(), Error> {
    let Some((file, policy)) = read(options)? else {
        return Ok(());
    };
    let (scope, requirements) = policy.of_path(transport, path);
    let refused = |make: fn(String, Box<Rule>) -> Error| {
        let (path, scope) = (file.to_owned(), format!("{transport}: {scope}"));
        Err(make(image.to_owned(), Box::new(Rule { path, scope })))
    };
    for requirement in requirements {
        match requirement {
            Requirement::InsecureAcceptAnything {} => {}
            Requirement::Reject {} => {
                return refused(|image, rule| Error::Rejected { image, rule });
            }
            _ => return refused(|image, rule| Error::NoRegistry { image, rule }),
        }
    }
    Ok(())
}

/// The host's policy; `None`: it has none, and takes everything, as Docker does.
fn read(options: &RegistryOptions) -> Result<Option<(&Path, Policy)>, Error> {
    let (PolicyFile::IfThere(path) | PolicyFile::Named(path)) = &options.files.policy else {
        return Ok(None);
    };
    match Policy::read(path)? {
        Some(policy) => Ok(Some((path, policy))),
        None if matches!(options.files.policy, PolicyFile::Named(_)) => {
            Err(Error::NoPolicy(path.clone()))
        }
        None => Ok(None),
    }
}

/// Whether a text is a policy, or what is wrong with it.
pub fn check_policy(text: &str) -> Result<(), String> {
    Policy::parse(text).map(|_| ())
}

/// Whether something is what signatures are made over.
pub fn check_payload(bytes: &[u8]) -> Result<(), String> {
    payload::Payload::parse(bytes).map(|_| ())
}

/// Whether a text is a key that signatures can be verified with.
pub fn check_key(text: &[u8]) -> Result<(), KeyError> {
    key::PublicKey::from_pem(text).map(|_| ())
}

#[cfg(test)]
#[path = "../../tests/common/signer.rs"]
mod signer;
