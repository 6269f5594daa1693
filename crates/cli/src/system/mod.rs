//! `version`, `info`, `events`, `system df`, `system prune`, `system check`, `system migrate`. None of them starts anything.

mod check;
mod df;
mod events;
mod info;
mod migrate;
pub(crate) mod prune;
mod version;

use crate::verb::Verb;

pub(crate) use api::wire::DOCKER_VERSION;

/// Every verb of this noun.
pub(crate) const VERBS: &[Verb] = &[
    version::VERB,
    info::VERB,
    events::VERB,
    df::VERB,
    prune::VERB,
    check::VERB,
    migrate::VERB,
];
