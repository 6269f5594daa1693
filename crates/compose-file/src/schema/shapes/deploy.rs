//! The keys of `deploy`.

use super::Shape::{self, Duration, Integer, List, Number, Pairs, Size, Text};
use super::{DEVICE_REQUESTS, Record, TEXTS};

pub(crate) static DEPLOY: Record = Record {
    name: "deploy",
    keys: &[
        ("endpoint_mode", &Text),
        ("labels", &Pairs),
        ("mode", &Text),
        ("placement", &Shape::Record(&PLACEMENT)),
        ("replicas", &Integer),
        ("resources", &Shape::Record(&RESOURCES)),
        ("restart_policy", &Shape::Record(&RESTART_POLICY)),
        ("rollback_config", &Shape::Record(&UPDATE_CONFIG)),
        ("update_config", &Shape::Record(&UPDATE_CONFIG)),
    ],
};

static PLACEMENT: Record = Record {
    name: "placement",
    keys: &[
        ("constraints", &TEXTS),
        ("max_replicas_per_node", &Integer),
        ("preferences", &List(&Shape::Record(&PREFERENCE))),
    ],
};

static PREFERENCE: Record = Record {
    name: "a placement preference",
    keys: &[("spread", &Text)],
};

static RESOURCES: Record = Record {
    name: "resources",
    keys: &[
        ("limits", &Shape::Record(&LIMITS)),
        ("reservations", &Shape::Record(&RESERVATIONS)),
    ],
};

static LIMITS: Record = Record {
    name: "limits",
    keys: &[("cpus", &Number), ("memory", &Size), ("pids", &Integer)],
};

static RESERVATIONS: Record = Record {
    name: "reservations",
    keys: &[
        ("cpus", &Number),
        ("devices", &DEVICE_REQUESTS),
        (
            "generic_resources",
            &List(&Shape::Record(&GENERIC_RESOURCE)),
        ),
        ("memory", &Size),
    ],
};

static GENERIC_RESOURCE: Record = Record {
    name: "a generic resource",
    keys: &[("discrete_resource_spec", &Shape::Record(&DISCRETE_RESOURCE))],
};

static DISCRETE_RESOURCE: Record = Record {
    name: "discrete_resource_spec",
    keys: &[("kind", &Text), ("value", &Integer)],
};

static RESTART_POLICY: Record = Record {
    name: "restart_policy",
    keys: &[
        ("condition", &Text),
        ("delay", &Duration),
        ("max_attempts", &Integer),
        ("window", &Duration),
    ],
};

static UPDATE_CONFIG: Record = Record {
    name: "update_config",
    keys: &[
        ("delay", &Duration),
        ("failure_action", &Text),
        ("max_failure_ratio", &Number),
        ("monitor", &Duration),
        ("order", &Text),
        ("parallelism", &Integer),
    ],
};
