//! The keys of networks, volumes, configs, secrets and models.

use super::Shape::{self, Bool, Integer, List, OneOf, Pairs, Scalar, Table, Text};
use super::{Record, TEXTS};

const EXTERNAL: Shape = OneOf(&[&Bool, &Shape::Record(&EXTERNAL_NAME)]);
pub(super) static EXTERNAL_NAME: Record = Record {
    name: "external",
    keys: &[("name", &Text)],
};

pub(super) static NETWORK: Record = Record {
    name: "a network",
    keys: &[
        ("attachable", &Bool),
        ("driver", &Text),
        ("driver_opts", &Table(&Scalar)),
        ("enable_ipv4", &Bool),
        ("enable_ipv6", &Bool),
        ("external", &EXTERNAL),
        ("internal", &Bool),
        ("ipam", &Shape::Record(&IPAM)),
        ("labels", &Pairs),
        ("name", &Text),
    ],
};

pub(super) static IPAM: Record = Record {
    name: "ipam",
    keys: &[
        ("config", &List(&Shape::Record(&IPAM_CONFIG))),
        ("driver", &Text),
        ("options", &Table(&Scalar)),
    ],
};

pub(super) static IPAM_CONFIG: Record = Record {
    name: "an ipam config",
    keys: &[
        ("aux_addresses", &Table(&Text)),
        ("gateway", &Text),
        ("ip_range", &Text),
        ("subnet", &Text),
    ],
};

pub(super) static VOLUME: Record = Record {
    name: "a volume",
    keys: &[
        ("driver", &Text),
        ("driver_opts", &Table(&Scalar)),
        ("external", &EXTERNAL),
        ("labels", &Pairs),
        ("name", &Text),
    ],
};

pub(super) static CONFIG: Record = Record {
    name: "a config",
    keys: &[
        ("content", &Text),
        ("driver", &Text),
        ("driver_opts", &Table(&Scalar)),
        ("environment", &Text),
        ("external", &EXTERNAL),
        ("file", &Text),
        ("labels", &Pairs),
        ("name", &Text),
        ("template_driver", &Text),
    ],
};

pub(super) static SECRET: Record = Record {
    name: "a secret",
    keys: &[
        ("driver", &Text),
        ("driver_opts", &Table(&Scalar)),
        ("environment", &Text),
        ("external", &EXTERNAL),
        ("file", &Text),
        ("labels", &Pairs),
        ("name", &Text),
        ("template_driver", &Text),
    ],
};

pub(super) static MODEL: Record = Record {
    name: "a model",
    keys: &[
        ("context_size", &Integer),
        ("model", &Text),
        ("name", &Text),
        ("runtime_flags", &TEXTS),
    ],
};
