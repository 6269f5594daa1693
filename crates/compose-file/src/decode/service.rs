//! One service.

use super::{Cursor, Decoder, extensions_of};
use crate::project::{
    Condition, CredentialSpec, Dependency, EnvFile, EnvFormat, Logging, ModelUse, Provider,
    PullPolicy, Service, VolumesFrom, VolumesFromSource,
};
use model::limits::{DeviceValue, Resources, Ulimit};
use std::collections::{BTreeMap, BTreeSet};

impl Decoder<'_> {
    pub(super) fn service(&mut self, name: &str, at: &Cursor<'_>) -> Service {
        let mut service = Service {
            name: name.to_owned(),
            ..Service::default()
        };
        self.what_runs(at, &mut service);
        self.process(at, &mut service);
        self.life(at, &mut service);
        self.service_networking(at, &mut service);
        self.service_files(at, &mut service);
        self.service_devices(at, &mut service);
        self.service_namespaces(at, &mut service);
        service.limits = self.limits(at);
        service.extensions = extensions_of(at.node);
        service
    }

    /// Image, command, environment, labels.
    fn what_runs(&mut self, at: &Cursor<'_>, service: &mut Service) {
        service.image = self.filled(at, "image");
        service.build = at.child("build").map(|build| self.build(&build));
        service.provider = at
            .child("provider")
            .map(|provider| self.provider(&provider));
        service.command = self.words(at, "command");
        service.entrypoint = self.words(at, "entrypoint");
        service.container_name = self.container_name(at);
        service.profiles = self.parsed_list(at, "profiles", profile);
        service.platform = self.filled(at, "platform");
        // `refresh` takes its period from a key of its own.
        let period = self
            .filled(at, "pull_refresh_after")
            .unwrap_or_else(|| "24h".to_owned());
        service.pull_policy = self.parsed(at, "pull_policy", |text| match text {
            "refresh" => pull_policy(&format!("every_{period}")),
            _ => pull_policy(text),
        });
        service.written.pull_period = self
            .filled(at, "pull_policy")
            .filter(|text| text.starts_with("every_"));
        service.pull_refresh_after = self.filled(at, "pull_refresh_after");
        service.environment = self.pairs(at, "environment");
        service.env_file = self.list(at, "env_file", Self::env_file);
        service.labels = self.table(at, "labels");
        service.label_file = self
            .texts(at, "label_file")
            .into_iter()
            .map(Into::into)
            .collect();
        service.annotations = self.table(at, "annotations");
        for (name, cursor) in self.entries(at, "models") {
            let model = ModelUse {
                endpoint_var: self.filled(&cursor, "endpoint_var"),
                model_var: self.filled(&cursor, "model_var"),
            };
            service.models.insert(name.to_owned(), model);
        }
    }

    /// What the process may do.
    fn process(&mut self, at: &Cursor<'_>, service: &mut Service) {
        service.user = self.filled(at, "user");
        service.group_add = self.texts(at, "group_add");
        service.working_dir = self.filled(at, "working_dir");
        service.tty = self.flag(at, "tty").unwrap_or_default();
        service.stdin_open = self.flag(at, "stdin_open").unwrap_or_default();
        service.init = self.flag(at, "init");
        service.privileged = self.flag(at, "privileged").unwrap_or_default();
        service.cap_add = self.texts(at, "cap_add");
        service.cap_drop = self.texts(at, "cap_drop");
        service.security_opt = self.texts(at, "security_opt");
        service.sysctls = self.table(at, "sysctls");
        service.ulimits = self.ulimits(at);
        service.written.ulimit_pairs = self.ulimit_pairs(at);
        service.oom_score_adj =
            self.parsed(at, "oom_score_adj", |text| match text.parse::<i32>() {
                Ok(number) if (-1000..=1000).contains(&number) => Ok(number),
                _ => Err(format!(
                    "{text:?} is not a whole number between -1000 and 1000"
                )),
            });
        service.runtime = self.filled(at, "runtime");
        service.cgroup_parent = self.filled(at, "cgroup_parent");
        service.cpu_count = self.integer(at, "cpu_count");
        service.cpu_percent = self.parsed(at, "cpu_percent", |text| match text.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
            _ => Err(format!("{text:?} is not a number between 0 and 100")),
        });
        service.isolation = self.filled(at, "isolation");
        service.credential_spec = at.child("credential_spec").map(|spec| CredentialSpec {
            config: self.filled(&spec, "config"),
            file: self.filled(&spec, "file"),
            registry: self.filled(&spec, "registry"),
        });
    }

    /// Starting, stopping, watching.
    fn life(&mut self, at: &Cursor<'_>, service: &mut Service) {
        service.scale = self.integer(at, "scale");
        service.deploy = at.child("deploy").map(|deploy| self.deploy(&deploy));
        service.develop = at.child("develop").map(|develop| self.develop(&develop));
        for (name, cursor) in self.entries(at, "depends_on") {
            let dependency = self.dependency(&cursor);
            service.depends_on.insert(name.to_owned(), dependency);
        }
        service.restart = self.typed(at, "restart");
        service.healthcheck = at
            .child("healthcheck")
            .and_then(|check| self.healthcheck(&check));
        service.logging = at.child("logging").map(|logging| Logging {
            driver: self.filled(&logging, "driver"),
            options: self.table(&logging, "options"),
        });
        service.stop_signal = self.filled(at, "stop_signal");
        service.stop_grace_period = self.duration(at, "stop_grace_period");
        service.attach = self.flag(at, "attach");
        service.pre_start = self.list(at, "pre_start", |decoder, item| {
            Some(decoder.init_hook(item))
        });
        service.post_start = self.list(at, "post_start", |decoder, item| decoder.hook(item));
        service.pre_stop = self.list(at, "pre_stop", |decoder, item| decoder.hook(item));
        service.volumes_from = self.parsed_list(at, "volumes_from", volumes_from);
        service.written.volumes_from = self.texts(at, "volumes_from");
    }

    fn dependency(&mut self, at: &Cursor<'_>) -> Dependency {
        let conditions = [
            ("service_started", Condition::Started),
            ("service_healthy", Condition::Healthy),
            (
                "service_completed_successfully",
                Condition::CompletedSuccessfully,
            ),
        ];
        Dependency {
            condition: self.word(at, "condition", &conditions).unwrap_or_default(),
            restart: self.flag(at, "restart").unwrap_or_default(),
            required: self.flag(at, "required").unwrap_or(true),
        }
    }

    fn env_file(&mut self, at: &Cursor<'_>) -> Option<EnvFile> {
        let Some(path) = self.filled(at, "path") else {
            self.error_with_hint(at, "an env file names no path", "add \"path: FILE\"");
            return None;
        };
        Some(EnvFile {
            path: path.into(),
            required: self.flag(at, "required").unwrap_or(true),
            format: self
                .word(at, "format", &[("raw", EnvFormat::Raw)])
                .unwrap_or_default(),
        })
    }

    fn provider(&mut self, at: &Cursor<'_>) -> Provider {
        let kind = self.filled(at, "type").unwrap_or_default();
        if kind.is_empty() {
            self.error_with_hint(at, "a provider names no type", "add \"type: NAME\"");
        }
        let mut options = BTreeMap::new();
        for (name, cursor) in self.entries(at, "options") {
            let values = match cursor.node.as_list() {
                Some(list) => list
                    .iter()
                    .filter_map(crate::tree::Node::scalar_text)
                    .collect(),
                None => cursor.node.scalar_text().into_iter().collect(),
            };
            options.insert(name.to_owned(), values);
        }
        Provider { kind, options }
    }

    pub(super) fn ulimits(&mut self, at: &Cursor<'_>) -> Vec<Ulimit> {
        let mut ulimits = Vec::new();
        for (name, cursor) in self.entries(at, "ulimits") {
            let text = match cursor.node.scalar_text() {
                Some(both) => format!("{name}={both}"),
                None => {
                    let (soft, hard) = (self.text(&cursor, "soft"), self.text(&cursor, "hard"));
                    let (Some(soft), Some(hard)) = (soft, hard) else {
                        self.error_with_hint(
                            &cursor,
                            "a ulimit needs soft and hard",
                            "write {soft: N, hard: N}, or one number",
                        );
                        continue;
                    };
                    format!("{name}={soft}:{hard}")
                }
            };
            match text.parse() {
                Ok(ulimit) => ulimits.push(ulimit),
                Err(error) => self.error(&cursor, format!("{error}")),
            }
        }
        ulimits
    }

    /// An empty one is refused, as in docker compose: often it is a variable that is not set.
    fn container_name(&mut self, at: &Cursor<'_>) -> Option<String> {
        let child = at.child("container_name")?;
        if child.node.as_str() == Some("") {
            let hint =
                "give it a name, or leave the key out: then it is named after project and service";
            self.error_with_hint(&child, "the name of the container is empty", hint);
            return None;
        }
        let name = child.node.scalar_text()?;
        container_name(&name)
            .map_err(|message| {
                let hint = "a name has two characters at least; the first is a letter or a digit";
                self.error_with_hint(&child, message, hint);
            })
            .ok()
    }

    pub(super) fn ulimit_pairs(&self, at: &Cursor<'_>) -> BTreeSet<String> {
        self.entries(at, "ulimits")
            .into_iter()
            .filter(|(_, cursor)| cursor.node.as_map().is_some())
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    fn limits(&mut self, at: &Cursor<'_>) -> Resources {
        let mut limits = Resources {
            memory: self.size(at, "mem_limit"),
            memory_reservation: self.size(at, "mem_reservation"),
            memory_swap: self.parsed(at, "memswap_limit", model::size::parse_or_unlimited),
            memory_swappiness: self.integer(at, "mem_swappiness"),
            oom_kill_disable: self.flag(at, "oom_kill_disable").unwrap_or_default(),
            nano_cpus: self.cpus(at, "cpus"),
            cpu_shares: self.integer(at, "cpu_shares"),
            cpu_period: self
                .parsed(at, "cpu_period", microseconds)
                .map(i64::unsigned_abs),
            cpu_quota: self.parsed(at, "cpu_quota", microseconds),
            cpu_rt_period: self
                .parsed(at, "cpu_rt_period", microseconds)
                .map(i64::unsigned_abs),
            cpu_rt_runtime: self.parsed(at, "cpu_rt_runtime", microseconds),
            cpuset_cpus: self.filled(at, "cpuset"),
            pids_limit: self.integer(at, "pids_limit"),
            ..Resources::default()
        };
        if let Some(blkio) = at.child("blkio_config") {
            limits.blkio_weight = self.integer(&blkio, "weight");
            limits.blkio_weight_device = self.device_values(&blkio, "weight_device", "weight");
            limits.device_read_bps = self.device_values(&blkio, "device_read_bps", "rate");
            limits.device_write_bps = self.device_values(&blkio, "device_write_bps", "rate");
            limits.device_read_iops = self.device_values(&blkio, "device_read_iops", "rate");
            limits.device_write_iops = self.device_values(&blkio, "device_write_iops", "rate");
        }
        limits
    }

    fn device_values(&mut self, at: &Cursor<'_>, key: &str, value_key: &str) -> Vec<DeviceValue> {
        self.list(at, key, |decoder, item| {
            let (path, value) = (decoder.filled(item, "path"), decoder.size(item, value_key));
            let (Some(path), Some(value)) = (path, value) else {
                decoder.error(item, format!("needs path and {value_key}"));
                return None;
            };
            Some(DeviceValue { path, value })
        })
    }
}

fn container_name(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(inner)
    {
        return Ok(text.to_owned());
    }
    Err(format!(
        "Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    ))
}

fn profile(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(inner) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no profile name, only [a-zA-Z0-9][a-zA-Z0-9_.-]* is"
    ))
}

fn pull_policy(text: &str) -> Result<PullPolicy, String> {
    const DAY: u64 = 86_400;
    Ok(match text {
        "always" => PullPolicy::Always,
        "never" => PullPolicy::Never,
        "missing" | "if_not_present" => PullPolicy::Missing,
        "build" => PullPolicy::Build,
        "daily" => PullPolicy::Every(std::time::Duration::from_secs(DAY)),
        "weekly" => PullPolicy::Every(std::time::Duration::from_secs(7 * DAY)),
        _ => match text.strip_prefix("every_") {
            Some(period) => PullPolicy::Every(
                model::duration::parse_with_days(period).map_err(|e| e.to_string())?,
            ),
            None => {
                return Err(format!(
                    "unknown pull policy {text:?}; use always, never, missing, build, daily, weekly or every_<duration>"
                ));
            }
        },
    })
}

fn volumes_from(text: &str) -> Result<VolumesFrom, String> {
    let (source, mode) = match text.strip_prefix("container:") {
        Some(rest) => {
            let (name, mode) = rest.split_once(':').unwrap_or((rest, "rw"));
            (VolumesFromSource::Container(name.to_owned()), mode)
        }
        None => {
            let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
            (VolumesFromSource::Service(name.to_owned()), mode)
        }
    };
    match mode {
        "ro" | "rw" => Ok(VolumesFrom {
            source,
            read_only: mode == "ro",
        }),
        _ => Err(format!("invalid mode {mode:?} in {text:?}; use ro or rw")),
    }
}

/// A number of microseconds, or a duration.
fn microseconds(text: &str) -> Result<i64, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(number);
    }
    let duration = model::duration::parse_with_days(text).map_err(|error| error.to_string())?;
    i64::try_from(duration.as_micros()).map_err(|_| "too long".to_owned())
}
