//! What speaks to registries: `pull`, `push`, `login`, `logout`, `search`.

mod login;
mod pull;
mod push;
mod search;

use crate::verb::Verb;

/// Every verb that speaks to a registry.
pub(crate) const VERBS: &[Verb] = &[
    pull::VERB,
    push::VERB,
    login::LOGIN,
    login::LOGOUT,
    search::VERB,
];
