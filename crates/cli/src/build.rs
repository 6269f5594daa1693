//! `build`.

use crate::verb::Verb;

/// Every verb that builds.
pub(crate) const VERBS: &[Verb] = &[];
