//! What speaks to registries: `pull`, `push`, `login`, `logout`, `search`, `manifest`, `artifact`.

mod artifact;
mod login;
mod manifest;
mod pull;
mod push;
mod search;

use crate::verb::Verb;

pub(crate) use manifest::VERBS as MANIFEST;
pub(crate) use pull::platform;

/// Every verb that speaks to a registry, but for those of manifests.
pub(crate) const VERBS: &[Verb] = &[
    pull::VERB,
    push::VERB,
    login::LOGIN,
    login::LOGOUT,
    search::VERB,
    artifact::PULL,
    artifact::DISCOVER,
];
