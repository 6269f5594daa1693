//! `run`: one container of a service for one task, beside its others.

use crate::labels;
use crate::names::{self, Separator};
use crate::spec::ServiceSpec;
use compose_file::{Project, Service};
use model::container::ContainerSpec;
use model::mount::Mount;
use model::network::NetworkMode;
use model::port::PortBinding;
use model::restart::RestartPolicy;
use std::collections::BTreeMap;

/// What the command line changes of the service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    pub command: Vec<String>,
    pub entrypoint: Option<Vec<String>>,
    pub environment: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub mounts: Vec<Mount>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    /// `-p`.
    pub ports: Vec<PortBinding>,
    /// `--service-ports`.
    pub service_ports: bool,
    /// `--use-aliases`: answer to the service's names on its networks.
    pub use_aliases: bool,
    pub remove: bool,
    pub tty: bool,
    pub interactive: bool,
    pub name: Option<String>,
}

/// The container's name and specification. `slug` makes the name unique.
pub fn container(
    project: &Project,
    service: &Service,
    base: &ServiceSpec,
    changes: &Changes,
    slug: &str,
    separator: Separator,
) -> (String, ContainerSpec) {
    let mut spec = base.spec.clone();
    if !changes.command.is_empty() {
        spec.command = Some(changes.command.clone());
    }
    if let Some(entrypoint) = &changes.entrypoint {
        spec.entrypoint = Some(entrypoint.clone());
        if changes.command.is_empty() {
            spec.command = None;
        }
    }
    override_environment(&mut spec.env, &changes.environment);
    spec.user = changes.user.clone().or(spec.user);
    spec.working_dir = changes.working_dir.clone().or(spec.working_dir);
    spec.cap_add.extend(changes.cap_add.iter().cloned());
    spec.cap_drop.extend(changes.cap_drop.iter().cloned());
    for mount in &changes.mounts {
        spec.mounts
            .retain(|have| have.target.trim_end_matches('/') != mount.target.trim_end_matches('/'));
        spec.mounts.push(mount.clone());
    }
    if !changes.service_ports {
        spec.ports.clear();
        spec.port_access.clear();
    }
    spec.ports.extend(changes.ports.iter().copied());
    if spec.network_mode == NetworkMode::Networks && !changes.use_aliases {
        for endpoint in &mut spec.networks {
            endpoint.aliases.clear();
            // Its fixed addresses belong to the service's own containers.
            endpoint.ipv4_address = None;
            endpoint.ipv6_address = None;
            endpoint.mac_address = None;
        }
    }
    spec.tty = changes.tty;
    spec.open_stdin = changes.interactive;
    spec.stdin_once = changes.interactive;
    spec.restart = RestartPolicy::default();
    spec.auto_remove = changes.remove;
    spec.labels.extend(changes.labels.clone());
    spec.labels.insert(labels::ONEOFF.into(), "True".into());
    spec.labels.insert(labels::SLUG.into(), slug.to_owned());
    spec.labels.insert(labels::NUMBER.into(), "1".into());
    let name = changes
        .name
        .clone()
        .unwrap_or_else(|| names::oneoff(&project.name, &service.name, slug, separator));
    (name, spec)
}

fn override_environment(env: &mut Vec<String>, over: &[String]) {
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    for entry in over {
        env.retain(|have| key(have) != key(entry));
        env.push(entry.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::network::EndpointSettings;

    #[test]
    fn a_task_neither_publishes_nor_answers_for_the_service() {
        let project = Project {
            name: "shop".into(),
            ..Default::default()
        };
        let service = Service {
            name: "web".into(),
            ..Default::default()
        };
        let mut base = ServiceSpec::default();
        base.spec.command = Some(vec!["serve".into()]);
        base.spec.env = vec!["A=1".into(), "B=2".into()];
        base.spec.ports = model::port::parse("80:80").unwrap();
        base.spec.network_mode = NetworkMode::Networks;
        base.spec.networks = vec![EndpointSettings {
            network: "n".into(),
            aliases: vec!["web".into()],
            ..Default::default()
        }];
        let changes = Changes {
            command: vec!["sh".into()],
            environment: vec!["A=9".into()],
            ..Default::default()
        };
        let (name, spec) = container(
            &project,
            &service,
            &base,
            &changes,
            "ab12",
            Separator::Hyphen,
        );
        assert_eq!(name, "shop-web-run-ab12");
        assert_eq!(spec.command, Some(vec!["sh".to_owned()]));
        assert_eq!(spec.env, ["B=2", "A=9"]);
        assert!(spec.ports.is_empty() && spec.networks[0].aliases.is_empty());
        assert_eq!(spec.labels[labels::ONEOFF], "True");
        let changes = Changes {
            service_ports: true,
            use_aliases: true,
            ..Default::default()
        };
        let (_, spec) = container(
            &project,
            &service,
            &base,
            &changes,
            "ab12",
            Separator::Hyphen,
        );
        assert_eq!((spec.ports.len(), spec.networks[0].aliases.len()), (1, 1));
        assert_eq!(spec.command, Some(vec!["serve".to_owned()]));
    }
}
