//! Names as they are typed: without a registry one may stand for several images (`registries.conf`), without a tag for the latest or
//! for all.

use crate::error::{Error, NotFound};
use crate::progress::Progress;
use crate::pull::Pulled;
use crate::registry;
use crate::registry::config::HostConfig;
use crate::store::Store;
use oci::{Platform, Reference};

impl Store {
    /// Pulls by a name as it was typed: without a registry it may stand for another one's image (`registries.conf`). What was
    /// pulled goes by its full name.
    pub fn pull_named(
        &self,
        typed: &str,
        platform: Option<&Platform>,
        progress: &dyn Progress,
    ) -> Result<(Reference, Pulled), Error> {
        let mut nowhere = NotFound {
            reference: typed.to_owned(),
            places: Vec::new(),
        };
        for name in self.names_for(typed)? {
            match self.pull(&name, platform, progress) {
                Ok(pulled) => return Ok((name, pulled)),
                Err(Error::NotFound(none)) => {
                    nowhere.reference = name.familiar();
                    nowhere.places.extend(none.places);
                }
                Err(other) => return Err(other),
            }
        }
        Err(Error::NotFound(nowhere))
    }

    /// Every tag of an image that a repository has now, by its name as it was typed.
    pub fn tags(&self, typed: &str) -> Result<Vec<Reference>, Error> {
        let mut names = self.names_for(typed)?.into_iter().peekable();
        while let Some(name) = names.next() {
            match self.tags_of(&name) {
                Err(_) if names.peek().is_some() => {}
                answer => return answer,
            }
        }
        Ok(Vec::new())
    }

    /// The same at the first place that may say so.
    fn tags_of(&self, name: &Reference) -> Result<Vec<Reference>, Error> {
        let tags =
            crate::artifact::from_any(&self.options.registries, name, |registry, repository| {
                Ok(registry.tags(repository)?)
            })?;
        let of_images = tags.iter().filter(|tag| !is_about_another(tag));
        let named = of_images.map(|tag| name.with_tag(tag));
        Ok(named.collect::<Result<_, _>>()?)
    }

    /// What a typed name may stand for.
    pub(crate) fn names_for(&self, typed: &str) -> Result<Vec<Reference>, Error> {
        let plain: Reference = typed.parse()?;
        let hub = oci::reference::DOCKER_HUB;
        let config =
            HostConfig::load(&self.options.registries, hub).map_err(registry::Error::from)?;
        let Some(names) = config.expand(typed) else {
            return Ok(vec![plain.or_latest()]);
        };
        let parsed = names
            .iter()
            .map(|n| n.parse::<Reference>().map(Reference::or_latest));
        Ok(parsed.collect::<Result<_, _>>()?)
    }
}

/// Signatures, lists of contents and the like lie under tags made of the digest they are about: `sha256-<hex>`, `sha256-<hex>.sig`.
fn is_about_another(tag: &str) -> bool {
    let hex = tag.strip_prefix("sha256-").and_then(|rest| rest.get(..64));
    hex.is_some_and(oci::reference::is_hex_id)
}
