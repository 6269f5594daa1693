//! What `stack deploy` makes of a Compose file before it is brought up: Swarm's defaults where the file says nothing.
//!
//! Source: docker/cli `cli/compose/convert`; SwarmKit `api/defaults` (restart condition `any`, delay 5 s).

use compose_file::Project;
use model::restart::{RestartCondition, RestartPolicy};
use std::time::Duration;

/// On every container of a stack: its name.
pub const NAMESPACE: &str = "com.docker.stack.namespace";

/// Gives every service what Swarm would.
pub fn prepare(project: &mut Project) {
    let stack = project.name.clone();
    // Of one host an overlay is a bridge; its containers are reached in no other way.
    for network in project.networks.values_mut().map(|n| &mut n.spec) {
        if network.driver == "overlay" {
            network.driver.clear();
            let of_overlay = |key: &str| key == "encrypted" || key.contains("overlay");
            network.driver_opts.retain(|key, _| !of_overlay(key));
        }
    }
    for service in &mut project.services {
        service.labels.insert(NAMESPACE.to_owned(), stack.clone());
        let deployed = service
            .deploy
            .as_ref()
            .is_some_and(|deploy| deploy.restart_policy.is_some());
        if !deployed && service.restart.is_none() {
            service.restart = Some(RestartPolicy {
                condition: RestartCondition::Always,
                delay: Some(Duration::from_secs(5)),
                ..RestartPolicy::default()
            });
        }
        // Swarm's services answer to their whole name, too.
        let name = format!("{stack}_{}", service.name);
        for endpoint in &mut service.networks {
            if !endpoint.aliases.contains(&name) {
                endpoint.aliases.push(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compose_file::Service;
    use model::network::EndpointSettings;

    #[test]
    fn what_the_file_says_stays_and_the_rest_is_swarms() {
        let named = |name: &str, restart: Option<&str>| Service {
            name: name.into(),
            restart: restart.map(|text| text.parse().unwrap()),
            networks: vec![EndpointSettings::default()],
            ..Default::default()
        };
        let mut project = Project {
            name: "vote".into(),
            services: vec![named("db", None), named("task", Some("no"))],
            ..Default::default()
        };
        let mut overlay = compose_file::project::Network::default();
        overlay.spec.driver = "overlay".into();
        overlay
            .spec
            .driver_opts
            .insert("encrypted".into(), String::new());
        project.networks.insert("front".into(), overlay);
        prepare(&mut project);
        assert_eq!(project.networks["front"], Default::default());
        let of = |name: &str| project.service(name).unwrap().restart_policy();
        assert_eq!(of("db").condition, RestartCondition::Always);
        assert_eq!(of("task").condition, RestartCondition::No);
        let db = project.service("db").unwrap();
        assert_eq!(db.labels[NAMESPACE], "vote");
        assert_eq!(db.networks[0].aliases, ["vote_db"]);
        let before = project.clone();
        prepare(&mut project);
        assert_eq!(project, before, "done again it changes nothing");
    }
}
