//! Swarm's jobs (`deploy.mode: replicated-job`, `global-job`): services whose containers run once, to their end.
//!
//! One that has ended with 0 is done: it is not begun again by a policy, by `up` or at boot, only by what replaces it. One that
//! fails is tried again as its policy says. Source: Docker's "Running as a job" (`docker service create`), SwarmKit
//! `manager/orchestrator/jobs`.

use compose_file::Service;
use compose_file::project::DeployMode;
use model::restart::{RestartCondition, RestartPolicy};

/// Whether a service's containers are to end.
pub fn is_job(service: &Service) -> bool {
    let mode = service.deploy.as_ref().map(|deploy| deploy.mode);
    matches!(
        mode,
        Some(DeployMode::ReplicatedJob | DeployMode::GlobalJob)
    )
}

/// When a service's containers are begun again. `any` is no condition for what is to end.
pub(crate) fn restart_policy(service: &Service) -> RestartPolicy {
    let declared = service
        .deploy
        .as_ref()
        .is_some_and(|deploy| deploy.restart_policy.is_some());
    let policy = service.restart_policy();
    if !is_job(service) || (declared && policy.condition == RestartCondition::No) {
        return policy;
    }
    RestartPolicy {
        condition: RestartCondition::OnFailure,
        ..policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compose_file::project::Deploy;

    fn condition(mode: DeployMode, said: Option<RestartCondition>) -> RestartCondition {
        let deploy = Deploy {
            mode,
            restart_policy: said.map(|condition| RestartPolicy {
                condition,
                ..Default::default()
            }),
            ..Default::default()
        };
        let service = Service {
            deploy: Some(deploy),
            ..Default::default()
        };
        restart_policy(&service).condition
    }

    #[test]
    fn a_job_is_tried_again_until_it_has_done_its_work() {
        use RestartCondition::{Always, No, OnFailure};
        let job = DeployMode::ReplicatedJob;
        assert_eq!(condition(job, None), OnFailure);
        assert_eq!(condition(job, Some(Always)), OnFailure);
        assert_eq!(condition(job, Some(No)), No);
        assert_eq!(condition(DeployMode::Global, Some(Always)), Always);
        assert_eq!(condition(DeployMode::Replicated, None), No);
    }
}
