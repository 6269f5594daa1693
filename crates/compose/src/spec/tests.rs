//! What a key of the file becomes.

use super::*;
use compose_file::project::{
    Deploy, FileObject, FileReference, FileSource, Network, NetworkModeRef, Volume,
};
use model::mount::{Mount, MountKind};
use model::network::{EndpointSettings, NetworkMode, NetworkSpec};
use model::restart::{RestartCondition, RestartPolicy};
use std::time::Duration;

fn project(services: Vec<Service>) -> Project {
    let network = |name: &str| Network {
        spec: NetworkSpec {
            name: name.into(),
            ..Default::default()
        },
        ..Default::default()
    };
    Project {
        name: "shop".into(),
        working_dir: "/srv/shop".into(),
        files: vec!["/srv/shop/compose.yaml".into()],
        services,
        networks: BTreeMap::from([
            ("default".into(), network("shop_default")),
            ("back".into(), network("real")),
        ]),
        volumes: BTreeMap::from([(
            "data".into(),
            Volume {
                name: "shop_data".into(),
                ..Default::default()
            },
        )]),
        ..Default::default()
    }
}

fn web() -> Service {
    let endpoint = |network: &str, priority| EndpointSettings {
        network: network.into(),
        priority,
        ..Default::default()
    };
    Service {
        name: "web".into(),
        image: Some("nginx".into()),
        networks: vec![endpoint("default", 0), endpoint("back", 5)],
        ..Default::default()
    }
}

fn converted(project: &Project) -> Result<ServiceSpec, Vec<Diagnostic>> {
    let around = Surroundings {
        files_root: Path::new("/data/compose"),
        separator: Separator::Hyphen,
        accounts: "{}",
    };
    let hash = compose_file::hash(
        project,
        &project.services[0],
        &compose_file::MemoryFiles::default(),
    );
    convert(project, &project.services[0], hash, around)
}

#[test]
fn networks_have_real_names_the_services_alias_and_their_priority() {
    let mut web = web();
    web.mac_address = Some("02:42:ac:11:00:02".into());
    web.networks[0].aliases = vec!["shopfront".into()];
    let spec = converted(&project(vec![web])).unwrap().spec;
    let names: Vec<&str> = spec.networks.iter().map(|n| n.network.as_str()).collect();
    assert_eq!(names, ["real", "shop_default"]);
    assert_eq!(spec.networks[1].aliases, ["web", "shopfront"]);
    assert_eq!(
        spec.networks[0].mac_address.as_deref(),
        Some("02:42:ac:11:00:02")
    );
    assert_eq!(spec.network_mode, NetworkMode::Networks);
}

#[test]
fn another_services_namespaces_are_those_of_its_first_container() {
    let mut side = web();
    side.network_mode = Some(NetworkModeRef::Service("db".into()));
    side.pid = NamespaceRef::Service("db".into());
    side.volumes_from = vec![compose_file::project::VolumesFrom {
        source: compose_file::project::VolumesFromSource::Service("db".into()),
        read_only: true,
    }];
    side.links = vec!["db:database".into(), "db".into()];
    let db = Service {
        name: "db".into(),
        container_name: Some("mydb".into()),
        ..Default::default()
    };
    let spec = converted(&project(vec![side, db])).unwrap().spec;
    assert_eq!(spec.network_mode, NetworkMode::Container("mydb".into()));
    assert_eq!(spec.pid_mode, NamespaceMode::Container("mydb".into()));
    assert_eq!(spec.volumes_from, ["mydb:ro"]);
    assert_eq!(spec.links, ["mydb:database"]);
}

#[test]
fn on_the_default_bridge_a_link_gives_the_services_own_name() {
    let mut web = web();
    web.network_mode = Some(NetworkModeRef::Bridge);
    web.networks.clear();
    web.links = vec!["db".into()];
    let db = Service {
        name: "db".into(),
        ..Default::default()
    };
    let spec = converted(&project(vec![web, db])).unwrap().spec;
    assert_eq!(spec.links, ["shop-db-1:db"]);
}

#[test]
fn a_start_interval_needs_a_start_period() {
    let mut web = web();
    web.healthcheck = Some(model::health::Healthcheck {
        test: model::health::HealthTest::Shell("true".into()),
        interval: None,
        timeout: None,
        start_period: None,
        start_interval: Some(std::time::Duration::from_secs(1)),
        retries: None,
    });
    let refused = converted(&project(vec![web])).unwrap_err();
    assert!(
        refused[0]
            .to_string()
            .contains("start_interval requires healthcheck.start_period"),
        "{refused:?}"
    );
}

#[test]
fn deploy_goes_into_limits_and_restart_policy_and_its_labels_nowhere() {
    let mut web = web();
    let mut deploy = Deploy::default();
    deploy.labels.insert("APP".into(), "VOTING".into());
    deploy.resources.limits.memory = Some(64 << 20);
    deploy.resources.limits.nano_cpus = Some(500_000_000);
    deploy.restart_policy = Some(RestartPolicy {
        condition: RestartCondition::OnFailure,
        max_attempts: Some(3),
        delay: Some(Duration::from_secs(10)),
        window: Some(Duration::from_secs(120)),
    });
    web.deploy = Some(deploy);
    web.stop_grace_period = Some(Duration::from_millis(90_500));
    let spec = converted(&project(vec![web])).unwrap().spec;
    assert_eq!(
        (spec.resources.memory, spec.resources.nano_cpus),
        (Some(64 << 20), Some(500_000_000))
    );
    assert_eq!(
        (spec.restart.max_attempts, spec.restart.delay),
        (Some(3), Some(Duration::from_secs(10)))
    );
    assert!(!spec.labels.contains_key("APP"));
    assert_eq!(spec.stop_timeout, Some(91));
}

#[test]
fn named_volumes_get_their_real_names() {
    let mut web = web();
    let kind = MountKind::Volume {
        name: Some("data".into()),
        no_copy: true,
        subpath: None,
        driver: None,
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
    };
    let mount = Mount {
        kind,
        target: "/data".into(),
        read_only: true,
    };
    web.volumes = vec![compose_file::project::ServiceVolume {
        mount,
        consistency: None,
        selinux: None,
        recursive: None,
        has_volume: true,
        create_host_path: None,
    }];
    let spec = converted(&project(vec![web])).unwrap().spec;
    assert!(
        matches!(&spec.mounts[0].kind, MountKind::Volume { name: Some(name), no_copy: true, .. } if name == "shop_data")
    );
    assert!(spec.mounts[0].read_only);
}

fn with_secret(source: FileSource, reference: FileReference) -> Project {
    let mut web = web();
    web.secrets = vec![reference];
    let mut project = project(vec![web]);
    let object = FileObject {
        name: "shop_token".into(),
        source,
        labels: BTreeMap::new(),
        driver: None,
        driver_opts: BTreeMap::new(),
        template_driver: None,
        extensions: Default::default(),
    };
    project.secrets.insert("token".into(), object);
    project
}

fn reference() -> FileReference {
    FileReference {
        source: "token".into(),
        target: "/run/secrets/token".into(),
        written: None,
        uid: None,
        gid: None,
        mode: None,
    }
}

#[test]
fn a_secret_from_a_file_is_mounted_as_it_is_and_one_with_a_mode_is_written() {
    let plain = converted(&with_secret(
        FileSource::File("/srv/token".into()),
        reference(),
    ))
    .unwrap();
    assert!(plain.files.is_empty());
    assert!(
        matches!(&plain.spec.mounts[0].kind, MountKind::Bind { source, .. } if source == "/srv/token")
    );
    let owned = FileReference {
        mode: Some(0o440),
        uid: Some("33".into()),
        ..reference()
    };
    let owned = converted(&with_secret(FileSource::File("/srv/token".into()), owned)).unwrap();
    let handed = &owned.spec.files[0];
    assert_eq!((handed.mode, handed.uid, handed.gid), (0o440, 33, 0));
    assert_eq!(handed.source, owned.files[0].path.display().to_string());
    assert!(owned.files[0].path.starts_with("/data/compose/shop"));
    assert!(plain.spec.mounts[0].read_only && owned.spec.mounts.is_empty());
}

#[test]
fn the_content_of_a_config_changes_the_hash_and_never_shows() {
    let of = |text: &str| {
        converted(&with_secret(FileSource::Content(text.into()), reference())).unwrap()
    };
    assert_ne!(of("a").hash, of("b").hash);
    assert!(!format!("{:?}", of("hunter2")).contains("hunter2"));
}

#[test]
fn what_cannot_be_handed_over_says_so_at_its_place() {
    let said =
        |source, reference| converted(&with_secret(source, reference)).unwrap_err()[0].render();
    let unset = FileSource::Environment {
        variable: "TOKEN".into(),
        value: None,
    };
    assert!(
        said(unset, reference())
            .contains("environment variable \"TOKEN\" required by secrets \"token\" is not set")
    );
    assert!(
        said(FileSource::External, reference())
            .contains("external secret token not found: there is none of the name \"shop_token\"")
    );
    let named = FileReference {
        uid: Some("www".into()),
        ..reference()
    };
    assert!(said(FileSource::Content("x".into()), named).contains("invalid uid \"www\""));
    let mut project = project(vec![web()]);
    project.services[0].logging = Some(compose_file::project::Logging {
        driver: Some("fluentd".into()),
        options: BTreeMap::new(),
    });
    assert!(
        converted(&project).unwrap_err()[0]
            .render()
            .contains("services.web.logging.driver: error looking up logging plugin fluentd")
    );
}

#[test]
fn labels_say_where_a_container_belongs() {
    let mut web = web();
    web.labels.insert("mine".into(), "1".into());
    web.depends_on.insert("db".into(), Default::default());
    let spec = converted(&project(vec![web])).unwrap();
    let label = |key: &str| spec.spec.labels.get(key).map(String::as_str);
    assert_eq!(label(labels::PROJECT), Some("shop"));
    assert_eq!(label(labels::SERVICE), Some("web"));
    assert_eq!(label(labels::DEPENDS_ON), Some("db:service_started:false"));
    assert_eq!(label(labels::CONFIG_FILES), Some("/srv/shop/compose.yaml"));
    assert_eq!(label(labels::CONFIG_HASH), Some(spec.hash.as_str()));
    assert_eq!(label("mine"), Some("1"));
}

#[test]
fn keys_without_effect_are_told() {
    let mut web = web();
    web.cpu_percent = Some(5.0);
    let project = project(vec![web]);
    let told: Vec<String> = warnings(&project, &project.services)
        .iter()
        .map(|d| d.path.clone())
        .collect();
    assert_eq!(told, ["services.web.cpu_percent"]);
}
