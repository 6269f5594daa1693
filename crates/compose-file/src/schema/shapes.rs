//! Which keys there are and what may stand under them: the Compose Specification's schema as tables.
//! Source: compose-spec.json, the specification's chapters, compose-go's legacy keys.

/// What a node may be. Null is allowed wherever a key may be left out.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything (extensions, provider options).
    Any,
    /// A string; whole numbers and booleans are taken as their text.
    Text,
    /// A string, a number or a boolean.
    Scalar,
    Bool,
    Integer,
    Number,
    /// Bytes: `512m` or a number.
    Size,
    Duration,
    List(&'static Shape),
    /// Keys are the user's.
    Table(&'static Shape),
    /// `KEY=value` entries or a mapping of scalars.
    Pairs,
    Record(&'static Record),
    /// The first alternative that fits the node's kind is checked.
    OneOf(&'static [&'static Shape]),
}

/// A mapping with known keys; `x-` keys are free.
#[derive(Debug)]
pub(crate) struct Record {
    /// What it is, with an article, for messages.
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [(&'static str, &'static Shape)],
}

impl Record {
    pub(crate) fn shape(&self, key: &str) -> Option<&'static Shape> {
        self.keys
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, shape)| *shape)
    }
}

use Shape::{Any, Bool, Duration, Integer, List, Number, OneOf, Pairs, Scalar, Size, Table, Text};

const TEXTS: Shape = List(&Text);
const TEXT_OR_LIST: Shape = OneOf(&[&Text, &TEXTS]);
const SCALARS: Shape = List(&Scalar);
const FILE_REFERENCES: Shape = List(&OneOf(&[&Text, &Shape::Record(&FILE_REFERENCE)]));
const HOSTS: Shape = OneOf(&[&TEXTS, &Table(&TEXT_OR_LIST)]);
const ULIMITS: Shape = Table(&OneOf(&[&Integer, &Shape::Record(&ULIMIT)]));
const DEVICE_REQUESTS: Shape = List(&Shape::Record(&DEVICE_REQUEST));
const DEVICE_RATES: Shape = List(&Shape::Record(&DEVICE_RATE));
const HOOKS: Shape = List(&Shape::Record(&HOOK));

pub(crate) static PROJECT: Record = Record {
    name: "the Compose file",
    keys: &[
        ("version", &Any),
        ("name", &Text),
        ("include", &List(&OneOf(&[&Text, &Shape::Record(&INCLUDE)]))),
        ("services", &Table(&Shape::Record(&SERVICE))),
        ("networks", &Table(&Shape::Record(&NETWORK))),
        ("volumes", &Table(&Shape::Record(&VOLUME))),
        ("configs", &Table(&Shape::Record(&CONFIG))),
        ("secrets", &Table(&Shape::Record(&SECRET))),
        ("models", &Table(&Shape::Record(&MODEL))),
    ],
};

pub(crate) static INCLUDE: Record = Record {
    name: "an include",
    keys: &[
        ("path", &TEXT_OR_LIST),
        ("env_file", &TEXT_OR_LIST),
        ("project_directory", &Text),
    ],
};

pub(crate) static SERVICE: Record = Record {
    name: "a service",
    keys: &[
        ("annotations", &Pairs),
        ("attach", &Bool),
        ("blkio_config", &Shape::Record(&BLKIO)),
        ("build", &OneOf(&[&Text, &Shape::Record(&BUILD)])),
        ("cap_add", &TEXTS),
        ("cap_drop", &TEXTS),
        ("cgroup", &Text),
        ("cgroup_parent", &Text),
        ("command", &TEXT_OR_LIST),
        ("configs", &FILE_REFERENCES),
        ("container_name", &Text),
        ("cpu_count", &Integer),
        ("cpu_percent", &Number),
        ("cpu_period", &OneOf(&[&Duration, &Integer])),
        ("cpu_quota", &OneOf(&[&Duration, &Integer])),
        ("cpu_rt_period", &OneOf(&[&Duration, &Integer])),
        ("cpu_rt_runtime", &OneOf(&[&Duration, &Integer])),
        ("cpu_shares", &Integer),
        ("cpus", &Number),
        ("cpuset", &Text),
        ("credential_spec", &Shape::Record(&CREDENTIAL_SPEC)),
        (
            "depends_on",
            &OneOf(&[&TEXTS, &Table(&Shape::Record(&DEPENDENCY))]),
        ),
        ("deploy", &Shape::Record(&DEPLOY)),
        ("develop", &Shape::Record(&DEVELOP)),
        ("device_cgroup_rules", &TEXTS),
        ("devices", &List(&OneOf(&[&Text, &Shape::Record(&DEVICE)]))),
        ("dns", &TEXT_OR_LIST),
        ("dns_opt", &TEXT_OR_LIST),
        ("dns_search", &TEXT_OR_LIST),
        ("domainname", &Text),
        ("entrypoint", &TEXT_OR_LIST),
        (
            "env_file",
            &OneOf(&[&Text, &List(&OneOf(&[&Text, &Shape::Record(&ENV_FILE)]))]),
        ),
        ("environment", &Pairs),
        ("expose", &SCALARS),
        ("extends", &OneOf(&[&Text, &Shape::Record(&EXTENDS)])),
        ("external_links", &TEXTS),
        ("extra_hosts", &HOSTS),
        ("gpus", &OneOf(&[&Text, &DEVICE_REQUESTS])),
        ("group_add", &SCALARS),
        ("healthcheck", &Shape::Record(&HEALTHCHECK)),
        ("hostname", &Text),
        ("image", &Text),
        ("init", &Bool),
        ("ipc", &Text),
        ("isolation", &Text),
        ("label_file", &TEXT_OR_LIST),
        ("labels", &Pairs),
        ("links", &TEXTS),
        ("logging", &Shape::Record(&LOGGING)),
        ("mac_address", &Text),
        ("mem_limit", &Size),
        ("mem_reservation", &Size),
        ("mem_swappiness", &Integer),
        ("memswap_limit", &Size),
        (
            "models",
            &OneOf(&[&TEXTS, &Table(&Shape::Record(&MODEL_USE))]),
        ),
        ("network_mode", &Text),
        (
            "networks",
            &OneOf(&[&TEXTS, &Table(&Shape::Record(&SERVICE_NETWORK))]),
        ),
        ("oom_kill_disable", &Bool),
        ("oom_score_adj", &Integer),
        ("pid", &Text),
        ("pids_limit", &Integer),
        ("platform", &Text),
        ("ports", &List(&OneOf(&[&Scalar, &Shape::Record(&PORT)]))),
        ("post_start", &HOOKS),
        ("pre_start", &List(&Shape::Record(&INIT_HOOK))),
        ("pre_stop", &HOOKS),
        ("privileged", &Bool),
        ("profiles", &TEXTS),
        ("provider", &Shape::Record(&PROVIDER)),
        ("pull_policy", &Text),
        ("pull_refresh_after", &Text),
        ("read_only", &Bool),
        ("restart", &Text),
        ("runtime", &Text),
        ("scale", &Integer),
        ("secrets", &FILE_REFERENCES),
        ("security_opt", &TEXTS),
        ("shm_size", &Size),
        ("stdin_open", &Bool),
        ("stop_grace_period", &Duration),
        ("stop_signal", &Text),
        ("storage_opt", &Table(&Scalar)),
        ("sysctls", &Pairs),
        ("tmpfs", &TEXT_OR_LIST),
        ("tty", &Bool),
        ("ulimits", &ULIMITS),
        ("use_api_socket", &Bool),
        ("user", &Text),
        ("userns_mode", &Text),
        ("uts", &Text),
        ("volumes", &List(&OneOf(&[&Text, &Shape::Record(&MOUNT)]))),
        ("volumes_from", &TEXTS),
        ("working_dir", &Text),
        // What version 1 and 2 files say; lifted by the canonical form.
        ("dockerfile", &Text),
        ("log_driver", &Text),
        ("log_opt", &Table(&Scalar)),
        ("net", &Text),
        ("volume_driver", &Text),
    ],
};

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

static DEVELOP: Record = Record {
    name: "develop",
    keys: &[("watch", &List(&Shape::Record(&WATCH)))],
};

static WATCH: Record = Record {
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

static HOOK: Record = Record {
    name: "a hook",
    keys: &[
        ("command", &TEXT_OR_LIST),
        ("environment", &Pairs),
        ("privileged", &Bool),
        ("user", &Text),
        ("working_dir", &Text),
    ],
};

static INIT_HOOK: Record = Record {
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

static BLKIO: Record = Record {
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

static DEVICE_RATE: Record = Record {
    name: "a device rate",
    keys: &[("path", &Text), ("rate", &Size)],
};
static DEVICE_WEIGHT: Record = Record {
    name: "a device weight",
    keys: &[("path", &Text), ("weight", &Integer)],
};

static CREDENTIAL_SPEC: Record = Record {
    name: "credential_spec",
    keys: &[("config", &Text), ("file", &Text), ("registry", &Text)],
};

static DEPENDENCY: Record = Record {
    name: "a dependency",
    keys: &[
        ("condition", &Text),
        ("required", &Bool),
        ("restart", &Bool),
    ],
};

static DEVICE: Record = Record {
    name: "a device",
    keys: &[("permissions", &Text), ("source", &Text), ("target", &Text)],
};

static DEVICE_REQUEST: Record = Record {
    name: "a device request",
    keys: &[
        ("capabilities", &TEXTS),
        ("count", &Scalar),
        ("device_ids", &TEXTS),
        ("driver", &Text),
        ("options", &Pairs),
    ],
};

static ENV_FILE: Record = Record {
    name: "an env file",
    keys: &[("format", &Text), ("path", &Text), ("required", &Bool)],
};

static EXTENDS: Record = Record {
    name: "extends",
    keys: &[("file", &Text), ("service", &Text)],
};

static FILE_REFERENCE: Record = Record {
    name: "a config or secret of a service",
    keys: &[
        ("gid", &Text),
        ("mode", &Scalar),
        ("source", &Text),
        ("target", &Text),
        ("uid", &Text),
    ],
};

static HEALTHCHECK: Record = Record {
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

static LOGGING: Record = Record {
    name: "logging",
    keys: &[("driver", &Text), ("options", &Table(&Scalar))],
};

static MODEL_USE: Record = Record {
    name: "a model of a service",
    keys: &[("endpoint_var", &Text), ("model_var", &Text)],
};

static SERVICE_NETWORK: Record = Record {
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

static PORT: Record = Record {
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

static PROVIDER: Record = Record {
    name: "a provider",
    keys: &[("options", &Table(&Any)), ("type", &Text)],
};

static ULIMIT: Record = Record {
    name: "a ulimit",
    keys: &[("hard", &Integer), ("soft", &Integer)],
};

static MOUNT: Record = Record {
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

static MOUNT_BIND: Record = Record {
    name: "bind",
    keys: &[
        ("create_host_path", &Bool),
        ("propagation", &Text),
        ("recursive", &Text),
        ("selinux", &Text),
    ],
};
static MOUNT_IMAGE: Record = Record {
    name: "image",
    keys: &[("subpath", &Text)],
};
static MOUNT_TMPFS: Record = Record {
    name: "tmpfs",
    keys: &[("mode", &Scalar), ("size", &Size)],
};
static MOUNT_VOLUME: Record = Record {
    name: "volume",
    keys: &[("labels", &Pairs), ("nocopy", &Bool), ("subpath", &Text)],
};

const EXTERNAL: Shape = OneOf(&[&Bool, &Shape::Record(&EXTERNAL_NAME)]);
static EXTERNAL_NAME: Record = Record {
    name: "external",
    keys: &[("name", &Text)],
};

static NETWORK: Record = Record {
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

static IPAM: Record = Record {
    name: "ipam",
    keys: &[
        ("config", &List(&Shape::Record(&IPAM_CONFIG))),
        ("driver", &Text),
        ("options", &Table(&Scalar)),
    ],
};

static IPAM_CONFIG: Record = Record {
    name: "an ipam config",
    keys: &[
        ("aux_addresses", &Table(&Text)),
        ("gateway", &Text),
        ("ip_range", &Text),
        ("subnet", &Text),
    ],
};

static VOLUME: Record = Record {
    name: "a volume",
    keys: &[
        ("driver", &Text),
        ("driver_opts", &Table(&Scalar)),
        ("external", &EXTERNAL),
        ("labels", &Pairs),
        ("name", &Text),
    ],
};

static CONFIG: Record = Record {
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

static SECRET: Record = Record {
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

static MODEL: Record = Record {
    name: "a model",
    keys: &[
        ("context_size", &Integer),
        ("model", &Text),
        ("name", &Text),
        ("runtime_flags", &TEXTS),
    ],
};
