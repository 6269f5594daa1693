//! `deploy`, typed. Source: Compose Deploy Specification, Swarm's service options.

use super::Extensions;
use model::device::DeviceRequest;
use model::restart::RestartPolicy;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a service is run and replaced.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deploy {
    pub mode: DeployMode,
    /// Whether the mode is written, though it be the usual one.
    pub mode_written: bool,
    pub replicas: Option<u32>,
    /// On the service, not on its containers.
    pub labels: BTreeMap<String, String>,
    pub endpoint_mode: Option<EndpointMode>,
    pub resources: DeployResources,
    /// Conditions `none`, `on-failure` and `any` are [`model::restart::RestartCondition`]'s `No`, `OnFailure`, `Always`.
    pub restart_policy: Option<RestartPolicy>,
    pub update_config: Option<UpdateConfig>,
    pub rollback_config: Option<UpdateConfig>,
    pub placement: Placement,
    pub extensions: Extensions,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeployMode {
    #[default]
    Replicated,
    Global,
    ReplicatedJob,
    GlobalJob,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointMode {
    Vip,
    Dnsrr,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeployResources {
    pub limits: ResourceLimits,
    pub reservations: Reservations,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourceLimits {
    pub nano_cpus: Option<u64>,
    pub memory: Option<u64>,
    pub pids: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reservations {
    pub nano_cpus: Option<u64>,
    pub memory: Option<u64>,
    pub devices: Vec<DeviceRequest>,
    pub generic_resources: Vec<GenericResource>,
}

/// `discrete_resource_spec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenericResource {
    pub kind: String,
    pub value: i64,
}

/// `update_config` and `rollback_config`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpdateConfig {
    /// 0: all at once; `None`: one at a time.
    pub parallelism: Option<u32>,
    pub delay: Option<Duration>,
    pub failure_action: Option<FailureAction>,
    pub monitor: Option<Duration>,
    pub max_failure_ratio: Option<f64>,
    pub order: Option<UpdateOrder>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureAction {
    Continue,
    Pause,
    Rollback,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOrder {
    StopFirst,
    StartFirst,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// `node.role == manager`, as written.
    pub constraints: Vec<String>,
    /// The `spread` of each preference.
    pub preferences: Vec<String>,
    pub max_replicas_per_node: Option<u32>,
}
