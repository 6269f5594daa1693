//! `deploy`.

use super::{Cursor, Decoder, extensions_of};
use crate::project::{
    Deploy, DeployMode, DeployResources, EndpointMode, FailureAction, GenericResource, Placement,
    Reservations, ResourceLimits, UpdateConfig, UpdateOrder,
};
use model::restart::{RestartCondition, RestartPolicy};

impl Decoder<'_> {
    pub(super) fn deploy(&mut self, at: &Cursor<'_>) -> Deploy {
        let modes = [
            ("replicated", DeployMode::Replicated),
            ("global", DeployMode::Global),
            ("replicated-job", DeployMode::ReplicatedJob),
            ("global-job", DeployMode::GlobalJob),
        ];
        Deploy {
            mode: self.word(at, "mode", &modes).unwrap_or_default(),
            mode_written: at.has("mode"),
            replicas: self.integer(at, "replicas"),
            labels: self.table(at, "labels"),
            endpoint_mode: self.word(
                at,
                "endpoint_mode",
                &[("vip", EndpointMode::Vip), ("dnsrr", EndpointMode::Dnsrr)],
            ),
            resources: at
                .child("resources")
                .map(|resources| self.deploy_resources(&resources))
                .unwrap_or_default(),
            restart_policy: at
                .child("restart_policy")
                .map(|policy| self.restart_policy(&policy)),
            update_config: at
                .child("update_config")
                .map(|config| self.update_config(&config)),
            rollback_config: at
                .child("rollback_config")
                .map(|config| self.update_config(&config)),
            placement: at
                .child("placement")
                .map(|placement| self.placement(&placement))
                .unwrap_or_default(),
            extensions: extensions_of(at.node),
        }
    }

    fn deploy_resources(&mut self, at: &Cursor<'_>) -> DeployResources {
        let limits = at.child("limits").map(|limits| ResourceLimits {
            nano_cpus: self.cpus(&limits, "cpus"),
            memory: self.size(&limits, "memory"),
            pids: self.integer(&limits, "pids"),
        });
        let reservations = at.child("reservations").map(|reservations| Reservations {
            nano_cpus: self.cpus(&reservations, "cpus"),
            memory: self.size(&reservations, "memory"),
            devices: self.device_requests(&reservations, "devices"),
            generic_resources: self.list(&reservations, "generic_resources", |decoder, item| {
                let spec = item.child("discrete_resource_spec")?;
                Some(GenericResource {
                    kind: decoder.filled(&spec, "kind").unwrap_or_default(),
                    value: decoder.integer(&spec, "value").unwrap_or_default(),
                })
            }),
        });
        DeployResources {
            limits: limits.unwrap_or_default(),
            reservations: reservations.unwrap_or_default(),
        }
    }

    fn restart_policy(&mut self, at: &Cursor<'_>) -> RestartPolicy {
        let conditions = [
            ("none", RestartCondition::No),
            ("on-failure", RestartCondition::OnFailure),
            ("any", RestartCondition::Always),
            ("no", RestartCondition::No),
            ("always", RestartCondition::Always),
            ("unless-stopped", RestartCondition::UnlessStopped),
        ];
        RestartPolicy {
            condition: self
                .word(at, "condition", &conditions)
                .unwrap_or(RestartCondition::Always),
            max_attempts: self.integer(at, "max_attempts"),
            delay: self.duration(at, "delay"),
            window: self.duration(at, "window"),
        }
    }

    fn update_config(&mut self, at: &Cursor<'_>) -> UpdateConfig {
        let actions = [
            ("continue", FailureAction::Continue),
            ("pause", FailureAction::Pause),
            ("rollback", FailureAction::Rollback),
        ];
        let orders = [
            ("stop-first", UpdateOrder::StopFirst),
            ("start-first", UpdateOrder::StartFirst),
        ];
        UpdateConfig {
            parallelism: self.integer(at, "parallelism"),
            delay: self.duration(at, "delay"),
            failure_action: self.word(at, "failure_action", &actions),
            monitor: self.duration(at, "monitor"),
            max_failure_ratio: self.number(at, "max_failure_ratio"),
            order: self.word(at, "order", &orders),
        }
    }

    fn placement(&mut self, at: &Cursor<'_>) -> Placement {
        Placement {
            constraints: self.texts(at, "constraints"),
            preferences: self.list(at, "preferences", |decoder, item| {
                decoder.filled(item, "spread")
            }),
            max_replicas_per_node: self.integer(at, "max_replicas_per_node"),
        }
    }
}
