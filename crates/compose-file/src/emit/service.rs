//! One service.

mod parts;

use super::{Object, build, cpus, deploy, job, mounts};
use crate::project::{NamespaceRef, NetworkModeRef, Service};
use model::limits::{DeviceValue, Resources};
use parts::{depends_on, device, env_file, healthcheck, init_hook, network, port, pull_policy};
pub(super) use parts::{extra_hosts, hook, ulimits};
use serde_json::Value;

/// The order in which docker compose prints the keys of a service.
pub(super) const ORDER: [&str; 93] = [
    "profiles",
    "triggers",
    "annotations",
    "attach",
    "build",
    "develop",
    "blkio_config",
    "cap_add",
    "cap_drop",
    "cgroup_parent",
    "cgroup",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpus",
    "cpuset",
    "cpu_shares",
    "command",
    "configs",
    "container_name",
    "credential_spec",
    "depends_on",
    "deploy",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "provider",
    "environment",
    "env_file",
    "expose",
    "external_links",
    "extra_hosts",
    "group_add",
    "gpus",
    "hostname",
    "healthcheck",
    "image",
    "init",
    "ipc",
    "isolation",
    "labels",
    "label_file",
    "links",
    "logging",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "mem_swappiness",
    "mac_address",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "privileged",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
    "pre_start",
    "post_start",
    "pre_stop",
];

pub(super) fn value(service: &Service, with_files: bool) -> Object {
    let mut object = Object::new();
    what_runs(&mut object, service, with_files);
    process(&mut object, service);
    life(&mut object, service);
    networking(&mut object, service);
    files(&mut object, service);
    limits(&mut object, &service.limits);
    if let Some(triggers) = &service.triggers {
        object.object("triggers", job::triggers(triggers));
    }
    object.extensions(&service.extensions);
    object
}

fn what_runs(object: &mut Object, service: &Service, with_files: bool) {
    object.text("image", &service.image);
    object.option(
        "build",
        service.build.as_ref().map(|build| build::value(build).0),
    );
    object.option("command", service.command.clone());
    object.option("entrypoint", service.entrypoint.clone());
    if let Some(provider) = &service.provider {
        let mut inner = Object::new();
        inner.set("type", provider.kind.as_str());
        let options = provider
            .options
            .iter()
            .map(|(key, values)| (key.clone(), Value::from(values.clone())));
        inner.object("options", Object(options.collect()));
        object.object("provider", inner);
    }
    object.text("container_name", &service.container_name);
    object.texts("profiles", &service.profiles);
    object.text("platform", &service.platform);
    let period = service.written.pull_period.clone();
    object.option(
        "pull_policy",
        period.or_else(|| service.pull_policy.map(pull_policy)),
    );
    object.text("pull_refresh_after", &service.pull_refresh_after);
    object.pairs("environment", &service.environment);
    object.table("labels", &service.labels);
    object.table("annotations", &service.annotations);
    if with_files {
        object.list("env_file", &service.env_file, env_file);
        object.list("label_file", &service.label_file, |path| {
            path.to_string_lossy().into()
        });
    }
    let models = service.models.iter().map(|(name, used)| {
        let mut inner = Object::new();
        inner.text("endpoint_var", &used.endpoint_var);
        inner.text("model_var", &used.model_var);
        (name.clone(), inner.into_value())
    });
    object.entries("models", models);
}

fn process(object: &mut Object, service: &Service) {
    object.text("user", &service.user);
    object.texts("group_add", &service.group_add);
    object.text("working_dir", &service.working_dir);
    object.flag("tty", service.tty);
    object.flag("stdin_open", service.stdin_open);
    object.option("init", service.init);
    object.flag("privileged", service.privileged);
    object.texts("cap_add", &service.cap_add);
    object.texts("cap_drop", &service.cap_drop);
    object.texts("security_opt", &service.security_opt);
    object.table("sysctls", &service.sysctls);
    object.object(
        "ulimits",
        ulimits(&service.ulimits, &service.written.ulimit_pairs),
    );
    object.list("devices", &service.devices, device);
    object.texts("device_cgroup_rules", &service.device_cgroup_rules);
    object.list("gpus", &service.gpus, deploy::device_request);
    for (key, namespace) in [
        ("pid", &service.pid),
        ("ipc", &service.ipc),
        ("uts", &service.uts),
        ("cgroup", &service.cgroup),
    ] {
        let text = match namespace {
            NamespaceRef::Mode(mode) => mode.to_string(),
            NamespaceRef::Service(name) => format!("service:{name}"),
        };
        object.option(key, (!text.is_empty()).then_some(text));
    }
    let userns = service.userns_mode.to_string();
    object.option("userns_mode", (!userns.is_empty()).then_some(userns));
    object.text("cgroup_parent", &service.cgroup_parent);
    object.option("oom_score_adj", service.oom_score_adj);
    object.text("runtime", &service.runtime);
    object.option("cpu_count", service.cpu_count);
    object.option("cpu_percent", service.cpu_percent);
    object.text("isolation", &service.isolation);
    if let Some(spec) = &service.credential_spec {
        let mut inner = Object::new();
        inner.text("config", &spec.config);
        inner.text("file", &spec.file);
        inner.text("registry", &spec.registry);
        object.object("credential_spec", inner);
    }
}

fn life(object: &mut Object, service: &Service) {
    object.option("scale", service.scale);
    object.option(
        "deploy",
        service
            .deploy
            .as_ref()
            .map(|deploy| deploy::value(deploy, service.scale).0),
    );
    object.option(
        "develop",
        service
            .develop
            .as_ref()
            .map(|develop| deploy::develop(develop).0),
    );
    let dependencies = service
        .depends_on
        .iter()
        .map(|(name, dependency)| (name.clone(), depends_on(dependency)));
    object.entries("depends_on", dependencies);
    object.option("restart", service.restart.as_ref().map(ToString::to_string));
    object.option("healthcheck", service.healthcheck.as_ref().map(healthcheck));
    if let Some(logging) = &service.logging {
        let mut inner = Object::new();
        inner.text("driver", &logging.driver);
        inner.table("options", &logging.options);
        object.object("logging", inner);
    }
    object.text("stop_signal", &service.stop_signal);
    object.duration("stop_grace_period", service.stop_grace_period);
    object.option("attach", service.attach);
    object.list("pre_start", &service.pre_start, init_hook);
    object.list("post_start", &service.post_start, hook);
    object.list("pre_stop", &service.pre_stop, hook);
}

fn networking(object: &mut Object, service: &Service) {
    object.list("ports", &service.ports, port);
    object.list("expose", &service.expose, |exposed| {
        exposed.text.as_str().into()
    });
    let mode = service.network_mode.as_ref().map(|mode| match mode {
        NetworkModeRef::None => "none".to_owned(),
        NetworkModeRef::Host => "host".to_owned(),
        NetworkModeRef::Bridge => "bridge".to_owned(),
        NetworkModeRef::Service(name) => format!("service:{name}"),
        NetworkModeRef::Container(name) => format!("container:{name}"),
        NetworkModeRef::Named(name) => name.clone(),
    });
    object.option("network_mode", mode);
    let networks = service.networks.iter().map(|endpoint| {
        let empty = service.written.empty_networks.contains(&endpoint.network);
        (endpoint.network.clone(), network(endpoint, empty))
    });
    object.entries("networks", networks);
    object.text("mac_address", &service.mac_address);
    object.shown("dns", &service.dns);
    object.texts("dns_opt", &service.dns_opt);
    object.texts("dns_search", &service.dns_search);
    object.texts("extra_hosts", &extra_hosts(&service.extra_hosts));
    object.text("hostname", &service.hostname);
    object.text("domainname", &service.domainname);
    object.texts("links", &service.links);
    object.texts("external_links", &service.external_links);
}

fn files(object: &mut Object, service: &Service) {
    object.list("volumes", &service.volumes, mounts::volume);
    object.texts("tmpfs", &service.written.tmpfs);
    object.texts("volumes_from", &service.written.volumes_from);
    object.list("configs", &service.configs, |file| {
        mounts::file_reference(file, None)
    });
    object.list("secrets", &service.secrets, |file| {
        mounts::file_reference(file, Some(&file.target))
    });
    object.flag("read_only", service.read_only);
    object.size("shm_size", service.shm_size);
    object.table("storage_opt", &service.storage_opt);
    object.flag("use_api_socket", service.use_api_socket);
}

fn limits(object: &mut Object, limits: &Resources) {
    object.size("mem_limit", limits.memory);
    object.size("mem_reservation", limits.memory_reservation);
    object.option(
        "memswap_limit",
        limits.memory_swap.map(|bytes| bytes.to_string()),
    );
    object.option(
        "mem_swappiness",
        limits.memory_swappiness.map(|n| n.to_string()),
    );
    object.flag("oom_kill_disable", limits.oom_kill_disable);
    object.option("cpus", cpus(limits.nano_cpus));
    object.option("cpu_shares", limits.cpu_shares);
    object.option("cpu_period", limits.cpu_period);
    object.option("cpu_quota", limits.cpu_quota);
    object.option("cpu_rt_period", limits.cpu_rt_period);
    object.option("cpu_rt_runtime", limits.cpu_rt_runtime);
    object.text("cpuset", &limits.cpuset_cpus);
    object.option("pids_limit", limits.pids_limit);
    let mut blkio = Object::new();
    blkio.option("weight", limits.blkio_weight);
    for (key, values, value_key) in [
        ("weight_device", &limits.blkio_weight_device, "weight"),
        ("device_read_bps", &limits.device_read_bps, "rate"),
        ("device_read_iops", &limits.device_read_iops, "rate"),
        ("device_write_bps", &limits.device_write_bps, "rate"),
        ("device_write_iops", &limits.device_write_iops, "rate"),
    ] {
        blkio.list(key, values, |DeviceValue { path, value }| {
            let mut inner = Object::new();
            inner.set("path", path.as_str());
            match value_key {
                "rate" => inner.set(value_key, value.to_string()),
                _ => inner.set(value_key, *value),
            }
            inner.into_value()
        });
    }
    object.object("blkio_config", blkio);
}
