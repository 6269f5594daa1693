//! `POST /containers/create`: `Config`, `HostConfig` and `NetworkingConfig` in one document.

use super::limits::LimitsBody;
use super::mounts::MountBody;
use super::network::EndpointBody;
use super::{Error, Keys, Words, or_default, positive, said};
use model::container::{ContainerSpec, NamespaceMode};
use model::health::{HealthTest, Healthcheck};
use model::log::LogConfig;
use model::mount::{Mount, MountKind, parse_tmpfs, parse_volume};
use model::network::{EndpointSettings, NetworkMode};
use model::port::{ContainerPort, HostPort, PortBinding};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerBody {
    hostname: Option<String>,
    domainname: Option<String>,
    user: Option<String>,
    #[serde(deserialize_with = "or_default")]
    exposed_ports: Keys,
    tty: Option<bool>,
    open_stdin: Option<bool>,
    stdin_once: Option<bool>,
    #[serde(deserialize_with = "or_default")]
    env: Vec<String>,
    cmd: Option<Words>,
    healthcheck: Option<HealthBody>,
    image: Option<String>,
    #[serde(deserialize_with = "or_default")]
    volumes: Keys,
    working_dir: Option<String>,
    entrypoint: Option<Words>,
    mac_address: Option<String>,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    stop_signal: Option<String>,
    stop_timeout: Option<i64>,
    #[serde(deserialize_with = "or_default")]
    host_config: HostBody,
    #[serde(deserialize_with = "or_default")]
    networking_config: NetworkingBody,
}

/// Times in nanoseconds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HealthBody {
    #[serde(deserialize_with = "or_default")]
    test: Vec<String>,
    interval: Option<i64>,
    timeout: Option<i64>,
    start_period: Option<i64>,
    start_interval: Option<i64>,
    retries: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkingBody {
    #[serde(deserialize_with = "or_default")]
    endpoints_config: BTreeMap<String, Option<EndpointBody>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostBody {
    #[serde(flatten)]
    limits: LimitsBody,
    #[serde(deserialize_with = "or_default")]
    binds: Vec<String>,
    volume_driver: Option<String>,
    isolation: Option<String>,
    log_config: Option<LogBody>,
    network_mode: Option<String>,
    #[serde(deserialize_with = "or_default")]
    port_bindings: BTreeMap<String, Option<Vec<BindingBody>>>,
    auto_remove: Option<bool>,
    #[serde(deserialize_with = "or_default")]
    volumes_from: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    mounts: Vec<MountBody>,
    #[serde(deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    cap_add: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    cap_drop: Vec<String>,
    cgroupns_mode: Option<String>,
    #[serde(deserialize_with = "or_default")]
    dns: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    dns_options: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    dns_search: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    extra_hosts: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    group_add: Vec<String>,
    ipc_mode: Option<String>,
    #[serde(deserialize_with = "or_default")]
    links: Vec<String>,
    oom_score_adj: Option<i32>,
    pid_mode: Option<String>,
    privileged: Option<bool>,
    publish_all_ports: Option<bool>,
    readonly_rootfs: Option<bool>,
    #[serde(deserialize_with = "or_default")]
    security_opt: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    storage_opt: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    tmpfs: BTreeMap<String, String>,
    #[serde(rename = "UTSMode")]
    uts_mode: Option<String>,
    userns_mode: Option<String>,
    shm_size: Option<i64>,
    #[serde(deserialize_with = "or_default")]
    sysctls: BTreeMap<String, String>,
    runtime: Option<String>,
    init: Option<bool>,
    masked_paths: Option<Vec<String>>,
    readonly_paths: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct LogBody {
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(deserialize_with = "or_default")]
    config: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct BindingBody {
    host_ip: Option<String>,
    host_port: Option<String>,
}

impl ContainerBody {
    pub fn image(&self) -> &str {
        self.image.as_deref().unwrap_or_default()
    }

    /// Whether it says where the output goes.
    pub fn names_log_driver(&self) -> bool {
        let log = self.host_config.log_config.as_ref();
        log.is_some_and(|log| log.kind.as_ref().is_some_and(|kind| !kind.is_empty()))
    }

    /// The container that is asked for.
    pub fn read(self) -> Result<ContainerSpec, Error> {
        let mut spec = ContainerSpec {
            image: self.image.unwrap_or_default(),
            entrypoint: self.entrypoint.map(|words| words.0),
            command: self.cmd.map(|words| words.0),
            env: self.env,
            user: said(self.user),
            working_dir: said(self.working_dir),
            hostname: said(self.hostname),
            domainname: said(self.domainname),
            labels: self.labels,
            tty: self.tty.unwrap_or(false),
            open_stdin: self.open_stdin.unwrap_or(false),
            stdin_once: self.stdin_once.unwrap_or(false),
            stop_signal: said(self.stop_signal),
            // Below zero: never killed; a century does.
            stop_timeout: self
                .stop_timeout
                .map(|seconds| u64::try_from(seconds).unwrap_or(100 * 365 * 86400)),
            healthcheck: self.healthcheck.map(HealthBody::read).transpose()?,
            ..Default::default()
        };
        // Docker takes an empty list for what was not said.
        spec.command = spec.command.filter(|words| !words.is_empty());
        for port in self.exposed_ports.keys() {
            spec.expose.extend(model::port::parse_expose(port)?);
        }
        let anonymous = self.volumes.keys().map(|target| Mount {
            kind: MountKind::anonymous_volume(),
            target: target.clone(),
            read_only: false,
        });
        spec.mounts.extend(anonymous);
        let networking = self.networking_config;
        let mode = self.host_config.network_mode.clone();
        self.host_config.apply(&mut spec)?;
        // A place that is mounted otherwise is no anonymous volume, as in Docker.
        let mounts = std::mem::take(&mut spec.mounts);
        spec.mounts = without_doubles(mounts);
        (spec.network_mode, spec.networks) = place(mode.as_deref(), networking, self.mac_address)?;
        Ok(spec)
    }
}

fn without_doubles(mounts: Vec<Mount>) -> Vec<Mount> {
    let all = mounts.clone();
    let is_other = |mount: &Mount| {
        all.iter()
            .any(|other| other.target == mount.target && other.kind != mount.kind)
    };
    mounts
        .into_iter()
        .filter(|mount| mount.kind != MountKind::anonymous_volume() || !is_other(mount))
        .collect()
}

/// The mode, and the networks that are named beside it.
fn place(
    mode: Option<&str>,
    networking: NetworkingBody,
    mac_address: Option<String>,
) -> Result<(NetworkMode, Vec<EndpointSettings>), Error> {
    let named = networking.endpoints_config;
    let mode = match mode.unwrap_or_default() {
        "host" => return Ok((NetworkMode::Host, Vec::new())),
        "none" => return Ok((NetworkMode::None, Vec::new())),
        other => match other.strip_prefix("container:") {
            Some("") => {
                return Err(Error::value("network mode", other, "name a container"));
            }
            Some(name) => return Ok((NetworkMode::Container(name.to_owned()), Vec::new())),
            None => other,
        },
    };
    let default = matches!(mode, "" | "default" | "bridge");
    let first = if default { "bridge" } else { mode };
    let mut endpoints = Vec::new();
    let mut mine = None;
    for (name, body) in named {
        let name = if name == "default" { "bridge" } else { &name };
        let endpoint = body.unwrap_or_default().read(name)?;
        if name == first {
            mine = Some(endpoint);
        } else {
            endpoints.push(endpoint);
        }
    }
    let is_said = mine.is_some();
    let mut own = mine.unwrap_or_else(|| EndpointSettings {
        network: first.to_owned(),
        ..Default::default()
    });
    if let Some(text) = said(mac_address).filter(|_| own.mac_address.is_none()) {
        let mac = model::network::mac_address(&text);
        own.mac_address =
            Some(mac.ok_or_else(|| Error::value("MAC address", text, "six pairs of digits"))?);
    }
    let plain = EndpointSettings {
        network: first.to_owned(),
        ..Default::default()
    };
    // Named networks alone, with the mode left at its default: the container is in these.
    if default && !is_said && !endpoints.is_empty() && mode.is_empty() {
        return Ok((NetworkMode::Networks, endpoints));
    }
    if default && own == plain && endpoints.is_empty() {
        return Ok((NetworkMode::Default, Vec::new()));
    }
    endpoints.insert(0, own);
    Ok((NetworkMode::Networks, endpoints))
}

impl HealthBody {
    fn read(self) -> Result<Healthcheck, Error> {
        let time = |nanos: Option<i64>| positive(nanos).map(Duration::from_nanos);
        let mut words = self.test.into_iter();
        let test = match words.next().as_deref() {
            None => HealthTest::Inherit,
            Some("NONE") => HealthTest::None,
            Some("CMD") => HealthTest::Cmd(words.collect()),
            Some("CMD-SHELL") => HealthTest::Shell(words.next().unwrap_or_default()),
            Some(other) => {
                return Err(Error::value(
                    "healthcheck test",
                    other,
                    "the first word is NONE, CMD or CMD-SHELL",
                ));
            }
        };
        Ok(Healthcheck {
            test,
            interval: time(self.interval),
            timeout: time(self.timeout),
            start_period: time(self.start_period),
            start_interval: time(self.start_interval),
            retries: self.retries.filter(|n| *n > 0),
        })
    }
}

impl HostBody {
    fn apply(self, spec: &mut ContainerSpec) -> Result<(), Error> {
        let root = Path::new("/");
        if let Some(other) =
            said(self.isolation.clone()).filter(|i| !i.eq_ignore_ascii_case("default"))
        {
            let cause = "Linux has the default one only";
            return Err(Error::value("isolation", other, cause));
        }
        spec.volume_driver = said(self.volume_driver.clone());
        for bind in &self.binds {
            let mut mount = parse_volume(bind, root)?;
            if let MountKind::Volume { driver, .. } = &mut mount.kind {
                driver.clone_from(&spec.volume_driver);
            }
            spec.mounts.push(mount);
        }
        for (target, options) in &self.tmpfs {
            let short = match options.is_empty() {
                true => target.clone(),
                false => format!("{target}:{options}"),
            };
            spec.mounts.push(parse_tmpfs(&short)?);
        }
        for mount in self.mounts.iter().cloned() {
            spec.mounts.push(mount.read()?);
        }
        self.security(spec)?;
        spec.ports = bindings(&self.port_bindings)?;
        if let Some(log) = self.log_config {
            let driver = log.kind.unwrap_or_default();
            spec.log = LogConfig {
                driver: driver
                    .parse()
                    .map_err(|e: model::log::UnknownLogDriver| Error::LogDriver(e.name))?,
                options: log.config,
            };
        }
        spec.dns = self
            .dns
            .iter()
            .map(|text| {
                text.parse()
                    .map_err(|_| Error::value("dns", text, "it is no address"))
            })
            .collect::<Result<_, _>>()?;
        spec.dns_options = self.dns_options;
        spec.dns_search = self.dns_search;
        spec.extra_hosts = self
            .extra_hosts
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?;
        spec.links = self.links;
        spec.volumes_from = self.volumes_from;
        spec.annotations = self.annotations;
        spec.auto_remove = self.auto_remove.unwrap_or(false);
        spec.publish_all = self.publish_all_ports.unwrap_or(false);
        spec.shm_size = positive(self.shm_size);
        spec.storage_opt = self.storage_opt;
        spec.init = self.init.unwrap_or(false);
        spec.runtime = said(self.runtime);
        if let Some(policy) = self.limits.restart()? {
            spec.restart = policy;
        }
        spec.resources = self.limits.resources()?;
        spec.cgroup_parent = said(self.limits.cgroup_parent);
        spec.ulimits = each(&self.limits.ulimits, |u| u.read())?;
        spec.devices = each(&self.limits.devices, |d| d.read())?;
        spec.device_cgroup_rules = self.limits.device_cgroup_rules;
        let requests = self.limits.device_requests.into_iter();
        spec.device_requests = requests.map(|request| request.read()).collect();
        Ok(())
    }

    fn security(&self, spec: &mut ContainerSpec) -> Result<(), Error> {
        let mode = |text: &Option<String>| -> Result<NamespaceMode, Error> {
            Ok(text.as_deref().unwrap_or_default().parse()?)
        };
        spec.pid_mode = mode(&self.pid_mode)?;
        spec.ipc_mode = mode(&self.ipc_mode)?;
        spec.uts_mode = mode(&self.uts_mode)?;
        spec.cgroupns_mode = mode(&self.cgroupns_mode)?;
        if let Some(text) = said(self.userns_mode.clone()) {
            spec.userns_mode = text.parse()?;
        }
        spec.privileged = self.privileged.unwrap_or(false);
        spec.read_only = self.readonly_rootfs.unwrap_or(false);
        spec.cap_add = self.cap_add.clone();
        spec.cap_drop = self.cap_drop.clone();
        spec.group_add = self.group_add.clone();
        spec.security_opt = self.security_opt.clone();
        // What the command line makes of `systempaths=unconfined`.
        let open = |paths: &Option<Vec<String>>| paths.as_ref().is_some_and(Vec::is_empty);
        if open(&self.masked_paths) && open(&self.readonly_paths) {
            spec.security_opt.push("systempaths=unconfined".into());
        }
        spec.sysctls = self.sysctls.clone();
        spec.oom_score_adj = self.oom_score_adj.filter(|n| *n != 0);
        Ok(())
    }
}

fn each<T, R>(list: &[T], read: impl Fn(&T) -> Result<R, Error>) -> Result<Vec<R>, Error> {
    list.iter().map(read).collect()
}

/// `{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}`.
fn bindings(
    bodies: &BTreeMap<String, Option<Vec<BindingBody>>>,
) -> Result<Vec<PortBinding>, Error> {
    let mut all = Vec::new();
    for (port, hosts) in bodies {
        let port: ContainerPort = port.parse()?;
        for host in hosts.iter().flatten() {
            let ip = host.host_ip.as_deref().filter(|ip| !ip.is_empty());
            let host_ip = ip.map(|ip| {
                ip.parse()
                    .map_err(|_| Error::value("host address", ip, "it is no address"))
            });
            all.push(PortBinding {
                host_ip: host_ip.transpose()?,
                host_port: host_port(host.host_port.as_deref().unwrap_or_default())?,
                container_port: port.port,
                protocol: port.protocol,
            });
        }
    }
    Ok(all)
}

fn host_port(text: &str) -> Result<HostPort, Error> {
    let number = |text: &str| {
        text.parse::<u16>()
            .map_err(|_| Error::value("host port", text, "ports are numbers up to 65535"))
    };
    Ok(match text.split_once('-') {
        _ if text.is_empty() || text == "0" => HostPort::Random,
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(Error::value("host port", text, "the range is empty"));
            }
            HostPort::AnyOf { first, last }
        }
        None => HostPort::Exact(number(text)?),
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
