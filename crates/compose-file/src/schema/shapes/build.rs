//! The keys of `build`.

use super::Shape::{Bool, OneOf, Pairs, Scalar, Size, Text};
use super::{FILE_REFERENCES, HOSTS, Record, TEXT_OR_LIST, TEXTS, ULIMITS};

pub(crate) static BUILD: Record = Record {
    name: "build",
    keys: &[
        ("additional_contexts", &Pairs),
        ("args", &Pairs),
        ("cache_from", &TEXTS),
        ("cache_to", &TEXTS),
        ("context", &Text),
        ("dockerfile", &Text),
        ("dockerfile_inline", &Text),
        ("entitlements", &TEXTS),
        ("extra_hosts", &HOSTS),
        ("isolation", &Text),
        ("labels", &Pairs),
        ("network", &Text),
        ("no_cache", &Bool),
        ("no_cache_filter", &TEXT_OR_LIST),
        ("platforms", &TEXTS),
        ("privileged", &Bool),
        ("provenance", &Scalar),
        ("pull", &Bool),
        ("sbom", &Scalar),
        ("secrets", &FILE_REFERENCES),
        ("shm_size", &Size),
        ("ssh", &OneOf(&[&Text, &Pairs])),
        ("tags", &TEXTS),
        ("target", &Text),
        ("ulimits", &ULIMITS),
    ],
};
