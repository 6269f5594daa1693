//! Plans as text: what a user of `up --plan` sees is what is tested.

mod bring_up;
mod rolling;
mod take_down;

use super::lifecycle;
use super::up::{ImageState, Input, Options, Recreate, Start, plan};
use super::{Plan, Step, down};
use crate::labels;
use crate::names::Separator;
use crate::observe::{Container, Observed, Resource, Status};
use crate::placement::Node;
use crate::spec::{ServiceSpec, Surroundings, convert};
use compose_file::project::{
    Condition, Dependency, Deploy, Network, NetworkModeRef, Placement, ServicePort, ServiceVolume,
    Volume,
};
use compose_file::{Project, Service};
use model::mount::{Mount, MountKind};
use model::network::{EndpointSettings, NetworkSpec};
use std::collections::BTreeMap;
use std::path::Path;

/// A project `shop` on its default network.
struct World {
    project: Project,
    observed: Observed,
    images: BTreeMap<String, ImageState>,
    options: Options,
}

fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        image: Some(format!("{name}:1")),
        networks: vec![EndpointSettings {
            network: "default".into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn needs(mut service: Service, other: &str, condition: Condition) -> Service {
    service.depends_on.insert(
        other.into(),
        Dependency {
            condition,
            ..Default::default()
        },
    );
    service
}

impl World {
    fn new(services: Vec<Service>) -> Self {
        let network = Network {
            spec: NetworkSpec {
                name: "shop_default".into(),
                ..Default::default()
            },
            ..Default::default()
        };
        let images = services
            .iter()
            .map(|s| (s.name.clone(), image("one")))
            .collect();
        let project = Project {
            name: "shop".into(),
            services,
            networks: BTreeMap::from([("default".into(), network)]),
            ..Default::default()
        };
        Self {
            project,
            observed: Observed::default(),
            images,
            options: Options::default(),
        }
    }

    fn specs(&self) -> BTreeMap<String, ServiceSpec> {
        let files = compose_file::MemoryFiles::default();
        let around = Surroundings {
            files_root: Path::new("/data/compose"),
            separator: Separator::Hyphen,
            accounts: "{}",
        };
        let convert = |s: &Service| {
            let hash = compose_file::hash(&self.project, s, &files);
            let mut spec = convert(&self.project, s, hash, around).unwrap();
            let fixed = compose_file::fixed_hash(&self.project, s, &files);
            spec.spec.labels.insert(labels::FIXED_HASH.into(), fixed);
            (s.name.clone(), spec)
        };
        self.project.services.iter().map(convert).collect()
    }

    fn plan(&self) -> Plan {
        let (specs, node) = (
            self.specs(),
            Node {
                hostname: "box".into(),
                ..Default::default()
            },
        );
        let World {
            project,
            observed,
            images,
            options,
        } = self;
        plan(Input {
            project,
            observed,
            specs: &specs,
            images,
            node: &node,
            options,
        })
    }

    fn text(&self) -> String {
        self.plan().to_string()
    }

    /// What is there after the plan was carried out.
    fn carried_out(mut self) -> Self {
        let specs = self.specs();
        for network in self.project.networks.values() {
            let mut labels = BTreeMap::from([(labels::PROJECT.to_owned(), "shop".to_owned())]);
            labels.insert(labels::NETWORK.into(), "default".into());
            labels.insert(
                labels::CONFIG_HASH.into(),
                crate::change::hash_of(&network.spec),
            );
            self.observed.networks.insert(
                network.spec.name.clone(),
                Resource {
                    labels,
                    anonymous: false,
                },
            );
        }
        for (key, volume) in &self.project.volumes {
            let mut labels = BTreeMap::from([(labels::PROJECT.to_owned(), "shop".to_owned())]);
            labels.insert(labels::VOLUME.into(), key.clone());
            self.observed.volumes.insert(
                volume.name.clone(),
                Resource {
                    labels,
                    anonymous: false,
                },
            );
        }
        self.observed.containers.clear();
        for service in &self.project.services {
            for number in 1..=service.replicas() {
                self.observed
                    .containers
                    .push(container(service, &specs[&service.name], number));
            }
        }
        self
    }

    fn container(&mut self, name: &str) -> &mut Container {
        self.observed
            .containers
            .iter_mut()
            .find(|c| c.name == name)
            .unwrap()
    }

    fn service(&mut self, name: &str) -> &mut Service {
        self.project.service_mut(name).unwrap()
    }
}

fn image(id: &str) -> ImageState {
    ImageState::Present {
        id: id.into(),
        volumes: vec!["/data".into()],
    }
}

fn container(service: &Service, spec: &ServiceSpec, number: u32) -> Container {
    Container {
        id: format!("{number:0>2}",).repeat(32),
        name: crate::names::container("shop", service, number, Separator::Hyphen),
        service: service.name.clone(),
        number,
        oneoff: false,
        status: Status::Running,
        health: None,
        image_id: "one".into(),
        config_hash: spec.hash.clone(),
        spec: spec.spec.clone(),
        anonymous_volumes: vec![],
        mounted_images: vec![],
        volumes: vec![],
        withdrawn: false,
        replaces: None,
    }
}

fn volume(name: &str, target: &str) -> ServiceVolume {
    let kind = MountKind::Volume {
        name: Some(name.into()),
        no_copy: false,
        subpath: None,
        driver: None,
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
    };
    let mount = Mount {
        kind,
        target: target.into(),
        read_only: false,
    };
    ServiceVolume {
        mount,
        consistency: None,
        selinux: None,
        recursive: None,
        has_volume: true,
        create_host_path: None,
    }
}

fn published(text: &str) -> Vec<ServicePort> {
    let port = |binding| ServicePort {
        binding,
        name: None,
        mode: None,
        app_protocol: None,
        allow: None,
    };
    model::port::parse(text)
        .unwrap()
        .into_iter()
        .map(port)
        .collect()
}
