//! What a policy asks of one image, and whether what a registry gives meets it.

use super::attached::{self, Attached, Form};
use super::bundled;
use super::identity::Identity;
use super::key::PublicKey;
use super::payload::Payload;
use super::policy::{Requirement, SigstoreSigned};
use super::registries_d;
use super::{Error, Rule};
use crate::registry::{Registry, RegistryOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{Digest, Reference};
use std::path::PathBuf;

/// All that an image must meet; with none, it is taken as it is.
#[derive(Debug)]
pub(crate) struct Demands {
    image: Reference,
    rule: Box<Rule>,
    all: Vec<Demand>,
    /// The file that says that signatures in registries are not looked at.
    switched_off: Option<PathBuf>,
}

/// A signature with one of these keys over a name that fits.
#[derive(Debug)]
struct Demand {
    keys: Vec<PublicKey>,
    identity: Identity,
}

/// A signature, and what it was found at.
struct Found<'a> {
    digest: &'a Digest,
    attached: Attached,
}

impl Demands {
    /// Reads the policy. An image that nothing could make acceptable is refused here, and a key that cannot be read is told, before
    /// anybody is asked for anything.
    pub(crate) fn of(options: &RegistryOptions, image: &Reference) -> Result<Self, Error> {
        let mut demands = Self {
            image: image.clone().or_latest(),
            rule: Box::default(),
            all: Vec::new(),
            switched_off: None,
        };
        let Some((path, policy)) = super::read(options)? else {
            return Ok(demands);
        };
        let (scope, requirements) = policy.of_image(&demands.image);
        demands.rule = Box::new(Rule {
            path: path.to_owned(),
            scope: scope.to_owned(),
        });
        for requirement in requirements {
            let demand = demands.demand(requirement)?;
            demands.all.extend(demand);
        }
        if !demands.all.is_empty() {
            let dir = options.files.registries_d.as_deref();
            demands.switched_off = registries_d::switched_off(dir, &demands.image)?;
        }
        Ok(demands)
    }

    pub(crate) fn image(&self) -> &Reference {
        &self.image
    }

    fn demand(&self, requirement: &Requirement) -> Result<Option<Demand>, Error> {
        let unknown = |what| {
            let (image, rule) = (self.image.familiar(), self.rule.clone());
            Err(Error::Unknown { image, rule, what })
        };
        match requirement {
            Requirement::InsecureAcceptAnything {} => Ok(None),
            Requirement::Reject {} => {
                let (image, rule) = (self.image.familiar(), self.rule.clone());
                Err(Error::Rejected { image, rule })
            }
            Requirement::SignedBy { .. } => unknown("signedBy (signatures with GPG)"),
            Requirement::SignedBaseLayer { .. } => unknown("signedBaseLayer"),
            Requirement::SigstoreSigned(signed) => match signed.unknown() {
                Some(what) => unknown(what),
                None => Ok(Some(Demand {
                    keys: self.keys(signed)?,
                    identity: signed.signed_identity.clone(),
                })),
            },
        }
    }

    fn keys(&self, signed: &SigstoreSigned) -> Result<Vec<PublicKey>, Error> {
        let mut keys = Vec::new();
        for file in signed.files() {
            let text = std::fs::read(file).map_err(|source| Error::KeyFile {
                rule: self.rule.clone(),
                key: file.clone(),
                source,
            })?;
            keys.push(self.key(file.display().to_string(), &text)?);
        }
        for data in signed.data() {
            // What is not base64 is no key either.
            let text = STANDARD.decode(data).unwrap_or_default();
            keys.push(self.key("in its keyData".into(), &text)?);
        }
        Ok(keys)
    }

    fn key(&self, key: String, text: &[u8]) -> Result<PublicKey, Error> {
        let rule = self.rule.clone();
        PublicKey::from_pem(text).map_err(|source| Error::Key { rule, key, source })
    }

    /// Verifies what a registry gave: `digests` are those of the image's manifest and, where that stands in an index, of the index. A
    /// signature of either counts, as the index names the manifest by its digest.
    pub(crate) fn check(
        &self,
        registry: &Registry,
        digests: &[&Digest],
    ) -> Result<(), crate::Error> {
        if self.all.is_empty() {
            return Ok(());
        }
        let (image, rule) = (self.image.familiar(), self.rule.clone());
        if let Some(file) = &self.switched_off {
            let file = file.clone();
            return Err(Error::SwitchedOff { image, rule, file }.into());
        }
        let (mut signatures, mut reasons) = (Vec::new(), Vec::new());
        // Where the older form will do, nobody is asked for the newer one.
        for fetch in [attached::fetch, bundled::fetch] {
            for digest in digests {
                for found in fetch(registry, digest)? {
                    match found {
                        Ok(attached) => signatures.push(Found { digest, attached }),
                        Err(reason) => reasons.push(reason),
                    }
                }
            }
            if self
                .all
                .iter()
                .all(|demand| demand.met_by_any(&self.image, &signatures).is_ok())
            {
                return Ok(());
            }
        }
        let place = registry.endpoint().describe();
        if signatures.is_empty() && reasons.is_empty() {
            let sought: Vec<String> = digests.iter().map(|d| attached::tag(d)).collect();
            let sought = format!("{}, and no bundle refers to it", sought.join(", "));
            return Err(Error::Unsigned {
                image,
                rule,
                place,
                sought,
            }
            .into());
        }
        let mut unmet = self.all.iter();
        let unmet = unmet.find_map(|demand| demand.met_by_any(&self.image, &signatures).err());
        reasons.extend(unmet.unwrap_or_default());
        Err(Error::Unmet {
            image,
            rule,
            place,
            reasons,
        }
        .into())
    }
}

impl Demand {
    fn met_by_any(&self, image: &Reference, all: &[Found<'_>]) -> Result<(), Vec<String>> {
        let mut reasons = Vec::new();
        for found in all {
            match self.met_by(image, found) {
                Ok(()) => return Ok(()),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(reasons)
    }

    /// The signature first: before it is verified, nothing of what it says is believed.
    fn met_by(&self, image: &Reference, found: &Found<'_>) -> Result<(), String> {
        let attached = &found.attached;
        let message = match attached.form {
            Form::SimpleSigning => attached.payload.clone(),
            Form::Statement => bundled::message(&attached.payload),
        };
        let made = |key: &PublicKey| attached.signatures.iter().any(|s| key.made(s, &message));
        if !self.keys.iter().any(made) {
            return Err("a signature that is not by the policy's key".into());
        }
        let wrong = |e: String| format!("what was signed: {e}");
        let name = match attached.form {
            Form::SimpleSigning => {
                let payload = Payload::parse(&attached.payload).map_err(wrong)?;
                if payload.digest != *found.digest {
                    return Err(format!("a signature of other content, {}", payload.digest));
                }
                payload.name
            }
            Form::Statement => {
                let subjects = bundled::subjects(&attached.payload).map_err(wrong)?;
                if !subjects.contains(found.digest) {
                    return Err("a signature of other content".into());
                }
                if self.identity.accepts_unnamed(image) {
                    return Ok(());
                }
                return Err(
                    "a bundle, which names no image: it counts for one that is asked for by digest (NAME@sha256:...); cosign sign --new-bundle-format=false signs names"
                        .into(),
                );
            }
        };
        if !self.identity.accepts(image, &name) {
            return Err(format!(
                "a signature of the name {name:?} (signedIdentity says which count; cosign signs names without a tag, for which there is matchRepository)"
            ));
        }
        Ok(())
    }
}
