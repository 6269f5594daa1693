//! Plans as text: what a user of `up --plan` sees is what is tested.

mod rolling;

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

#[test]
fn a_first_up_makes_everything_in_dependency_order() {
    let mut db = service("db");
    db.volumes = vec![volume("data", "/var/lib")];
    let mut world = World::new(vec![needs(service("web"), "db", Condition::Healthy), db]);
    world.project.volumes.insert(
        "data".into(),
        Volume {
            name: "shop_data".into(),
            ..Default::default()
        },
    );
    assert_eq!(
        world.text(),
        "[] -> #1 network:default, CreateNetwork shop_default, not found\n\
         [] -> #2 volume:data, CreateVolume shop_data, not found\n\
         [1,2] -> #3 service:db:1, CreateContainer shop-db-1, no existing container\n\
         [3] -> #4 service:db:1, StartContainer shop-db-1, no existing container\n\
         [1] -> #5 service:web:1, CreateContainer shop-web-1, no existing container\n\
         [4] -> #6 service:db, WaitForDependency service_healthy, web needs it\n\
         [5,6] -> #7 service:web:1, StartContainer shop-web-1, no existing container"
    );
}

#[test]
fn a_second_up_does_nothing_and_says_so() {
    let world = World::new(vec![
        needs(service("web"), "db", Condition::Healthy),
        service("db"),
    ])
    .carried_out();
    let plan = world.plan();
    assert!(plan.is_empty());
    assert_eq!(
        plan.to_string(),
        "Container shop-db-1  Running\nContainer shop-web-1  Running\nNothing to do: everything is as the file wants it"
    );
    assert_eq!(plan.to_json()["changes"], false);
}

#[test]
fn one_changed_value_replaces_that_service_alone() {
    let mut world = World::new(vec![service("web"), service("db")]).carried_out();
    world
        .service("web")
        .environment
        .insert("GREETING".into(), Some("hello".into()));
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:1, CreateContainer shop-web-1, configuration changed (environment: GREETING)\n\
         [1] -> #2 service:web:1, StopContainer shop-web-1, configuration changed (environment: GREETING)\n\
         [2] -> #3 service:web:1, RemoveContainer shop-web-1, configuration changed (environment: GREETING)\n\
         [3] -> #4 service:web:1, RenameContainer shop-web-1, configuration changed (environment: GREETING)\n\
         [4] -> #5 service:web:1, StartContainer shop-web-1, configuration changed (environment: GREETING)\n\
         Container shop-db-1  Running"
    );
}

#[test]
fn what_compose_does_with_a_service_is_no_change_of_its_containers() {
    let mut world = World::new(vec![service("web"), service("db")]).carried_out();
    let web = world.service("web");
    web.depends_on.insert("db".into(), Dependency::default());
    web.profiles = vec!["x".into()];
    web.pull_policy = Some(compose_file::project::PullPolicy::Always);
    web.deploy = Some(Deploy {
        labels: BTreeMap::from([("APP".into(), "VOTING".into())]),
        ..Default::default()
    });
    assert!(world.plan().is_empty(), "{}", world.text());
}

#[test]
fn a_newer_image_replaces() {
    let mut world = World::new(vec![service("web")]).carried_out();
    world.images.insert("web".into(), image("two"));
    assert!(
        world
            .text()
            .starts_with("[] -> #1 service:web:1, CreateContainer shop-web-1, image changed\n"),
        "{}",
        world.text()
    );
}

#[test]
fn the_flags_about_replacing() {
    let mut world = World::new(vec![
        needs(service("web"), "db", Condition::Started),
        service("db"),
    ])
    .carried_out();
    world.options.recreate = Recreate::Always;
    world.options.services = vec!["web".into()];
    let text = world.text();
    assert!(
        text.contains("service:web:1, CreateContainer shop-web-1, force recreate"),
        "{text}"
    );
    assert!(
        text.contains("Container shop-db-1  Running"),
        "what it needs is left alone: {text}"
    );
    world.options.recreate_dependencies = Recreate::Always;
    assert!(
        world
            .text()
            .contains("service:db:1, CreateContainer shop-db-1, force recreate")
    );
    world.options = Options {
        recreate: Recreate::Never,
        ..Default::default()
    };
    world.service("web").tty = true;
    assert!(world.plan().is_empty());
}

#[test]
fn scaling_up_fills_numbers_and_scaling_down_takes_the_highest() {
    let mut world = World::new(vec![service("web")]).carried_out();
    world.options.scale.insert("web".into(), 3);
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:2, CreateContainer shop-web-2, no existing container\n\
         [1] -> #2 service:web:2, StartContainer shop-web-2, no existing container\n\
         [] -> #3 service:web:3, CreateContainer shop-web-3, no existing container\n\
         [3] -> #4 service:web:3, StartContainer shop-web-3, no existing container\n\
         Container shop-web-1  Running"
    );
    world.service("web").scale = Some(3);
    let mut world = world.carried_out();
    world.options.scale.insert("web".into(), 1);
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:2, StopContainer shop-web-2, scaled to 1\n\
         [1] -> #2 service:web:2, RemoveContainer shop-web-2, scaled to 1\n\
         [] -> #3 service:web:3, StopContainer shop-web-3, scaled to 1\n\
         [3] -> #4 service:web:3, RemoveContainer shop-web-3, scaled to 1\n\
         Container shop-web-1  Running"
    );
    world.options.scale.insert("web".into(), 0);
    assert_eq!(world.plan().steps.len(), 6);
}

#[test]
fn what_does_not_run_is_started_and_what_is_paused_goes_on() {
    let mut world = World::new(vec![service("a"), service("b"), service("c")]).carried_out();
    world.container("shop-a-1").status = Status::Exited(137);
    world.container("shop-b-1").status = Status::Paused;
    world.container("shop-c-1").status = Status::Created;
    assert_eq!(
        world.text(),
        "[] -> #1 service:a:1, StartContainer shop-a-1, exited (137)\n\
         [] -> #2 service:b:1, UnpauseContainer shop-b-1, paused\n\
         [] -> #3 service:c:1, StartContainer shop-c-1, created, not started"
    );
    world.options.start = Start::No;
    world.container("shop-b-1").status = Status::Running;
    assert!(world.plan().is_empty());
}

#[test]
fn a_container_that_waits_for_a_running_dependency_still_waits() {
    let mut world = World::new(vec![
        needs(service("web"), "db", Condition::Healthy),
        service("db"),
    ])
    .carried_out();
    world.container("shop-web-1").status = Status::Exited(1);
    assert_eq!(
        world.text(),
        "[] -> #1 service:db, WaitForDependency service_healthy, web needs it\n\
         [1] -> #2 service:web:1, StartContainer shop-web-1, exited (1)\n\
         Container shop-db-1  Running"
    );
}

#[test]
fn replicas_share_one_wait() {
    let mut web = needs(service("web"), "db", Condition::CompletedSuccessfully);
    web.scale = Some(2);
    let world = World::new(vec![web, service("db")]);
    assert_eq!(
        world.text().matches("WaitForDependency").count(),
        1,
        "{}",
        world.text()
    );
}

#[test]
fn only_what_is_named_and_what_it_needs() {
    let services = vec![
        needs(service("web"), "db", Condition::Started),
        service("db"),
        service("other"),
    ];
    let mut world = World::new(services);
    world.options.services = vec!["web".into()];
    let text = world.text();
    assert!(
        text.contains("service:db:1") && text.contains("service:web:1") && !text.contains("other"),
        "{text}"
    );
    world.options.no_dependencies = true;
    let text = world.text();
    assert!(!text.contains("service:db"), "{text}");
}

#[test]
fn orphans_are_named_or_removed() {
    let mut world = World::new(vec![service("web"), service("old")]).carried_out();
    world.project.services.retain(|s| s.name == "web");
    let plan = world.plan();
    assert!(plan.is_empty());
    assert!(
        plan.warnings[0].starts_with("Found orphan containers ([shop-old-1]) for this project."),
        "{plan:?}"
    );
    world.options.remove_orphans = true;
    assert_eq!(
        world.text(),
        "[] -> #1 service:old:1, StopContainer shop-old-1, orphan: no such service in the file\n\
         [1] -> #2 service:old:1, RemoveContainer shop-old-1, orphan: no such service in the file\n\
         Container shop-web-1  Running"
    );
    world.options = Options {
        ignore_orphans: true,
        ..Default::default()
    };
    assert!(world.plan().warnings.is_empty());
}

#[test]
fn a_service_in_an_inactive_profile_is_no_orphan() {
    let mut world = World::new(vec![service("web"), service("debug")]).carried_out();
    let debug = world.project.services.pop().unwrap();
    world.project.disabled_services.push(debug);
    assert!(world.plan().warnings.is_empty());
}

#[test]
fn volumes_nobody_named_go_over_to_the_successor() {
    let anonymous = "ab".repeat(32);
    let mut world = World::new(vec![service("db")]).carried_out();
    world.container("shop-db-1").anonymous_volumes = vec![
        ("/data".into(), anonymous.clone()),
        ("/gone".into(), "x".into()),
    ];
    world.service("db").tty = true;
    let mounted = |world: &World| -> Vec<String> {
        let plan = world.plan();
        let super::Action::CreateContainer(new) = &plan.steps[0].action else {
            panic!("{plan}")
        };
        assert_eq!(new.spec.labels[labels::REPLACE], "shop-db-1");
        let names = new.spec.mounts.iter().filter_map(|m| match &m.kind {
            MountKind::Volume { name, .. } => name.clone(),
            _ => None,
        });
        names.collect()
    };
    assert_eq!(mounted(&world), [anonymous]);
    world.options.renew_anonymous_volumes = true;
    assert!(mounted(&world).is_empty());
}

#[test]
fn a_port_that_moves_is_given_up_first() {
    let mut a = service("a");
    a.ports = published("80:80");
    let mut world = World::new(vec![a, service("b")]).carried_out();
    world.service("a").ports.clear();
    world.service("b").ports = published("80:80");
    let plan = world.plan();
    let stop = plan
        .steps
        .iter()
        .find(|s| s.resource == "service:a:1" && s.action.operation() == "UpdateContainer")
        .unwrap();
    let start = plan
        .steps
        .iter()
        .find(|s| s.resource == "service:b:1" && s.action.operation() == "StartContainer")
        .unwrap();
    assert!(start.needs.contains(&stop.id), "{plan}");
}

#[test]
fn who_shares_a_namespace_is_replaced_with_its_donor() {
    let mut side = needs(service("side"), "web", Condition::Started);
    side.networks.clear();
    side.network_mode = Some(NetworkModeRef::Service("web".into()));
    let mut world = World::new(vec![side, service("web")]).carried_out();
    world.service("web").tty = true;
    let text = world.text();
    assert!(
        text.contains("service:side:1, CreateContainer shop-side-1, service web, whose namespace"),
        "{text}"
    );
    let plan = world.plan();
    let rename = plan
        .steps
        .iter()
        .find(|s| s.action.operation() == "RenameContainer")
        .unwrap()
        .id;
    let create = plan
        .steps
        .iter()
        .find(|s| s.resource == "service:side:1")
        .unwrap();
    assert!(
        create.needs.contains(&rename),
        "it joins the successor, which has its name only then: {plan}"
    );
}

#[test]
fn who_asked_for_it_restarts_with_what_it_needs() {
    let mut web = service("web");
    web.depends_on.insert(
        "db".into(),
        Dependency {
            restart: true,
            ..Default::default()
        },
    );
    let mut world = World::new(vec![web, service("db")]).carried_out();
    world.service("db").tty = true;
    let plan = world.plan();
    let step = |resource: &str, operation: &str| {
        plan.steps
            .iter()
            .find(|s| s.resource == resource && s.action.operation() == operation)
            .unwrap()
    };
    let (stop_web, stop_db) = (
        step("service:web:1", "StopContainer"),
        step("service:db:1", "StopContainer"),
    );
    let (start_web, start_db) = (
        step("service:web:1", "StartContainer"),
        step("service:db:1", "StartContainer"),
    );
    assert!(stop_db.needs.contains(&stop_web.id), "{plan}");
    assert!(
        start_web.needs.contains(&start_db.id) && start_web.needs.contains(&stop_web.id),
        "{plan}"
    );
    assert_eq!(start_web.cause, "service db is replaced");
}

#[test]
fn a_changed_network_is_replaced_around_its_containers() {
    let mut world = World::new(vec![service("web")]).carried_out();
    world
        .project
        .networks
        .get_mut("default")
        .unwrap()
        .spec
        .internal = true;
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:1, StopContainer shop-web-1, network default changed\n\
         [1] -> #2 network:default, RemoveNetwork shop_default, configuration changed\n\
         [2] -> #3 network:default, CreateNetwork shop_default, configuration changed\n\
         [1,3] -> #4 service:web:1, StartContainer shop-web-1, network changed"
    );
}

#[test]
fn placement_that_cannot_hold_leaves_pending() {
    let mut far = service("far");
    let placement = Placement {
        constraints: vec!["node.role == worker".into()],
        ..Default::default()
    };
    far.deploy = Some(Deploy {
        placement,
        ..Default::default()
    });
    let world = World::new(vec![
        far,
        needs(service("web"), "far", Condition::Started),
        service("here"),
    ]);
    let plan = world.plan();
    assert_eq!(plan.pending.len(), 2, "{plan}");
    assert!(
        plan.pending[0].why.contains("node.role is \"manager\""),
        "{plan}"
    );
    assert_eq!(plan.pending[1].why, "it depends on far, which is pending");
    assert!(
        plan.to_string().contains("service:here:1, StartContainer")
            && !plan.to_string().contains("service:web:1")
    );
}

#[test]
fn an_interrupted_replacement_is_finished() {
    let mut world = World::new(vec![service("web")]).carried_out();
    // Killed after the old one was removed: the successor has its temporary name.
    let old = world.container("shop-web-1");
    old.name = "0101010101ab_shop-web-1".into();
    old.status = Status::Created;
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:1, RenameContainer shop-web-1, left over from an interrupted run\n\
         [1] -> #2 service:web:1, StartContainer shop-web-1, created, not started"
    );
    // Killed before that: both are there.
    let mut world = World::new(vec![service("web")]).carried_out();
    let mut successor = world.container("shop-web-1").clone();
    successor.name = "0101010101ab_shop-web-1".into();
    successor.status = Status::Created;
    world.observed.containers.push(successor);
    world.service("web").scale = Some(2);
    let text = world.text();
    assert!(
        text.contains("RemoveContainer 0101010101ab_shop-web-1, left over from an interrupted run"),
        "{text}"
    );
    assert!(text.contains("service:web:2, CreateContainer"), "{text}");
}

#[test]
fn down_goes_the_other_way_round() {
    let world = World::new(vec![
        needs(service("web"), "db", Condition::Started),
        service("db"),
    ])
    .carried_out();
    let options = down::Options::default();
    assert_eq!(
        down::plan("shop", Some(&world.project), &world.observed, &options).to_string(),
        "[] -> #1 service:web:1, StopContainer shop-web-1, down\n\
         [1] -> #2 service:web:1, RemoveContainer shop-web-1, down\n\
         [1] -> #3 service:db:1, StopContainer shop-db-1, down\n\
         [3] -> #4 service:db:1, RemoveContainer shop-db-1, down\n\
         [2,4] -> #5 network:default, RemoveNetwork shop_default, down"
    );
    let without_file = down::plan("shop", None, &world.observed, &options);
    assert_eq!(
        without_file.steps.len(),
        5,
        "a project is taken down by its name alone"
    );
}

#[test]
fn down_spares_volumes_images_and_orphans_unless_told() {
    let mut db = service("db");
    db.volumes = vec![volume("data", "/var/lib")];
    let mut world = World::new(vec![db, service("old")]);
    world.project.volumes.insert(
        "data".into(),
        Volume {
            name: "shop_data".into(),
            ..Default::default()
        },
    );
    let mut world = world.carried_out();
    world.container("shop-db-1").volumes = vec!["shop_data".into()];
    world.container("shop-db-1").anonymous_volumes = vec![("/x".into(), "anon".into())];
    world.project.services.retain(|s| s.name == "db");
    let text = |options: down::Options| {
        down::plan("shop", Some(&world.project), &world.observed, &options)
    };
    let plain = text(down::Options::default());
    assert!(
        !plain.to_string().contains("old") && !plain.to_string().contains("RemoveNetwork"),
        "{plain}"
    );
    assert_eq!(
        plain.warnings,
        ["Network shop_default stays: container shop-old-1 is still on it"]
    );
    let all = down::Options {
        volumes: true,
        remove_orphans: true,
        images: down::Images::All,
        timeout: Some(1),
        services: vec![],
    };
    assert_eq!(
        text(all).to_string(),
        "[] -> #1 service:db:1, StopContainer shop-db-1, down\n\
         [1] -> #2 service:db:1, RemoveContainer shop-db-1, down\n\
         [] -> #3 service:old:1, StopContainer shop-old-1, down\n\
         [3] -> #4 service:old:1, RemoveContainer shop-old-1, down\n\
         [2,4] -> #5 network:default, RemoveNetwork shop_default, down\n\
         [2] -> #6 volume:data, RemoveVolume shop_data, down --volumes\n\
         [] -> #7 volume:anon, RemoveVolume anon, down --volumes\n\
         [2,4] -> #8 image:db:1, RemoveImage db:1, down --rmi"
    );
}

#[test]
fn stop_start_and_restart_keep_the_order() {
    let mut world = World::new(vec![
        needs(service("web"), "db", Condition::Started),
        service("db"),
    ])
    .carried_out();
    let all: Vec<&Container> = world.observed.containers.iter().collect();
    assert_eq!(
        lifecycle::stop(&all, None).to_string(),
        "[] -> #1 service:web:1, StopContainer shop-web-1, stop\n[1] -> #2 service:db:1, StopContainer shop-db-1, stop"
    );
    assert_eq!(
        lifecycle::restart(Some(&world.project), &all, None).to_string(),
        "[] -> #1 service:db:1, RestartContainer shop-db-1, restart\n[1] -> #2 service:web:1, RestartContainer shop-web-1, restart"
    );
    let healthy = World::new(vec![
        needs(service("web"), "db", Condition::Healthy),
        service("db"),
    ])
    .carried_out();
    let of_healthy: Vec<&Container> = healthy.observed.containers.iter().collect();
    assert_eq!(
        lifecycle::restart(Some(&healthy.project), &of_healthy, None).to_string(),
        "[] -> #1 service:db:1, RestartContainer shop-db-1, restart\n\
         [1] -> #2 service:db, WaitForDependency service_healthy, web needs it\n\
         [2] -> #3 service:web:1, RestartContainer shop-web-1, restart"
    );
    for container in &mut world.observed.containers {
        container.status = Status::Exited(0);
    }
    let all: Vec<&Container> = world.observed.containers.iter().collect();
    assert_eq!(
        lifecycle::start(Some(&world.project), &all).to_string(),
        "[] -> #1 service:db:1, StartContainer shop-db-1, start\n[1] -> #2 service:web:1, StartContainer shop-web-1, start"
    );
    assert!(lifecycle::stop(&all, None).is_empty() && lifecycle::pause(&all).is_empty());
}

#[test]
fn no_plan_needs_a_step_that_comes_never() {
    // Every kind of change at once; each step must need only other steps, and no circle may close.
    let mut web = needs(service("web"), "db", Condition::Healthy);
    web.depends_on.get_mut("db").unwrap().restart = true;
    web.ports = published("80:80");
    let mut world = World::new(vec![web, service("db"), service("gone")]).carried_out();
    world.project.services.retain(|s| s.name != "gone");
    world.options.remove_orphans = true;
    world.service("db").ports = published("80:80");
    world.service("web").ports = published("81:80");
    world
        .project
        .networks
        .get_mut("default")
        .unwrap()
        .spec
        .internal = true;
    let plan = world.plan();
    let mut done: Vec<usize> = Vec::new();
    while done.len() < plan.steps.len() {
        let ready = plan
            .steps
            .iter()
            .find(|s| !done.contains(&s.id) && s.needs.iter().all(|n| done.contains(n)));
        done.push(ready.unwrap_or_else(|| panic!("a circle:\n{plan}")).id);
    }
}

#[test]
fn hooks_run_after_the_start_and_before_the_stop() {
    let hook = |word: &str| compose_file::project::Hook {
        command: vec![word.into()],
        ..Default::default()
    };
    let mut db = service("db");
    db.post_start = vec![hook("one"), hook("two")];
    db.pre_stop = vec![hook("bye")];
    let world = World::new(vec![needs(service("web"), "db", Condition::Started), db]);
    let text = world.text();
    assert!(
        text.contains("[3] -> #6 service:db:1, RunHook shop-db-1, post_start"),
        "{text}"
    );
    assert!(
        text.contains("[6] -> #7 service:db:1, RunHook shop-db-1, post_start"),
        "{text}"
    );
    assert!(
        text.contains("[3,4,7] -> #5 service:web:1, StartContainer"),
        "{text}"
    );
    let world = world.carried_out();
    let mut plan = down::plan(
        "shop",
        Some(&world.project),
        &world.observed,
        &Default::default(),
    );
    super::hooks::insert(&mut plan, &world.project);
    let stop = plan
        .steps
        .iter()
        .find(|s| s.to_string().contains("service:db:1, StopContainer"))
        .unwrap();
    let hook = plan
        .steps
        .iter()
        .find(|s| s.to_string().contains("RunHook"))
        .unwrap();
    assert!(
        stop.needs.contains(&hook.id) && !hook.needs.contains(&stop.id),
        "{plan}"
    );
}

#[test]
fn steps_before_a_start_run_once_for_a_service_and_wait_for_what_it_needs() {
    use compose_file::project::{Hook, InitHook};
    let hook = |word: &str, per_replica| InitHook {
        hook: Hook {
            command: vec![word.into()],
            ..Hook::default()
        },
        image: None,
        per_replica,
    };
    let mut web = needs(service("web"), "db", Condition::Started);
    web.scale = Some(2);
    web.pre_start = vec![hook("once", false), hook("each", true)];
    let world = World::new(vec![web, service("db")]);
    let plan = world.plan();
    let steps = |operation: &str, about: &str| -> Vec<usize> {
        let fits = |s: &&Step| s.action.operation() == operation && s.resource.starts_with(about);
        plan.steps.iter().filter(fits).map(|s| s.id).collect()
    };
    let init = steps("RunInitContainer", "service:web");
    let starts = steps("StartContainer", "service:web");
    let db = steps("StartContainer", "service:db");
    assert_eq!((init.len(), starts.len()), (3, 2), "{plan}");
    let once = &plan.steps[init[0] - 1];
    assert_eq!(once.action.object(), "shop-web-1-pre_start-0");
    assert!(once.needs.contains(&db[0]), "{plan}");
    for (start, each) in starts.iter().zip(&init[1..]) {
        let needs = &plan.steps[start - 1].needs;
        assert!(needs.contains(&init[0]) && needs.contains(each), "{plan}");
    }
    // One that is up has been prepared.
    let mut grown = world.carried_out();
    grown.service("web").scale = Some(3);
    let plan = grown.plan();
    let added: Vec<&str> = plan
        .steps
        .iter()
        .filter(|s| s.action.operation() == "RunInitContainer")
        .map(|s| s.action.object())
        .collect();
    assert_eq!(added, ["shop-web-3-pre_start-1"]);
}
