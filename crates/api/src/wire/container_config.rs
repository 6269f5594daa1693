//! `Config` of an inspected container.

use super::{Present, Set};
use engine::container::record::ContainerRecord;
use model::health::{HealthTest, Healthcheck};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    pub hostname: String,
    pub domainname: String,
    pub user: String,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: Set,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    pub env: Vec<String>,
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Health>,
    pub image: String,
    pub volumes: Option<Set>,
    pub working_dir: String,
    pub entrypoint: Option<Vec<String>>,
    pub on_build: Option<Vec<String>>,
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u64>,
}

/// Times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    pub test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<&Healthcheck> for Health {
    fn from(check: &Healthcheck) -> Self {
        let nanos = |time: Option<Duration>| {
            time.map_or(0, |t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX))
        };
        let test = match &check.test {
            HealthTest::Inherit => Vec::new(),
            HealthTest::None => vec!["NONE".into()],
            HealthTest::Cmd(words) => std::iter::once("CMD".to_owned())
                .chain(words.iter().cloned())
                .collect(),
            HealthTest::Shell(line) => vec!["CMD-SHELL".into(), line.clone()],
        };
        Self {
            test,
            interval: nanos(check.interval),
            timeout: nanos(check.timeout),
            start_period: nanos(check.start_period),
            start_interval: nanos(check.start_interval),
            retries: check.retries.map_or(0, u64::from),
        }
    }
}

/// As it was asked for: a name without a value, which the process does not have, is shown too.
fn environment(container: &ContainerRecord) -> Vec<String> {
    let bare = container.spec.env.iter().filter(|e| !e.contains('='));
    container.process.env.iter().chain(bare).cloned().collect()
}

impl From<&ContainerRecord> for Config {
    fn from(container: &ContainerRecord) -> Self {
        let ContainerRecord { spec, process, .. } = container;
        let volumes: Set = container
            .mounts
            .iter()
            .filter(|mount| mount.anonymous)
            .map(|mount| (mount.mount.target.clone(), Present {}))
            .collect();
        Self {
            hostname: container.hostname.clone(),
            domainname: spec.domainname.clone().unwrap_or_default(),
            user: process.user.clone(),
            attach_stdin: spec.open_stdin,
            attach_stdout: true,
            attach_stderr: true,
            exposed_ports: container
                .exposed
                .iter()
                .map(|port| (port.to_string(), Present {}))
                .collect(),
            tty: spec.tty,
            open_stdin: spec.open_stdin,
            stdin_once: spec.stdin_once,
            env: environment(container),
            cmd: super::nullable(&process.command),
            healthcheck: container.healthcheck.as_ref().map(Health::from),
            image: spec.image.clone(),
            volumes: (!volumes.is_empty()).then_some(volumes),
            working_dir: process.working_dir.clone(),
            entrypoint: super::nullable(&process.entrypoint),
            on_build: None,
            labels: container.labels.clone(),
            stop_signal: Some(container.stop_signal.clone()),
            stop_timeout: spec.stop_timeout,
        }
    }
}
