//! What stands under the keys of a service: hooks, mounts, ports, devices and the rest.

use super::Shape::{self, Bool, Duration, Integer, List, OneOf, Pairs, Scalar, Size, Table, Text};
use super::{Record, SCALARS, TEXT_OR_LIST, TEXTS};

const DEVICE_RATES: Shape = List(&Shape::Record(&DEVICE_RATE));

pub(super) static DEVELOP: Record = Record {
    name: "develop",
    keys: &[("watch", &List(&Shape::Record(&WATCH)))],
};

pub(super) static WATCH: Record = Record {
    name: "a watch rule",
    keys: &[
        ("action", &Text),
        ("exec", &Shape::Record(&HOOK)),
        ("ignore", &TEXT_OR_LIST),
        ("include", &TEXT_OR_LIST),
        ("initial_sync", &Bool),
        ("path", &Text),
        ("target", &Text),
    ],
};

pub(super) static HOOK: Record = Record {
    name: "a hook",
    keys: &[
        ("command", &TEXT_OR_LIST),
        ("environment", &Pairs),
        ("privileged", &Bool),
        ("user", &Text),
        ("working_dir", &Text),
    ],
};

pub(super) static INIT_HOOK: Record = Record {
    name: "a pre_start hook",
    keys: &[
        ("command", &TEXT_OR_LIST),
        ("environment", &Pairs),
        ("image", &Text),
        ("per_replica", &Bool),
        ("privileged", &Bool),
        ("user", &Text),
        ("working_dir", &Text),
    ],
};

pub(super) static BLKIO: Record = Record {
    name: "blkio_config",
    keys: &[
        ("device_read_bps", &DEVICE_RATES),
        ("device_read_iops", &DEVICE_RATES),
        ("device_write_bps", &DEVICE_RATES),
        ("device_write_iops", &DEVICE_RATES),
        ("weight", &Integer),
        ("weight_device", &List(&Shape::Record(&DEVICE_WEIGHT))),
    ],
};

pub(super) static DEVICE_RATE: Record = Record {
    name: "a device rate",
    keys: &[("path", &Text), ("rate", &Size)],
};
pub(super) static DEVICE_WEIGHT: Record = Record {
    name: "a device weight",
    keys: &[("path", &Text), ("weight", &Integer)],
};

pub(super) static CREDENTIAL_SPEC: Record = Record {
    name: "credential_spec",
    keys: &[("config", &Text), ("file", &Text), ("registry", &Text)],
};

pub(super) static DEPENDENCY: Record = Record {
    name: "a dependency",
    keys: &[
        ("condition", &Text),
        ("required", &Bool),
        ("restart", &Bool),
    ],
};

pub(super) static DEVICE: Record = Record {
    name: "a device",
    keys: &[("permissions", &Text), ("source", &Text), ("target", &Text)],
};

pub(super) static DEVICE_REQUEST: Record = Record {
    name: "a device request",
    keys: &[
        ("capabilities", &TEXTS),
        ("count", &Scalar),
        ("device_ids", &TEXTS),
        ("driver", &Text),
        ("options", &Pairs),
    ],
};

pub(super) static ENV_FILE: Record = Record {
    name: "an env file",
    keys: &[("format", &Text), ("path", &Text), ("required", &Bool)],
};

pub(super) static EXTENDS: Record = Record {
    name: "extends",
    keys: &[("file", &Text), ("service", &Text)],
};

pub(super) static FILE_REFERENCE: Record = Record {
    name: "a config or secret of a service",
    keys: &[
        ("gid", &Text),
        ("mode", &Scalar),
        ("source", &Text),
        ("target", &Text),
        ("uid", &Text),
    ],
};

pub(super) static HEALTHCHECK: Record = Record {
    name: "healthcheck",
    keys: &[
        ("disable", &Bool),
        ("interval", &Duration),
        ("retries", &Integer),
        ("start_interval", &Duration),
        ("start_period", &Duration),
        ("test", &TEXT_OR_LIST),
        ("timeout", &Duration),
    ],
};

pub(super) static LOGGING: Record = Record {
    name: "logging",
    keys: &[("driver", &Text), ("options", &Table(&Scalar))],
};

pub(super) static MODEL_USE: Record = Record {
    name: "a model of a service",
    keys: &[("endpoint_var", &Text), ("model_var", &Text)],
};

pub(super) static SERVICE_NETWORK: Record = Record {
    name: "a network of a service",
    keys: &[
        ("aliases", &TEXTS),
        ("driver_opts", &Table(&Scalar)),
        ("gw_priority", &Integer),
        ("interface_name", &Text),
        ("ipv4_address", &Text),
        ("ipv6_address", &Text),
        ("link_local_ips", &TEXTS),
        ("mac_address", &Text),
        ("priority", &Integer),
    ],
};

pub(super) static PORT: Record = Record {
    name: "a port",
    keys: &[
        ("app_protocol", &Text),
        ("host_ip", &Text),
        ("mode", &Text),
        ("name", &Text),
        ("protocol", &Text),
        ("published", &Scalar),
        ("target", &Integer),
    ],
};

pub(super) static PROVIDER: Record = Record {
    name: "a provider",
    keys: &[
        ("options", &Table(&OneOf(&[&Scalar, &SCALARS]))),
        ("type", &Text),
    ],
};

pub(super) static ULIMIT: Record = Record {
    name: "a ulimit",
    keys: &[("hard", &Integer), ("soft", &Integer)],
};

pub(super) static MOUNT: Record = Record {
    name: "a volume of a service",
    keys: &[
        ("bind", &Shape::Record(&MOUNT_BIND)),
        ("consistency", &Text),
        ("image", &Shape::Record(&MOUNT_IMAGE)),
        ("read_only", &Bool),
        ("source", &Text),
        ("target", &Text),
        ("tmpfs", &Shape::Record(&MOUNT_TMPFS)),
        ("type", &Text),
        ("volume", &Shape::Record(&MOUNT_VOLUME)),
    ],
};

pub(super) static MOUNT_BIND: Record = Record {
    name: "bind",
    keys: &[
        ("create_host_path", &Bool),
        ("propagation", &Text),
        ("recursive", &Text),
        ("selinux", &Text),
    ],
};
pub(super) static MOUNT_IMAGE: Record = Record {
    name: "image",
    keys: &[("subpath", &Text)],
};
pub(super) static MOUNT_TMPFS: Record = Record {
    name: "tmpfs",
    keys: &[("mode", &Scalar), ("size", &Size)],
};
pub(super) static MOUNT_VOLUME: Record = Record {
    name: "volume",
    keys: &[("labels", &Pairs), ("nocopy", &Bool), ("subpath", &Text)],
};
